package passhash

import (
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// cheapBcrypt returns a hash of the lowest cost, with the prefix that htpasswd writes.
func cheapBcrypt(t *testing.T, password string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return "$2y$" + strings.TrimPrefix(string(hash), "$2a$")
}

func TestNew(t *testing.T) {
	text, err := New("correct horse")
	if err != nil {
		t.Fatal(err)
	}
	again, err := New("correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if text == again || !strings.HasPrefix(text, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("%s, %s", text, again)
	}
	hash, recognised, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if !recognised || hash.Text() != text || hash.argon2.String() != text {
		t.Errorf("%s is not read back", text)
	}
	if !hash.Matches([]byte("correct horse")) || hash.Matches([]byte("correct hors")) {
		t.Errorf("%s does not match what it was made of, or something else", text)
	}
	for _, password := range []string{"", strings.Repeat("x", 256)} {
		if _, err := New(password); err == nil {
			t.Errorf("%d bytes: no error", len(password))
		}
	}
}

// TestNewOfCost: what is made has the cost that was asked for, is read back, and says its kind.
func TestNewOfCost(t *testing.T) {
	argon, err := NewArgon2("correct horse", 3)
	if err != nil {
		t.Fatal(err)
	}
	crypt, err := NewBcrypt("correct horse", MinBcryptCost)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string][3]string{
		argon: {"$argon2id$v=19$m=19456,t=3,p=1$", Argon2id, "m=19456,t=3,p=1"},
		crypt: {"$2y$10$", Bcrypt, "cost=10"},
	} {
		hash, _, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(text, want[0]) || hash.Kind() != want[1] || hash.Parameters() != want[2] {
			t.Errorf("%s: %s, %s", text, hash.Kind(), hash.Parameters())
		}
		if !hash.Matches([]byte("correct horse")) || hash.Matches([]byte("correct hors")) {
			t.Errorf("%s does not match what it was made of, or something else", text)
		}
	}
}

// TestNewRefuses: no hash is made that a server would not accept, and no error has the password.
func TestNewRefuses(t *testing.T) {
	const fine = "hunter2"
	long := strings.Repeat("hunter2", 40)
	for name, refused := range map[string]func() (string, error){
		"argon2id: no password":     func() (string, error) { return NewArgon2("", 2) },
		"argon2id: a long password": func() (string, error) { return NewArgon2(long[:256], 2) },
		"argon2id: one pass":        func() (string, error) { return NewArgon2(fine, 1) },
		"argon2id: many passes":     func() (string, error) { return NewArgon2(fine, 17) },
		"argon2id: a negative cost": func() (string, error) { return NewArgon2(fine, -1) },
		"bcrypt: no password":       func() (string, error) { return NewBcrypt("", 10) },
		"bcrypt: a long password":   func() (string, error) { return NewBcrypt(long[:73], 10) },
		"bcrypt: a longer password": func() (string, error) { return NewBcrypt(long, 10) },
		"bcrypt: a NUL byte":        func() (string, error) { return NewBcrypt(fine+"\x00", 10) },
		"bcrypt: too cheap":         func() (string, error) { return NewBcrypt(fine, 9) },
		"bcrypt: too expensive":     func() (string, error) { return NewBcrypt(fine, 17) },
		"bcrypt: far too expensive": func() (string, error) { return NewBcrypt(fine, 1<<40) },
		"bcrypt: the default of Go": func() (string, error) { return NewBcrypt(fine, 0) },
	} {
		text, err := refused()
		if err == nil || text != "" || strings.Contains(err.Error(), fine) {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
	if _, err := NewArgon2(long[:255], MinPasses); err != nil {
		t.Error(err)
	}
	if _, err := NewBcrypt(long[:72], MinBcryptCost); err != nil {
		t.Error(err)
	}
}

// TestForeignArgon2 verifies a hash from the test vectors of the reference implementation
// (argon2id, version 19).
func TestForeignArgon2(t *testing.T) {
	const vector = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$" +
		"nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
	hash, _, err := Parse(vector)
	if err != nil {
		t.Fatal(err)
	}
	if !hash.Matches([]byte("password")) || hash.Matches([]byte("Password")) {
		t.Error("the reference's vector does not match")
	}
}

func TestParse(t *testing.T) {
	good := cheapBcrypt(t, "x")
	argon, err := New("x")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		text           string
		recognised, ok bool
	}{
		{good, true, true},
		{"$2a$" + good[4:], true, true},
		{"$2b$" + good[4:], true, true},
		{argon, true, true},
		{"$2x$" + good[4:], true, false},
		{"$1$abc$def", true, false},
		{"secret", false, false},
		{"", false, false},
		{good[:59], true, false},
		{good + "x", true, false},
		{good[:30] + "!" + good[31:], true, false},
		{"$2y$17" + good[6:], true, false},
		{"$2y$03" + good[6:], true, false},
		{"$2y$xx" + good[6:], true, false},
		{"$2y$", true, false},
		{"$argon2id$", true, false},
		{strings.Replace(argon, "v=19", "v=16", 1), true, false},
		{strings.Replace(argon, "m=19456", "m=1048576", 1), true, false},
		{strings.Replace(argon, "m=19456", "m=7", 1), true, false},
		{strings.Replace(argon, "m=19456", "m=-1", 1), true, false},
		{strings.Replace(argon, "t=2", "t=0", 1), true, false},
		{strings.Replace(argon, "t=2", "t=17", 1), true, false},
		{strings.Replace(argon, "p=1", "p=0", 1), true, false},
		{strings.Replace(argon, "p=1", "p=256", 1), true, false},
		{strings.Replace(argon, "m=19456,t=2", "t=2,m=19456", 1), true, false},
		{argon + "$", true, false},
		{argon[:len(argon)-40], true, false},
		{argon[:strings.LastIndex(argon, "$")+1], true, false},
		{argon[:len(argon)-1] + "=", true, false},
	} {
		h, recognised, err := Parse(test.text)
		if (h != nil) != (test.recognised && test.ok) {
			t.Errorf("%q: hash %v", test.text, h)
		}
		if recognised != test.recognised || recognised && (err == nil) != test.ok {
			t.Errorf("%q: recognised %v, %v", test.text, recognised, err)
		}
		tail := test.text[max(0, len(test.text)-20):]
		if err != nil && len(test.text) > 20 && strings.Contains(err.Error(), tail) {
			t.Errorf("%q: the error %v repeats it", test.text, err)
		}
	}
}

func TestMatchesBcrypt(t *testing.T) {
	text := cheapBcrypt(t, "secret")
	hash, _, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	for password, want := range map[string]bool{
		"secret": true, "Secret": false, "": false, "secre": false, text: false,
		"secret\x00secret": false, "secret\x00": false, "\x00secret": false, // to bcrypt it ends there
	} {
		if got := hash.Matches([]byte(password)); got != want {
			t.Errorf("%q: %v", password, got)
		}
	}
}
