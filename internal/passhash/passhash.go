// Package passhash makes, reads and verifies hashes of passwords. It also splits the lines of
// password files.
package passhash

import "strings"

// MaxPassword is the length of the longest password in bytes. PLAIN has no room for more on the
// wire (RFC 24).
const MaxPassword = 255

// Hash is a bcrypt or argon2id hash of a password. bcrypt uses only the first 72 bytes of the
// password. A Hash is immutable.
type Hash struct {
	text   string
	argon2 *argon2Hash // nil: bcrypt
}

// Parse reads a hash. recognised reports whether the text has the prefix of a hash: $2a$, $2b$,
// $2y$ (bcrypt) or $argon2id$. A recognised text is an error if it is not a valid hash or if it is
// too expensive to verify. No error repeats the text. h is nil unless the text is recognised and
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

// Text returns the text that Parse has read. Two hashes are equal if their texts are.
func (h *Hash) Text() string { return h.text }

// Matches reports whether h is the hash of the password. It computes the hash, which is slow by
// design.
func (h *Hash) Matches(password []byte) bool {
	if h.argon2 == nil {
		return matchesBcrypt(h.text, password)
	}
	return h.argon2.matches(password)
}
