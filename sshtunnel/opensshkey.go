package sshtunnel

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/subtle"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"

	"golang.org/x/crypto/chacha20"
	//lint:ignore SA1019 OpenSSH's cipher uses the bare MAC, in another way than chacha20poly1305
	"golang.org/x/crypto/poly1305"
	"golang.org/x/crypto/ssh"
)

// x/crypto decrypts keys in OpenSSH's format with two ciphers. ssh-keygen -Z can encrypt them with
// any cipher of ssh. This file does what x/crypto does not: it decrypts such a key, and writes it
// again without encryption for x/crypto to parse.

const opensshMagic = "openssh-key-v1\x00"

// opensshKey is a key file in OpenSSH's format (PROTOCOL.key).
type opensshKey struct {
	Cipher, KDF, Options string
	Keys                 uint32
	Public               []byte
	Private              []byte
	Rest                 []byte `ssh:"rest"` // the authentication tag of some ciphers
}

// keyCipher is a cipher that ssh-keygen encrypts keys with.
type keyCipher struct {
	key, iv int // lengths in bytes
	// decrypt returns the plain text. tag is what follows the cipher text.
	decrypt func(key, iv, text, tag []byte) ([]byte, error)
}

// keyCiphers are the ciphers of "ssh-keygen -Z".
var keyCiphers = map[string]keyCipher{
	"3des-cbc":                      {24, 8, decryptCBC(des.NewTripleDESCipher)},
	"aes128-cbc":                    {16, 16, decryptCBC(aes.NewCipher)},
	"aes192-cbc":                    {24, 16, decryptCBC(aes.NewCipher)},
	"aes256-cbc":                    {32, 16, decryptCBC(aes.NewCipher)},
	"aes128-ctr":                    {16, 16, decryptCTR},
	"aes192-ctr":                    {24, 16, decryptCTR},
	"aes256-ctr":                    {32, 16, decryptCTR},
	"aes128-gcm@openssh.com":        {16, 12, decryptGCM},
	"aes256-gcm@openssh.com":        {32, 12, decryptGCM},
	"chacha20-poly1305@openssh.com": {64, 0, decryptChaCha},
}

// errDamaged says that a key file is not what its format asks for.
var errDamaged = errors.New("the encrypted key is damaged")

// decryptOpenSSH returns a key file without its encryption, in OpenSSH's format. It returns
// x509.IncorrectPasswordError if the passphrase is wrong.
func decryptOpenSSH(block *pem.Block, passphrase []byte) ([]byte, error) {
	var k opensshKey
	rest, ok := bytes.CutPrefix(block.Bytes, []byte(opensshMagic))
	if !ok || ssh.Unmarshal(rest, &k) != nil || k.Keys != 1 || k.KDF != "bcrypt" {
		return nil, errDamaged
	}
	var options struct {
		Salt   string
		Rounds uint32
	}
	with, ok := keyCiphers[k.Cipher]
	if !ok {
		return nil, errors.New("the cipher of the key is not supported")
	}
	if ssh.Unmarshal([]byte(k.Options), &options) != nil || options.Rounds == 0 || options.Salt == "" {
		return nil, errDamaged
	}
	secret, err := bcryptPBKDF(passphrase, []byte(options.Salt), int(options.Rounds), with.key+with.iv)
	if err != nil {
		return nil, err
	}
	plain, err := with.decrypt(secret[:with.key], secret[with.key:], k.Private, k.Rest)
	if err != nil {
		return nil, err
	}
	if len(plain) < 8 || !bytes.Equal(plain[:4], plain[4:8]) { // two equal numbers show that it fits
		return nil, x509.IncorrectPasswordError
	}
	k.Cipher, k.KDF, k.Options, k.Private, k.Rest = "none", "none", "", plain, nil
	return pem.EncodeToMemory(&pem.Block{
		Type: block.Type, Bytes: append([]byte(opensshMagic), ssh.Marshal(k)...),
	}), nil
}

func decryptCBC(
	newBlock func([]byte) (cipher.Block, error),
) func(key, iv, text, tag []byte) ([]byte, error) {
	return func(key, iv, text, tag []byte) ([]byte, error) {
		c, err := newBlock(key)
		if err != nil {
			return nil, err
		}
		if len(text)%c.BlockSize() != 0 || len(tag) != 0 {
			return nil, errDamaged
		}
		plain := bytes.Clone(text)
		cipher.NewCBCDecrypter(c, iv).CryptBlocks(plain, plain)
		return plain, nil
	}
}

func decryptCTR(key, iv, text, tag []byte) ([]byte, error) {
	c, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	if len(tag) != 0 {
		return nil, errDamaged
	}
	plain := bytes.Clone(text)
	cipher.NewCTR(c, iv).XORKeyStream(plain, plain)
	return plain, nil
}

func decryptGCM(key, iv, text, tag []byte) ([]byte, error) {
	c, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(c)
	if err != nil {
		return nil, err
	}
	plain, err := gcm.Open(nil, iv, append(bytes.Clone(text), tag...), nil)
	if err != nil {
		return nil, x509.IncorrectPasswordError
	}
	return plain, nil
}

// decryptChaCha is the cipher that OpenSSH uses for packets (PROTOCOL.chacha20poly1305), with the
// sequence number 0 and no packet length. Only the first of the two keys is needed.
func decryptChaCha(key, _, text, tag []byte) ([]byte, error) {
	stream, err := chacha20.NewUnauthenticatedCipher(key[:32], make([]byte, chacha20.NonceSize))
	if err != nil {
		return nil, err
	}
	var once [32]byte // the key of the MAC is the first block of the stream
	stream.XORKeyStream(once[:], once[:])
	stream.SetCounter(1)
	var sum [poly1305.TagSize]byte
	poly1305.Sum(&sum, text, &once)
	if subtle.ConstantTimeCompare(sum[:], tag) != 1 {
		return nil, x509.IncorrectPasswordError
	}
	plain := bytes.Clone(text)
	stream.XORKeyStream(plain, plain)
	return plain, nil
}

// isOpenSSH reports whether a PEM block is in OpenSSH's format.
func isOpenSSH(block *pem.Block) bool { return strings.HasPrefix(block.Type, "OPENSSH ") }
