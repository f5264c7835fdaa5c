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
