package main

import (
	"strings"
	"testing"
)

func TestSetUser(t *testing.T) {
	for name, test := range map[string]struct{ content, want string }{
		"an empty file":          {"", "ann:H\n"},
		"the first":              {"# c\n", "# c\nann:H\n"},
		"changed":                {"a=1\nann=x\nb=2\n", "a=1\nann:H\nb=2\n"},
		"changed from a hash":    {"ann:$2y$x\n", "ann:H\n"},
		"no newline":             {"a=1", "a=1\nann:H\n"},
		"changed, no newline":    {"a=1\nann=2", "a=1\nann:H"},
		"CRLF":                   {"a=1\r\n", "a=1\r\nann:H\r\n"},
		"CRLF, no end":           {"a=1\r\nb=2", "a=1\r\nb=2\r\nann:H\r\n"},
		"changed, CRLF":          {"ann=1\r\nb=2\r\n", "ann:H\r\nb=2\r\n"},
		"twice":                  {"ann=1\nb=2\nann=3\n", "b=2\nann:H\n"},
		"a comment of hers":      {"#ann=1\n", "#ann=1\nann:H\n"},
		"a longer name":          {"anna=1\n", "anna=1\nann:H\n"},
		"a password like her":    {"a=ann=1\n", "a=ann=1\nann:H\n"},
		"blanks are a name's":    {" ann=1\n", " ann=1\nann:H\n"},
		"broken lines":           {"ann\n\n=x\n:y\n", "ann\n\n=x\n:y\nann:H\n"},
		"bytes that are no text": {"\xff\xfe=1\n", "\xff\xfe=1\nann:H\n"},
	} {
		if got := string(setUser([]byte(test.content), "ann", "H")); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

func FuzzPasswords(f *testing.F) {
	f.Add("# users\nann=clear\r\n\nbob:$2y$\nann=x", "ann")
	f.Fuzz(func(t *testing.T, content, user string) {
		if checkUser(user) != nil {
			return
		}
		set := setUser([]byte(content), user, "H")
		if line := lineOf(set, user); line == 0 {
			t.Fatalf("%q is not in %q", user, set)
		}
		gone, err := deleteUser(set, user)
		if err != nil || lineOf(gone, user) != 0 {
			t.Fatalf("%q is still in %q, %v", user, gone, err)
		}
		without, err := deleteUser([]byte(content), user)
		if err != nil {
			without = []byte(content)
		}
		want := strings.TrimRight(string(without), "\r\n")
		if strings.TrimRight(string(gone), "\r\n") != want {
			t.Fatalf("the other lines: %q, want %q", gone, want)
		}
	})
}
