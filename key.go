package zmqauth

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"log/slog"

	"github.com/zmqauth/zmqauth/internal/certfile"
	"github.com/zmqauth/zmqauth/internal/z85"
)

const redacted = "[redacted]"

// PublicKey is a CURVE public key: 32 raw bytes (RFC 26). The zero value is no key that a peer can
// prove to have; no set accepts it.
type PublicKey [32]byte

// SecretKey is a CURVE secret key: 32 raw bytes (RFC 26). Every way of formatting or logging it
// shows a placeholder; only [SecretKey.Z85] and indexing reveal it. There are two limits that no
// type can lift. Package fmt calls no methods of what is in an unexported field: a struct that may
// be formatted should have a *Certificate there, and no key. And fmt calls no methods for the verbs
// %p and %w, which are for pointers and errors: go vet reports both.
type SecretKey [32]byte

// ParsePublicKey reads a public key from its 40 characters of Z85 (RFC 32).
func ParsePublicKey(text string) (PublicKey, error) {
	raw, err := z85.Decode(text)
	if err != nil {
		return PublicKey{}, fmt.Errorf("zmqauth: public key: %w", err)
	}
	return raw, nil
}

// ParseSecretKey reads a secret key from its 40 characters of Z85 (RFC 32). The error never repeats
// the text.
func ParseSecretKey(text string) (SecretKey, error) {
	raw, err := z85.Decode(text)
	if err != nil {
		return SecretKey{}, fmt.Errorf("zmqauth: secret key: %w", err)
	}
	return raw, nil
}

// GenerateKeyPair makes a new key pair from the system's random source. It does not call libzmq,
// whose own generator has raced with the end of a context.
func GenerateKeyPair() (PublicKey, SecretKey, error) {
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return PublicKey{}, SecretKey{}, fmt.Errorf("zmqauth: making a key pair: %w", err)
	}
	return PublicKey(key.PublicKey().Bytes()), SecretKey(key.Bytes()), nil
}

// String is the key in Z85, 40 characters: the form that certificates, logs and user ids show.
func (k PublicKey) String() string { return z85.Encode(k) }

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
func (s SecretKey) Public() PublicKey { return certfile.Public(s) }

// Z85 is the secret itself, as 40 characters: for a secret certificate or libzmq's option, and
// nothing else.
func (s SecretKey) Z85() string { return z85.Encode(s) }

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

// MarshalText is a placeholder, for encoding/json and its like. Use [SecretKey.Z85] to store a
// secret.
func (s SecretKey) MarshalText() ([]byte, error) { return []byte(redacted), nil }
