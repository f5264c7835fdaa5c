package passhash

import (
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// FuzzPasswordHash: an accepted hash is within the limits of cost, keeps its text, and can be
// computed. A text with the prefix of a hash that is not one gives an error and no hash.
func FuzzPasswordHash(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		hash, recognised, err := Parse(text)
		switch {
		case !recognised:
			if strings.HasPrefix(text, "$2y$") || strings.HasPrefix(text, "$argon2id$") ||
				hash != nil || err != nil {
				t.Fatalf("%q is not recognised: %v, %v", text, hash, err)
			}
		case err != nil:
			if hash != nil {
				t.Fatalf("%q: %v, and yet a hash", text, err)
			}
		case hash.Text() != text:
			t.Fatalf("%q became %q", text, hash.Text())
		case hash.argon2 != nil:
			checkArgon2(t, hash)
		default:
			checkBcryptHash(t, text)
		}
	})
}

func checkArgon2(t *testing.T, hash *Hash) {
	t.Helper()
	text, h := hash.Text(), hash.argon2
	if h.String() != text && !strings.Contains(text, "=0") && !strings.Contains(text, "=+") {
		t.Fatalf("%q became %q", text, h)
	}
	if h.memory > maxArgon2Memory || h.passes > maxArgon2Passes || h.threads > maxArgon2Threads {
		t.Fatalf("%q costs %+v", text, h.argon2Cost)
	}
	if h.memory <= 64 && h.passes == 1 {
		hash.Matches([]byte("x"))
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
	err = bcrypt.CompareHashAndPassword([]byte(text), []byte("x"))
	if err != nil && err != bcrypt.ErrMismatchedHashAndPassword {
		t.Fatalf("%q is taken, but no password can ever be right: %v", text, err)
	}
}

// FuzzSplitLine: the parts make up the line, as a string and as bytes. A line without a user has no
// separator, or it is blank.
func FuzzSplitLine(f *testing.F) {
	for _, line := range []string{
		"", "\r\n", "\r\r\n", "#a=b", "ann=secret", "ann:$2y$05$\n", "=:", "x",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		trimmed := strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		name, password, separator, ok := SplitLine(line)
		blank := trimmed == "" || trimmed[0] == '#'
		if ok != (!blank && strings.ContainsAny(trimmed, "=:")) || blank != IsBlank(line) {
			t.Fatalf("%q: a user: %v, blank: %v", line, ok, IsBlank(line))
		}
		if ok && (name+string(rune(separator))+password != trimmed || strings.ContainsAny(name, "=:")) {
			t.Fatalf("%q: %q %c %q", line, name, separator, password)
		}
		n, p, s, isUser := SplitLine([]byte(line))
		if string(n) != name || string(p) != password || s != separator || isUser != ok {
			t.Fatalf("%q as bytes: %q %c %q, %v", line, n, s, p, isUser)
		}
	})
}
