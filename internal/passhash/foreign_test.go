package passhash

import (
	"errors"
	"strings"
	"testing"
)

// TestForeign: a kind that is known is named. Where it is not, the text may be a password, and the
// error repeats nothing of it.
func TestForeign(t *testing.T) {
	for text, want := range map[string]ForeignError{
		"$6$salt$hash":                  {"$6$", false},
		"$apr1$salt$hash":               {"$apr1$", false},
		"$y$j9T$salt$hash":              {"$y$", false},
		"$2x$10$whatever":               {"$2x$", false},
		"$argon2i$v=19$m=8":             {"$argon2i$", false},
		"{SSHA}abcd":                    {"{SSHA}", false},
		"{ssha}abcd":                    {"{SSHA}", false},
		"{BLF-CRYPT}$2y$":               {"{BLF-CRYPT}", false},
		"{PLAIN}secret":                 {"{PLAIN}", true},
		"{ClearText}secret":             {"{CLEARTEXT}", true},
		"$Tr0ub4dor-and-3$!":            {"", true},
		"$APR1$salt$hash":               {"", true}, // these are not the same in capitals
		"{Correct-Horse.Battery}9":      {"", true},
		"$secret$6$":                    {"", true},
		"{secret}{SSHA}abcd":            {"", true},
		"$5a$" + strings.Repeat("x", 9): {"", true},
	} {
		hash, recognised, err := Parse(text)
		foreign, ok := errors.AsType[*ForeignError](err)
		if hash != nil || !recognised || !ok || *foreign != want {
			t.Errorf("%s: %v, %v, %+v", text, hash, recognised, foreign)
			continue
		}
		said := err.Error()
		if want.Prefix != "" {
			said = strings.Replace(said, want.Prefix, "", 1)
		}
		said = strings.NewReplacer("bcrypt ($2y$) and argon2id", "", "hash", "").Replace(said)
		for part := range strings.FieldsFuncSeq(text, func(c rune) bool {
			return strings.ContainsRune("${}", c)
		}) {
			if len(part) > 2 && strings.Contains(said, part) {
				t.Errorf("%s: %v repeats it", text, err)
			}
		}
	}
	for _, text := range []string{"$ecret$", "{}", "{SSHA}", "$6$", "$", "{", "x{SSHA}y", "$-$x"} {
		if _, recognised, err := Parse(text); recognised || err != nil {
			t.Errorf("%s: %v, %v", text, recognised, err)
		}
	}
}
