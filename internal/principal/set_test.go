package principal

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestSet(t *testing.T) {
	for _, test := range []struct {
		name     string
		patterns []string
		in, out  []string
	}{
		{"nobody", nil, nil, []string{"ann@EXAMPLE.ORG", "host/a@OTHER.ORG", "", "*@EXAMPLE.ORG"}},
		{
			"exact",
			[]string{"ann@EXAMPLE.ORG", "host/a.example@EXAMPLE.ORG"},
			[]string{"ann@EXAMPLE.ORG", "host/a.example@EXAMPLE.ORG"},
			[]string{
				"bob@EXAMPLE.ORG", "ann@OTHER.ORG", "Ann@EXAMPLE.ORG", "ann@example.org",
				"ann/admin@EXAMPLE.ORG", "ann", "ann@", "@EXAMPLE.ORG",
			},
		},
		{
			"any user",
			[]string{"*@EXAMPLE.ORG"},
			[]string{"ann@EXAMPLE.ORG", "bob@EXAMPLE.ORG"},
			[]string{
				"ann@OTHER.ORG", "ann/admin@EXAMPLE.ORG", "ann@EXAMPLE.ORG.EVIL",
				"ann@EVIL@EXAMPLE.ORG", "@EXAMPLE.ORG", `ann\@EXAMPLE.ORG`,
			},
		},
		{
			"any host",
			[]string{"host/*@EXAMPLE.ORG"},
			[]string{"host/a@EXAMPLE.ORG", "host/b.example@EXAMPLE.ORG"},
			[]string{
				"host@EXAMPLE.ORG", "http/a@EXAMPLE.ORG", "host/a/b@EXAMPLE.ORG",
				"host/@EXAMPLE.ORG", "ghost/a@EXAMPLE.ORG",
			},
		},
		{
			"any service of one host",
			[]string{"*/a.example@EXAMPLE.ORG"},
			[]string{"host/a.example@EXAMPLE.ORG"},
			[]string{"host/b.example@EXAMPLE.ORG", "a.example@EXAMPLE.ORG"},
		},
		{
			"escaped",
			[]string{`a\/b@EXAMPLE.ORG`, `*@EX\@MPLE`},
			[]string{`a\/b@EXAMPLE.ORG`, `x\@y@EX\@MPLE`},
			[]string{"a/b@EXAMPLE.ORG"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			set, err := NewSet(test.patterns)
			if err != nil {
				t.Fatal(err)
			}
			for _, principal := range slices.Concat(test.in, test.out) {
				if got, want := set.Has(principal), slices.Contains(test.in, principal); got != want {
					t.Errorf("%q: %v, want %v", principal, got, want)
				}
			}
		})
	}
}

func TestEmptySets(t *testing.T) {
	for name, set := range map[string]*Set{"nil": nil, "zero value": {}} {
		if set.Has("ann@EXAMPLE.ORG") || set.Has("") {
			t.Errorf("%s: somebody is in", name)
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"", `principal "": no realm, as in alice@REALM`},
		{"*", `principal "*": no realm, as in alice@REALM`},
		{"ann", `principal "ann": no realm, as in alice@REALM`},
		{"ann@", `principal "ann@": the realm is empty`},
		{"@EXAMPLE.ORG", `principal "@EXAMPLE.ORG": an empty component`},
		{"an*@EXAMPLE.ORG", `principal "an*@EXAMPLE.ORG": * stands for a whole component`},
		{"**@EXAMPLE.ORG", `principal "**@EXAMPLE.ORG": * stands for a whole component`},
		{"*@*", `principal "*@*": the realm is compared exactly`},
		{"ann@*.ORG", `principal "ann@*.ORG": the realm is compared exactly`},
		{"host/@EXAMPLE.ORG", `principal "host/@EXAMPLE.ORG": an empty component`},
		{"/a@EXAMPLE.ORG", `principal "/a@EXAMPLE.ORG": an empty component`},
		{"ann@A@B", `principal "ann@A@B": more than one @`},
		{"ann\x00@EXAMPLE.ORG", `principal "ann\x00@EXAMPLE.ORG": a NUL byte`},
		{`ann\@EXAMPLE.ORG`, `principal "ann\\@EXAMPLE.ORG": no realm, as in alice@REALM`},
		{`ann@EXAMPLE\`, `principal "ann@EXAMPLE\\": a backslash at the end`},
	} {
		t.Run(test.text, func(t *testing.T) {
			if err := Check(test.text); err == nil || err.Error() != test.want {
				t.Errorf("Check: %v, want %s", err, test.want)
			}
			set, err := NewSet([]string{"bob@EXAMPLE.ORG", test.text, "again@"})
			if set != nil || err == nil || err.Error() != test.want {
				t.Errorf("NewSet: %v, want %s", err, test.want)
			}
		})
	}
}

// TestExactNamesAllocateNothing: a set without "*" compares whole names, without splitting them.
func TestExactNamesAllocateNothing(t *testing.T) {
	exact, err := NewSet([]string{"ann@EXAMPLE.ORG"})
	if err != nil {
		t.Fatal(err)
	}
	n := testing.AllocsPerRun(100, func() {
		exact.Has("ann@EXAMPLE.ORG")
		exact.Has("bob@EXAMPLE.ORG")
	})
	if n != 0 {
		t.Errorf("%.0f allocations", n)
	}
}

// FuzzPrincipal compares the matches of patterns with those of equivalent regular expressions.
func FuzzPrincipal(f *testing.F) {
	const component, realm = `(?:[^\\/@]|\\.)+`, `(?:[^\\@]|\\.)+`
	whole := regexp.MustCompile(`(?s)^` + component + `(?:/` + component + `)*@` + realm + `$`)
	part := regexp.MustCompile(`(?s)` + component + `|.`) // the realm is one part, too
	f.Fuzz(func(t *testing.T, entry, principal string) {
		if !utf8.ValidString(entry) || !utf8.ValidString(principal) {
			return // package regexp does not distinguish bytes that are not UTF-8
		}
		set, err := NewSet([]string{entry})
		if check := Check(entry); (check == nil) != (err == nil) {
			t.Fatalf("%q: %v, Check says %v", entry, err, check)
		}
		if err != nil {
			return
		}
		if !whole.MatchString(entry) {
			t.Fatalf("the entry %q is no principal", entry)
		}
		meaning, wild := "(?s)^", false
		for _, text := range part.FindAllString(entry, -1) {
			if text == "*" {
				meaning += component
				wild = true
			} else {
				meaning += regexp.QuoteMeta(text)
			}
		}
		want := regexp.MustCompile(meaning + "$").MatchString(principal)
		want = want && (!wild || whole.MatchString(principal))
		want = want && !strings.Contains(principal, "\x00") // no name has a NUL byte
		if got := set.Has(principal); got != want {
			t.Fatalf("%q names %q: %v", entry, principal, got)
		}
	})
}
