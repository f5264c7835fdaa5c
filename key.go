package zmqauth

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
)

const redacted = "[redacted]"

// PublicKey is a CURVE public key: 32 raw bytes (RFC 26). The zero value is no key that a peer can prove to hold; no
// set accepts it.
type PublicKey [32]byte

// SecretKey is a CURVE secret key: 32 raw bytes (RFC 26). Every way of formatting or logging it shows a placeholder;
// only [SecretKey.Z85] and indexing reveal it. There is one limit that no type can lift: package fmt calls no methods of
// what is in an unexported field. A struct that is ever formatted holds a *Certificate there, and no key.
type SecretKey [32]byte

// ParsePublicKey reads a public key from its 40 characters of Z85 (RFC 32).
func ParsePublicKey(z85 string) (PublicKey, error) {
	raw, err := decodeZ85(z85)
	if err != nil {
		return PublicKey{}, fmt.Errorf("zmqauth: public key: %w", err)
	}
	return raw, nil
}

// ParseSecretKey reads a secret key from its 40 characters of Z85 (RFC 32). The error never repeats the text.
func ParseSecretKey(z85 string) (SecretKey, error) {
	raw, err := decodeZ85(z85)
	if err != nil {
		return SecretKey{}, fmt.Errorf("zmqauth: secret key: %w", err)
	}
	return raw, nil
}

// GenerateKeyPair makes a new key pair from the system's random source. It does not call libzmq, whose own generator
// has raced with the end of a context.
func GenerateKeyPair() (PublicKey, SecretKey, error) {
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return PublicKey{}, SecretKey{}, fmt.Errorf("zmqauth: making a key pair: %w", err)
	}
	return PublicKey(key.PublicKey().Bytes()), SecretKey(key.Bytes()), nil
}

// String is the key in Z85, 40 characters: the form that certificates, logs and user ids show.
func (k PublicKey) String() string { return encodeZ85(k) }

// MarshalText is the key in Z85, 40 characters.
func (k PublicKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads a key from 40 characters of Z85.
func (k *PublicKey) UnmarshalText(text []byte) error {
	key, err := ParsePublicKey(string(text))
	if err != nil {
		return err
	}
	*k = key
	return nil
}

// Public is the public key that belongs to s.
func (s SecretKey) Public() PublicKey {
	key, err := ecdh.X25519().NewPrivateKey(s[:])
	if err != nil { // it takes any 32 bytes
		return PublicKey{}
	}
	return PublicKey(key.PublicKey().Bytes())
}

// Z85 is the secret itself, as 40 characters: for a secret certificate or libzmq's option, and nothing else.
func (s SecretKey) Z85() string { return encodeZ85(s) }

// Equal compares in constant time.
func (s SecretKey) Equal(other SecretKey) bool {
	return subtle.ConstantTimeCompare(s[:], other[:]) == 1
}

// String is a placeholder.
func (s SecretKey) String() string { return redacted }

// GoString is a placeholder.
func (s SecretKey) GoString() string { return redacted }

// Format writes the placeholder for every verb.
func (s SecretKey) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue is a placeholder, for log/slog.
func (s SecretKey) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText is a placeholder, for encoding/json and its like. Use [SecretKey.Z85] to store a secret.
func (s SecretKey) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Z85, RFC 32: five characters for four bytes, base 85, the most significant first.
const z85Alphabet = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"

const z85KeyLength = 40

var z85Values = func() (values [256]byte) {
	for i := range values {
		values[i] = 0xff
	}
	for i, c := range []byte(z85Alphabet) {
		values[c] = byte(i)
	}
	return values
}()

func encodeZ85(key [32]byte) string {
	var text [z85KeyLength]byte
	for i := range len(key) / 4 {
		n, digits := binary.BigEndian.Uint32(key[4*i:]), text[5*i:][:5]
		digits[4] = z85Alphabet[n%85]
		n /= 85
		digits[3] = z85Alphabet[n%85]
		n /= 85
		digits[2] = z85Alphabet[n%85]
		n /= 85
		digits[1] = z85Alphabet[n%85]
		digits[0] = z85Alphabet[n/85]
	}
	return string(text[:])
}

var errZ85Length = errors.New("not 40 characters of Z85")

func decodeZ85(text string) (key [32]byte, err error) {
	if len(text) != z85KeyLength {
		return key, errZ85Length
	}
	for i := 0; i < len(text); i += 5 {
		var n uint64
		for j := range 5 {
			v := z85Values[text[i+j]]
			if v == 0xff {
				return [32]byte{}, fmt.Errorf("character %d is none of Z85's", i+j+1)
			}
			n = n*85 + uint64(v)
		}
		if n > 0xffffffff {
			return [32]byte{}, fmt.Errorf("characters %d to %d are no Z85", i+1, i+5)
		}
		k := i / 5 * 4
		key[k], key[k+1], key[k+2], key[k+3] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
	}
	return key, nil
}
