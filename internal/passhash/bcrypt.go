package passhash

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// maxBcryptCost bounds how long a verification takes, to some seconds: whoever knows a user's name
// can cause one.
const maxBcryptCost = 16

const (
	bcryptLength   = 60
	bcryptAlphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
)

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

// matchesBcrypt refuses passwords with a NUL byte: to bcrypt a password ends at the first, and then
// begins again.
func matchesBcrypt(text string, password []byte) bool {
	return bcrypt.CompareHashAndPassword([]byte(text), password) == nil &&
		bytes.IndexByte(password, 0) < 0
}
