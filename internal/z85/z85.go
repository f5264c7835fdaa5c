// Package z85 encodes 32-byte keys as text and decodes them (Z85, RFC 32).
//
// Five characters encode four bytes, which are a big-endian number. The characters are its digits
// in base 85, the most significant digit first. A key has exactly one text.
package z85

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Length is the number of characters in the text of a key.
const Length = 40

const alphabet = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" +
	".-:+=^!/*?&<>()[]{}@%$#"

// noDigit marks a character that is not in the alphabet.
const noDigit = 0xff

// values has the digit of each character.
var values = func() (values [256]byte) {
	for i := range values {
		values[i] = noDigit
	}
	for i, c := range []byte(alphabet) {
		values[c] = byte(i)
	}
	return values
}()

// ErrLength is the error of [Decode] for a text that does not have [Length] bytes.
var ErrLength = errors.New("not 40 characters of Z85")

// Encode returns the text of a key: [Length] ASCII characters.
func Encode(key [32]byte) string {
	var text [Length]byte
	for i := range len(key) / 4 {
		n, digits := binary.BigEndian.Uint32(key[4*i:]), text[5*i:][:5]
		digits[4] = alphabet[n%85]
		n /= 85
		digits[3] = alphabet[n%85]
		n /= 85
		digits[2] = alphabet[n%85]
		n /= 85
		digits[1] = alphabet[n%85]
		digits[0] = alphabet[n/85]
	}
	return string(text[:])
}

// Decode returns the key that a text encodes. The errors are ErrLength, and errors that say which
// characters are wrong; the key is zero then. No error repeats the text, which may be secret.
func Decode(text string) (key [32]byte, err error) {
	if len(text) != Length {
		return key, ErrLength
	}
	for i := 0; i < len(text); i += 5 {
		var n uint64
		for j := range 5 {
			v := values[text[i+j]]
			if v == noDigit {
				return [32]byte{}, fmt.Errorf("character %d is none of Z85's", i+j+1)
			}
			n = n*85 + uint64(v)
		}
		if n > 0xffffffff { // five digits have room for more than four bytes
			return [32]byte{}, fmt.Errorf("characters %d to %d are no Z85", i+1, i+5)
		}
		k := i / 5 * 4
		key[k], key[k+1], key[k+2], key[k+3] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
	}
	return key, nil
}
