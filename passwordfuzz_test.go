package zmqauth

import (
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/zmqauth/zmqauth/internal/zap"
)

// FuzzPasswordHash: a hash that is taken costs no more than the limits say, is written as it was read, and can be
// computed; what claims to be one and cannot be read is no password in clear either.
func FuzzPasswordHash(f *testing.F) {
	a := newAuthenticator(f, Config{})
	f.Fuzz(func(t *testing.T, text string) {
		hash, recognised, err := parseHash(text)
		table := newPasswordTable()
		added := table.add(a, "ann", text)
		entry := table.users["ann"]
		switch {
		case !recognised:
			if strings.HasPrefix(text, "$2y$") || strings.HasPrefix(text, "$argon2id$") || entry != nil && entry.hash != nil {
				t.Fatalf("%q is not recognised", text)
			}
		case err != nil:
			if added == nil || entry != nil {
				t.Fatalf("%q: %v, and yet it is in the table", text, err)
			}
		case entry == nil && len(text) <= zap.MaxCredential, entry != nil && (entry.hash == nil || entry.digest.Load() != nil):
			t.Fatalf("%q: %v, %+v", text, added, entry)
		case hash.argon2 != nil:
			checkArgon2(t, text, hash.argon2)
		default:
			checkBcryptHash(t, text)
		}
	})
}

func checkArgon2(t *testing.T, text string, h *argon2Hash) {
	t.Helper()
	if h.String() != text && !strings.Contains(text, "=0") && !strings.Contains(text, "=+") {
		t.Fatalf("%q became %q", text, h)
	}
	if h.memory > maxArgon2Memory || h.passes > maxArgon2Passes || h.threads > maxArgon2Threads {
		t.Fatalf("%q costs %+v", text, h.argon2Cost)
	}
	if h.memory <= 64 && h.passes == 1 {
		(&passwordHash{text: text, argon2: h}).matches([]byte("x"))
	}
}

func checkBcryptHash(t *testing.T, text string) {
	t.Helper()
	cost, err := bcrypt.Cost([]byte(text))
	if err != nil || cost > maxBcryptCost {
		t.Fatalf("%q costs %d: %v", text, cost, err)
	}
	if cost > bcrypt.MinCost {
		return
	}
	if err := bcrypt.CompareHashAndPassword([]byte(text), []byte("x")); err != nil && err != bcrypt.ErrMismatchedHashAndPassword {
		t.Fatalf("%q is taken, but no password can ever be right: %v", text, err)
	}
}
