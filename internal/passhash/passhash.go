// Package passhash makes, reads and verifies the hashes of passwords, and parts the lines of the
// files that hold them.
package passhash

import "strings"

// MaxPassword is how many bytes a password may have: what PLAIN has room for on the wire (RFC 24).
const MaxPassword = 255

// Hash is what is kept of a password to verify it: bcrypt's, which looks at its first 72 bytes
// only, or argon2id's. Its text may stand in a table or file of passwords in place of the password.
// A Hash is immutable.
type Hash struct {
	text   string
	argon2 *argon2Hash // nil: bcrypt
}

// Parse reads a hash. recognised reports whether the text claims to be one, by its prefix: $2a$,
// $2b$, $2y$ (bcrypt) or $argon2id$. A text that does and is no valid hash, or would cost too much
// to verify, is an error, which does not repeat it. The hash is nil unless it is recognised and
// there is no error.
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
	return nil, false, nil
}

// Text returns what Parse read. Hashes of the same text are the same.
func (h *Hash) Text() string { return h.text }

// Matches computes the hash of the password, which takes long by design, and reports whether it is
// h.
func (h *Hash) Matches(password []byte) bool {
	if h.argon2 == nil {
		return matchesBcrypt(h.text, password)
	}
	return h.argon2.matches(password)
}
