package sshtunnel

import (
	"crypto/sha512"
	"encoding/binary"

	//lint:ignore SA1019 OpenSSH's key derivation is built on Blowfish
	"golang.org/x/crypto/blowfish"
)

// bcryptPBKDF derives a key of the given length, in bytes, from a passphrase, as OpenSSH does for
// the keys that it encrypts. (x/crypto has it in an internal package. The modules that have it were
// not to be had or are not kept.) It is PBKDF2 with a hash built on Blowfish, and the bytes of its
// blocks interleaved.
func bcryptPBKDF(passphrase, salt []byte, rounds, length int) ([]byte, error) {
	password := sha512.Sum512(passphrase)
	blocks := (length + bcryptSize - 1) / bcryptSize
	key := make([]byte, blocks*bcryptSize)
	for block := range blocks {
		seed := sha512.Sum512(binary.BigEndian.AppendUint32(append([]byte{}, salt...), uint32(block+1)))
		last, err := bcryptHash(password[:], seed[:])
		if err != nil {
			return nil, err
		}
		sum := last
		for range rounds - 1 {
			seed = sha512.Sum512(last[:])
			if last, err = bcryptHash(password[:], seed[:]); err != nil {
				return nil, err
			}
			for i := range sum {
				sum[i] ^= last[i]
			}
		}
		for i, b := range sum {
			if at := i*blocks + block; at < len(key) {
				key[at] = b
			}
		}
	}
	return key[:length], nil
}

const bcryptSize = 32

// bcryptHash encrypts a text with Blowfish, whose key schedule is made expensive.
func bcryptHash(password, salt []byte) (sum [bcryptSize]byte, err error) {
	c, err := blowfish.NewSaltedCipher(password, salt)
	if err != nil {
		return sum, err
	}
	for range 64 {
		blowfish.ExpandKey(salt, c)
		blowfish.ExpandKey(password, c)
	}
	copy(sum[:], "OxychromaticBlowfishSwatDynamite")
	for at := 0; at < bcryptSize; at += blowfish.BlockSize {
		for range 64 {
			c.Encrypt(sum[at:], sum[at:])
		}
	}
	for at := 0; at < bcryptSize; at += 4 { // OpenSSH writes the words in the other order
		binary.LittleEndian.PutUint32(sum[at:], binary.BigEndian.Uint32(sum[at:]))
	}
	return sum, nil
}
