package passwd

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/zmqauth/zmqauth/internal/passhash"
)

// TestParseFile: who is in, which lines are broken, and which is the first with a password in
// clear.
func TestParseFile(t *testing.T) {
	hash := bcryptOf(t, "secret", bcrypt.MinCost)
	long := strings.Repeat("x", MaxLine)
	foreign := func(kind string) string {
		return fmt.Sprintf("1: a hash of a kind that is not understood (%s)", kind)
	}
	tests := map[string]struct {
		text     string
		users    []string
		problems string // "line: what", one a line
		clear    int
	}{
		"nothing":                {"", nil, "", 0},
		"a password":             {"ann=secret", []string{"ann"}, "", 1},
		"a hash":                 {"# who\n\nann:" + hash + "\r\n", []string{"ann"}, "", 0},
		"a hash after =":         {"ann=" + hash, []string{"ann"}, "", 0},
		"further fields":         {"ann:" + hash + ":Ann:staff\n", []string{"ann"}, "", 0},
		"an = in a password":     {"ann=a=b:c", []string{"ann"}, "", 1},
		"the last line counts":   {"ann=one\nann=two", []string{"ann"}, "", 1},
		"a broken last line":     {"ann=old\nbob=b\nann=", []string{"bob"}, "3: the password is", 1},
		"a broken last hash":     {"ann=old\nann:$2y$10$x", nil, "2: not a whole bcrypt hash", 1},
		"a clear text last":      {"ann:" + hash + "\nann:new", nil, "2: after a : only a bcrypt", 2},
		"a good line after that": {"ann=\nann=new", []string{"ann"}, "1: the password is empty", 1},
		"a long last line":       {"ann=old\nann=" + long, nil, "2: longer than 1024 bytes", 1},
		"SHA-512":                {"ann=$6$salt$hash", nil, foreign("$6$"), 0},
		"Apache's MD5":           {"ann:$apr1$salt$hash", nil, foreign("$apr1$"), 0},
		"another bcrypt":         {"ann=$2x$" + hash[4:], nil, foreign("$2x$"), 0},
		"another argon2":         {"ann=$argon2i$v=19$m=8", nil, foreign("$argon2i$"), 0},
		"SHA-1":                  {"ann={SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", nil, foreign("{SHA}"), 0},
		"no hash, in so many":    {"ann={PLAIN}secret", nil, foreign("{PLAIN}"), 1},
		"what looks like a kind": {"ann=$Tr0ub4dor-and-3$!", nil, "1: what looks like a hash", 1},
		"the same in braces":     {"a={SHA}x\nann:{Horse}9", nil, foreign("{SHA}") + "\n2: what", 2},
		"a dollar in a password": {"ann=$ecret$", []string{"ann"}, "", 1},
		"no separator":           {"ann\nbob=b", []string{"bob"}, "1: neither name=password", 1},
		"a byte order mark":      {"\ufeffann=a\nbob=b", []string{"bob"}, "1: the file begins", 1},
		"UTF-16":                 {"a\x00n\x00=\x00a\x00\n\x00", nil, "1: a NUL byte\n2: a NUL", 1},
		"a NUL byte":             {"ann=a\nann=b\x00c", nil, "2: a NUL byte", 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			users, problems, clear, err := ParseFile([]byte(test.text), MaxUsers, 0)
			if got := slices.Sorted(maps.Keys(users)); err != nil || !slices.Equal(got, test.users) {
				t.Errorf("users %q, %v", got, err)
			}
			var lines []string
			for _, p := range problems {
				lines = append(lines, fmt.Sprintf("%d: %v", p.Line, p.Err))
			}
			want := strings.Split(test.problems, "\n")
			if test.problems == "" {
				want = nil
			}
			if !slices.EqualFunc(lines, want, strings.HasPrefix) {
				t.Errorf("problems %q, want %q", lines, want)
			}
			if clear != test.clear {
				t.Errorf("a password in clear in line %d, want %d", clear, test.clear)
			}
		})
	}
}

// TestTooManyUsers: a user that many lines name counts once.
func TestTooManyUsers(t *testing.T) {
	const limit = 100
	var text strings.Builder
	for i := range 3 * limit {
		fmt.Fprintf(&text, "%d=x\n", i%limit)
	}
	users, _, _, err := ParseFile([]byte(text.String()), limit, 0)
	if err != nil || len(users) != limit {
		t.Errorf("%d users: %v", limit, err)
	}
	text.WriteString("one more=x\n")
	_, _, _, err = ParseFile([]byte(text.String()), limit, 0)
	var many *TooManyError
	if !errors.As(err, &many) || many.Line != 3*limit+1 || many.Error() != "more than 100 users" {
		t.Errorf("one more: %v", err)
	}
}

// TestManyBrokenLines: the first ones are told one by one, the others as one.
func TestManyBrokenLines(t *testing.T) {
	for _, more := range []int{0, 1, 2, 50} {
		text := strings.Repeat("broken\n", MaxBroken+more)
		_, problems, _, err := ParseFile([]byte(text), MaxUsers, 0)
		if err != nil || len(problems) != MaxBroken+min(more, 1) {
			t.Fatalf("%d more: %d problems, %v", more, len(problems), err)
		}
		last := problems[len(problems)-1]
		want := fmt.Sprintf("this line and %d more after it are broken, too", more-1)
		if more > 0 && (last.Line != MaxBroken+1 || last.More != more-1 || last.Err.Error() != want) {
			t.Errorf("%d more: %+v", more, last)
		}
	}
}

// FuzzParseFile: each line gives at most a user or a problem, and a problem has its line.
func FuzzParseFile(f *testing.F) {
	for _, seed := range []string{
		"", "ann=secret", "ann:$2y$05$abc\r\n#x\n=\n:", "a=b\nc:d\n\x00=x\n",
		"n=$argon2id$v=19$m=8,t=1,p=1$YWJjZGVmZ2g$YWJjZGVmZ2g", "x\r\r\n", "a=b\na=\n", "\ufeffa=b",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		users, problems, _, err := ParseFile(data, MaxUsers, 0)
		if err != nil {
			t.Fatal(err)
		}
		lines := bytes.Count(data, []byte("\n")) + 1
		broken := 0
		for _, p := range problems {
			if p.Err == nil || p.Line < 1 || p.Line > lines {
				t.Fatalf("%+v", p)
			}
			broken += 1 + p.More
		}
		if len(users)+broken > lines {
			t.Fatalf("%d users and %d problems in %d lines", len(users), broken, lines)
		}
		for name, u := range users {
			if name == "" || len(name) > MaxName || strings.ContainsAny(name, "\x00\n=:") {
				t.Fatalf("the name %q", name)
			}
			if (u.hash == nil) == (u.digest.Load() == nil) {
				t.Fatalf("%q has neither a hash nor a digest, or both", name)
			}
		}
		for line := range bytes.Lines(data) {
			name, _, _, ok := passhash.SplitLine(string(line))
			if _, _, _, err := parseLine(line, 2, 0); ok && err != nil && users[name] != nil {
				last := lastLineOf(data, name)
				if _, _, _, err := parseLine(last, 2, 0); err != nil {
					t.Fatalf("%q is in, and the last line is broken", name)
				}
			}
		}
	})
}

// lastLineOf is the last line of a user.
func lastLineOf(data []byte, user string) (last []byte) {
	for line := range bytes.Lines(data) {
		if name, _, _, ok := passhash.SplitLine(string(line)); ok && name == user {
			last = line
		}
	}
	return last
}
