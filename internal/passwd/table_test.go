package passwd

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/passhash"
)

func bcryptOf(t testing.TB, password string, cost int) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), cost)
	must.OK(t, err)
	return string(hash)
}

func user(t testing.TB, name, password string) *User[int] {
	t.Helper()
	u, err := NewUser(name, password, len(name))
	must.OK(t, err)
	return u
}

// tableOf makes a table one user at a time, or all at once.
func tableOf(t testing.TB, atOnce bool, users map[string]string) (table Table[int]) {
	t.Helper()
	all := make(map[string]*User[int])
	for name, password := range users {
		all[name] = user(t, name, password)
		table = table.With(name, all[name])
	}
	if atOnce {
		return NewTable(len(all), maps.All(all))
	}
	return table
}

// TestCheck: what is decided at once, what takes a hash, and what that says.
func TestCheck(t *testing.T) {
	hash := bcryptOf(t, "secret", bcrypt.MinCost)
	for _, atOnce := range []bool{true, false} {
		table := tableOf(t, atOnce, map[string]string{"ann": "inclear", "bob": hash})
		for _, test := range []struct {
			name, password    string
			known, right, try bool
			matches           bool
		}{
			{"ann", "inclear", true, true, false, false},
			{"ann", "other", true, false, true, false},
			{"bob", "secret", true, false, true, true},
			{"bob", "other", true, false, true, false},
			{"bob", hash, true, false, true, false},
			{"eve", "secret", false, false, true, false},
			{"eve", "", false, false, true, false},
			{"", "", false, false, true, false},
		} {
			u, right, attempt := table.Check([]byte(test.name), []byte(test.password))
			if (u != nil) != test.known || right != test.right || (attempt != nil) != test.try {
				t.Errorf("%+v: %v, %v, %v", test, u, right, attempt)
			}
			if attempt != nil && attempt.Matches([]byte(test.password)) != test.matches {
				t.Errorf("%+v: the hash matches: %v", test, !test.matches)
			}
		}
	}
	clear := tableOf(t, true, map[string]string{"ann": "inclear"})
	if _, right, attempt := clear.Check([]byte("eve"), []byte("inclear")); right || attempt != nil {
		t.Error("without hashes something is computed")
	}
	if _, right, attempt := (Table[int]{}).Check([]byte("eve"), nil); right || attempt != nil {
		t.Error("an empty table")
	}
}

// TestRemember: a password that was found right is known at once, until the hash is another.
func TestRemember(t *testing.T) {
	hash := bcryptOf(t, "secret", bcrypt.MinCost)
	table := tableOf(t, true, map[string]string{"bob": hash})
	_, _, attempt := table.Check([]byte("bob"), []byte("secret"))
	if !attempt.Matches([]byte("secret")) || !attempt.Remember(table.Get("bob")) {
		t.Fatal("not remembered")
	}
	isKnown := func(table Table[int]) bool {
		_, right, _ := table.Check([]byte("bob"), []byte("secret"))
		return right
	}
	if !isKnown(table) {
		t.Error("forgotten")
	}
	if same := table.With("bob", user(t, "bob", hash)); !isKnown(same) {
		t.Error("the same hash: forgotten")
	}
	again := tableOf(t, true, map[string]string{"bob": hash})
	again.Keep(table)
	if !isKnown(again) {
		t.Error("a table with the same hash: forgotten")
	}
	other := table.With("bob", user(t, "bob", bcryptOf(t, "secret", bcrypt.MinCost)))
	if isKnown(other) {
		t.Error("another hash of the password: remembered")
	}
	if attempt.Remember(other.Get("bob")) || attempt.Remember(nil) ||
		attempt.Remember(user(t, "bob", "x")) {
		t.Error("remembered for who has another hash")
	}
	if isKnown(table.Without("bob")) || !isKnown(table) {
		t.Error("Without has changed the table before it, or nothing")
	}
}

// TestDecoys: an unknown name costs as much as a user does. Each cost is as frequent among unknown
// names as among users, also when users come and go.
func TestDecoys(t *testing.T) {
	costly := bcryptOf(t, "secret", bcrypt.MinCost+1)
	users := map[string]string{"costly": costly, "clear": "inclear"}
	for i := range 9 {
		users[fmt.Sprint("user", i)] = bcryptOf(t, "secret", bcrypt.MinCost)
	}
	for _, atOnce := range []bool{true, false} {
		table := tableOf(t, atOnce, users)
		drawn := 0
		for i := range 1000 {
			name := []byte(fmt.Sprint("nobody", i))
			decoy := table.decoy(name)
			if decoy != table.decoy(name) {
				t.Fatalf("%s costs another hash each time", name)
			}
			if decoy.Text() == costly {
				drawn++
			}
		}
		if drawn < 50 || drawn > 200 { // of 1,000, for one user of ten
			t.Errorf("the costly hash is drawn %d times", drawn)
		}
		for i := range 9 {
			table = table.Without(fmt.Sprint("user", i))
		}
		if got := table.decoy([]byte("nobody")).Text(); got != costly {
			t.Errorf("the hash of users who are gone is computed: %s", got)
		}
		table = table.With("costly", user(t, "costly", "inclear"))
		if len(table.costs) != 0 || table.Len() != 2 {
			t.Errorf("%d costs without a hash, %d users", len(table.costs), table.Len())
		}
	}
}

// FuzzNewUser: a good hash is kept as a hash. A broken hash, or one of another kind, is refused,
// and never taken for a password in clear.
func FuzzNewUser(f *testing.F) {
	for _, text := range []string{
		"", "secret", "$1$md5", "$6$salt$hash", "{SSHA}x", "$2y$05$short",
		strings.Repeat("x", passhash.MaxPassword+1),
		"$2y$04$" + strings.Repeat("a", 53), "$2y$31$" + strings.Repeat("a", 53),
		"$argon2id$v=19$m=8,t=1,p=1$YWJjZGVmZ2g$YWJjZGVmZ2g",
		"$argon2id$v=16$m=8,t=1,p=1$YWJjZGVmZ2g$YWJjZGVmZ2g",
		"$argon2id$v=19$m=8,t=1,p=1$YWJjZGVmZ2g$" + strings.Repeat("A", 300),
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		hash, recognised, err := passhash.Parse(text)
		u, refused := NewUser("ann", text, 0)
		fits := text != "" && len(text) <= passhash.MaxPassword
		switch {
		case err != nil || !fits:
			if refused == nil || u != nil {
				t.Fatalf("%q: %v, and yet there is a user", text, err)
			}
		case refused != nil:
			t.Fatalf("%q: %v", text, refused)
		case !recognised:
			if u.hash != nil || u.digest.Load() == nil {
				t.Fatalf("the password %q: %+v", text, u)
			}
		case u.hash == nil || u.hash.Text() != hash.Text() || u.digest.Load() != nil:
			t.Fatalf("the hash %q: %+v", text, u)
		}
	})
}
