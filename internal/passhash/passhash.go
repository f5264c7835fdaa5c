// Package passhash makes, reads and verifies hashes of passwords. It also splits the lines of
// password files.
package passhash

import (
	"fmt"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// MaxPassword is the length of the longest password in bytes. PLAIN has no room for more on the
// wire (RFC 24).
const MaxPassword = 255

// CheckPassword checks that a password has 1 to MaxPassword bytes. The error does not repeat it.
func CheckPassword(password string) error {
	if password == "" || len(password) > MaxPassword {
		return fmt.Errorf("a password has 1 to %d bytes", MaxPassword)
	}
	return nil
}

// The kinds of hashes.
const (
	Argon2id = "argon2id"
	Bcrypt   = "bcrypt"
)

// Hash is a bcrypt or argon2id hash of a password. bcrypt uses only the first 72 bytes of the
// password. A Hash is immutable.
type Hash struct {
	text   string
	argon2 *argon2Hash // nil: bcrypt
}

// Parse reads a hash. recognised reports whether the text has the prefix of a hash: $2a$, $2b$,
// $2y$ (bcrypt), $argon2id$, or that of another kind. A recognised text is an error if it is not a
// valid hash, if it is too expensive to verify, or if it is of another kind: it is no password.
// That error is a *ForeignError. No error repeats more than the prefix of a kind that is known.
// h is nil unless the text is recognised and there is no error.
func Parse(text string) (h *Hash, recognised bool, err error) {
	for _, prefix := range []string{"$2a$", "$2b$", "$2y$"} {
		if strings.HasPrefix(text, prefix) {
			if err := checkBcrypt(text); err != nil {
				return nil, true, err
			}
			return &Hash{text: text}, true, nil
		}
	}
	if rest, ok := strings.CutPrefix(text, "$argon2id$"); ok {
		parsed, err := parseArgon2(rest)
		if err != nil {
			return nil, true, err
		}
		return &Hash{text: text, argon2: parsed}, true, nil
	}
	if err := checkForeign(text); err != nil {
		return nil, true, err
	}
	return nil, false, nil
}

// Text returns what Parse read. Hashes of the same text are the same.
func (h *Hash) Text() string { return h.text }

// Kind is Argon2id or Bcrypt.
func (h *Hash) Kind() string {
	if h.argon2 == nil {
		return Bcrypt
	}
	return Argon2id
}

// Parameters returns what makes the hash cheap or expensive, as its text has it: cost=12 for
// bcrypt, m=19456,t=2,p=1 for argon2id. Nobody can learn the password from it.
func (h *Hash) Parameters() string {
	if h.argon2 == nil {
		cost, _ := bcrypt.Cost([]byte(h.text)) // Parse has read it
		return fmt.Sprintf("cost=%d", cost)
	}
	return h.argon2.argon2Cost.String()
}

// Cost is the same for hashes that take the same time to compute, and for no others.
func (h *Hash) Cost() string {
	if h.argon2 == nil {
		return h.text[:len("$2y$10")]
	}
	return fmt.Sprintf("%+v %d", h.argon2.argon2Cost, len(h.argon2.sum))
}

// Matches computes the hash of the password, which takes long by design, and reports whether it is
// h.
func (h *Hash) Matches(password []byte) bool {
	if h.argon2 == nil {
		return matchesBcrypt(h.text, password)
	}
	return h.argon2.matches(password)
}
