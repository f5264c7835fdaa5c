package policyfile

import (
	"strings"
	"testing"
)

func TestSameRules(t *testing.T) {
	const text = `domain = *
    deny = 9.9.9.9
domain = a
    allow = 1.1.1.1, 2.2.2.2
    plain = passwords
    curve = certificates
    gssapi = ann@R
domain = b
    curve = "*"
`
	p := mustParse(t, text)
	if p.SameRules(nil, "a") || !(*Policy)(nil).SameRules(nil, "a") || !p.SameRules(p, "a") {
		t.Error("nil is not the policy of an empty file")
	}
	for name, test := range map[string]struct {
		old, new string
		domains  string // the domains among a, b and c whose rules differ
	}{
		"nothing": {"", "", ""},
		"another layout": {"domain = a\n    allow = 1.1.1.1, 2.2.2.2\n",
			"\n# a\ndomain = a\n    allow = 1.1.1.1\n    allow = 2.2.2.2\n", ""},
		"another path":         {"passwords", "./passwords", ""},
		"the general rules":    {"deny = 9.9.9.9", "deny = 9.9.9.8", "abc"},
		"the domain is gone":   {"domain = b\n    curve = \"*\"\n", "", "b"},
		"the domain is new":    {"domain = b", "domain = c\n    allow = ipc\ndomain = b", "c"},
		"the kind of the list": {"allow = 1", "deny = 1", "a"},
		"an address less":      {", 2.2.2.2", "", "a"},
		"no addresses":         {"    allow = 1.1.1.1, 2.2.2.2\n", "", "a"},
		"no passwords":         {"    plain = passwords\n", "", "a"},
		"a directory":          {"curve = \"*\"", "curve = certificates", "b"},
		"any key":              {"curve = certificates", "curve = *", "a"},
		"another principal":    {"ann@R", "bob@R", "a"},
	} {
		changed := strings.Replace(text, test.old, test.new, 1)
		if changed == text && name != "nothing" {
			t.Fatalf("%s: nothing has changed", name)
		}
		other := mustParse(t, changed)
		for _, domain := range []string{"a", "b", "c"} {
			want := !strings.Contains(test.domains, domain)
			if p.SameRules(other, domain) != want || other.SameRules(p, domain) != want {
				t.Errorf("%s: domain %s: the same rules: %v", name, domain, !want)
			}
		}
	}
}
