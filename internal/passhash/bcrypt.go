package passhash

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// maxBcryptCost limits a verification to some seconds. Everybody who knows the name of a user can
// make the server verify that user's hash.
const maxBcryptCost = 16

const (
	bcryptLength   = 60
	bcryptAlphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
)

// The cost of the hashes that NewBcrypt makes: the logarithm, to base 2, of their rounds.
const (
	MinBcryptCost     = 10 // OWASP's minimum
	DefaultBcryptCost = 12
	MaxBcryptCost     = maxBcryptCost
)

// MaxBcryptPassword is the length in bytes of the longest password that NewBcrypt takes. bcrypt
// does not look at further bytes, so that other passwords would have the same hash.
const MaxBcryptPassword = 72

// NewBcrypt hashes a password of 1 to MaxBcryptPassword bytes with a new salt. cost is
// MinBcryptCost to MaxBcryptCost. It returns the text of a bcrypt hash as htpasswd writes it
// ($2y$12$…). The only errors are a password of another length or with a NUL byte, which no
// server would accept, and another cost.
func NewBcrypt(password string, cost int) (text string, err error) {
	if err := CheckPassword(password); err != nil {
		return "", err
	}
	switch {
	case len(password) > MaxBcryptPassword:
		return "", fmt.Errorf("a password has at most %d bytes for bcrypt", MaxBcryptPassword)
	case strings.IndexByte(password, 0) >= 0:
		return "", errors.New("bcrypt takes no password with a NUL byte")
	case cost < MinBcryptCost || cost > MaxBcryptCost:
		return "", fmt.Errorf("bcrypt of cost %d: %d to %d", cost, MinBcryptCost, MaxBcryptCost)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), cost)
	if err != nil {
		return "", err
	}
	// $2a$ and $2y$ are the same for a password without a NUL byte.
	return "$2y$" + strings.TrimPrefix(string(hash), "$2a$"), nil
}

// checkBcrypt checks a text that has the prefix of a bcrypt hash.
func checkBcrypt(text string) error {
	const head = len("$2y$10$")
	if len(text) != bcryptLength || strings.Trim(text[head:], bcryptAlphabet) != "" {
		return errors.New("not a whole bcrypt hash")
	}
	cost, err := bcrypt.Cost([]byte(text))
	switch {
	case err != nil:
		return errors.New("not a bcrypt hash")
	case cost > maxBcryptCost:
		return fmt.Errorf("a bcrypt hash of cost %d: at most %d", cost, maxBcryptCost)
	}
	return nil
}

// matchesBcrypt refuses every password with a NUL byte. bcrypt repeats a password with a NUL byte
// after each repetition, so that "a" and "a\x00a" have the same hash.
func matchesBcrypt(text string, password []byte) bool {
	return bcrypt.CompareHashAndPassword([]byte(text), password) == nil &&
		bytes.IndexByte(password, 0) < 0
}
