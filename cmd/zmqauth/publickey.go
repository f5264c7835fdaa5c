package main

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/zmqauth/zmqauth"
)

// keyForms says in help texts how a public key can be written.
const keyForms = "in Z85, hex or base64"

// The lengths of the forms of a public key. No two forms have the same length.
const (
	z85Length       = 40
	hexLength       = 64
	base64Length    = 43 // without padding
	base64PadLength = 44
)

// publicKeyFrom returns the public key that a flag means: a key as text, or the path of a
// certificate. Where both are possible that is an error. An error does not repeat a text that has
// the length of a key, because it may be a secret one.
func publicKeyFrom(flag, text string) (zmqauth.PublicKey, error) {
	key, isForm, err := decodePublicKey(text)
	_, noFile := os.Lstat(text)
	switch {
	case isForm && err == nil && noFile == nil:
		return zmqauth.PublicKey{}, fmt.Errorf("--%s: this is a key, and a file has that name, too: "+
			"write ./ before it for the file, or the key in another form", flag)
	case isForm && err == nil:
		return key, nil
	case isForm && noFile != nil:
		return zmqauth.PublicKey{}, fmt.Errorf("--%s: %w, and no file has that name", flag, err)
	}
	cert, err := zmqauth.LoadCertificate(text)
	if err != nil {
		return zmqauth.PublicKey{}, fmt.Errorf("%w (nor is it a key: 40 characters of Z85, 64 hex "+
			"digits, or 32 bytes in base64)", err)
	}
	return cert.Public, nil
}

// decodePublicKey reads a public key in each form in which implementations print it: 40 characters
// of Z85, 64 hex digits, or base64 of 32 bytes, standard or for URLs, with or without padding. The
// length decides the form. isForm is false for a text of another length.
func decodePublicKey(text string) (key zmqauth.PublicKey, isForm bool, err error) {
	switch len(text) {
	case z85Length:
		if key, err = zmqauth.ParsePublicKey(text); err != nil {
			err = fmt.Errorf("40 characters are Z85: %w", errors.Unwrap(err))
		}
	case hexLength:
		if _, err = hex.Decode(key[:], []byte(text)); err != nil {
			err = errors.New("64 characters are hex, and not all of them are its digits")
		}
	case base64Length, base64PadLength:
		key, err = decodeBase64(text)
	default:
		return key, false, nil
	}
	if err == nil && key == (zmqauth.PublicKey{}) {
		err = errors.New("a key that is all zero, which nobody can have")
	}
	if err != nil {
		return zmqauth.PublicKey{}, true, err
	}
	return key, true, nil
}

// decodeBase64 reads 32 bytes in either alphabet.
func decodeBase64(text string) (key zmqauth.PublicKey, err error) {
	digits := text
	if len(text) == base64PadLength {
		digits = strings.TrimSuffix(text, "=")
	}
	encoding := base64.RawStdEncoding
	if strings.ContainsAny(digits, "-_") {
		encoding = base64.RawURLEncoding
	}
	// The decoder would ignore line breaks.
	raw, err := encoding.Strict().DecodeString(digits)
	if err != nil || len(raw) != len(key) || strings.ContainsAny(digits, "\r\n") {
		return key, fmt.Errorf("%d characters are base64, and these are not that of 32 bytes",
			len(text))
	}
	return zmqauth.PublicKey(raw), nil
}
