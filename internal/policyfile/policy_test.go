package policyfile

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/acl"
	"github.com/zmqauth/zmqauth/internal/principal"
)

func mustParse(t *testing.T, text string) *Policy {
	t.Helper()
	p, err := Parse("/etc/policy.zpl", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const orders = `domain = "*"
    allow = 10.0.0.0/8 127.0.0.1
    plain = passwords
    curve = certificates
    gssapi = "*@EXAMPLE.ORG"
frontend = orders
    type = router                       # router, xsub, pull
    bind = tcp://*:5555
    backend = tcp://127.0.0.1:6666
    mechanism = curve
    domain = global
    certificate = server.key_secret
`

func TestFrontend(t *testing.T) {
	want := Frontend{
		Name: "orders", Type: "router", Bind: "tcp://*:5555", Backend: "tcp://127.0.0.1:6666",
		Mechanism: "curve", Domain: "global", Certificate: "/etc/server.key_secret",
		File: "/etc/policy.zpl", Line: 6, MaxMessage: 64 << 20,
	}
	if got := mustParse(t, orders).Frontends; len(got) != 1 || got[0] != want {
		t.Errorf("frontends %+v", got)
	}
}

func TestRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "policy.zpl")
	if err := os.WriteFile(file, []byte(orders), 0o600); err != nil {
		t.Fatal(err)
	}
	if text, err := Read(file); err != nil || string(text) != orders {
		t.Errorf("%q, %v", text, err)
	}
	if err := os.Chmod(file, 0o602); err != nil {
		t.Fatal(err)
	}
	want := file + ": others can write it (mode 0602): chmod o-w " + file
	if _, err := Read(file); err == nil || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
	if _, err := Read(file + ".not"); err == nil || !strings.HasPrefix(err.Error(), file+".not: ") {
		t.Errorf("an absent file: %v", err)
	}
}

func TestRuleFor(t *testing.T) {
	p := mustParse(t, `domain = *
    deny = 9.9.9.9, 10.0.0.0/8
    plain = passwords
    gssapi = host/*@R
domain = a
    allow = 1.1.1.0/24
    allow = 2.2.2.2
    curve = certificates
    gssapi = ann@R
domain = b
    curve = "*"
domain = k
    gssapi = "*"
`)
	const here = "2.2.2.2"
	tests := map[string]struct {
		question       Question
		line           int
		text, location string // no text: no rule
	}{
		"a general address": {Question{"a", "NULL", "9.9.9.9", "", true}, 2, "deny 9.9.9.9", ""},
		"a general network": {Question{"b", "NULL", "10.1.1.1", "", true}, 2, "deny 10.0.0.0/8", ""},
		"none of a list": {Question{"a", "NULL", "3.3.3.3", "", true}, 6,
			"allow: none of 1.1.1.0/24 2.2.2.2", ""},
		"no address": {Question{"a", "NULL", "nowhere", "", true}, 2,
			"no address that can be read, where there are rules", ""},
		"an allowed address": {Question{"a", "NULL", here, "", false}, 7, "allow 2.2.2.2", ""},
		"no rule for it":     {Question{"b", "NULL", here, "", false}, 0, "", ""},
		"a general user": {Question{"a", "PLAIN", here, "", false}, 3,
			"plain passwords", "/etc/passwords"},
		"a key": {Question{"a", "CURVE", here, "", false}, 8,
			"curve certificates", "/etc/certificates"},
		"any key":     {Question{"b", "CURVE", here, "", false}, 11, "curve *", AnyKey},
		"no keys":     {Question{"c", "CURVE", here, "", false}, 0, "", ""},
		"a principal": {Question{"a", "GSSAPI", here, "ann@R", false}, 9, "gssapi ann@R", ""},
		"a general principal": {Question{"b", "GSSAPI", here, "host/x@R", false}, 4,
			"gssapi host/*@R", ""},
		"none of principals": {Question{"a", "GSSAPI", here, "host/x@R", false}, 9,
			"gssapi: none of ann@R", ""},
		"any principal":     {Question{"k", "GSSAPI", here, "host/x@S", false}, 13, "gssapi *", ""},
		"another mechanism": {Question{"a", "NONE", here, "", false}, 0, "", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			rule, found := p.RuleFor(test.question)
			if found != (test.text != "") || rule.Text != test.text || rule.Line != test.line ||
				rule.Location != test.location {
				t.Errorf("%+v, want %s in line %d", rule, test.text, test.line)
			}
			want := fmt.Sprintf("/etc/policy.zpl:%d: %s", test.line, test.text)
			if found && rule.String() != want {
				t.Errorf("%v, want %s", rule, want)
			}
		})
	}
}

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
		domains  string // that have other rules then, of a, b and c
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

func FuzzPolicy(f *testing.F) {
	f.Add([]byte(orders))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := Parse("f", text)
		if err != nil {
			for line := range strings.Lines(err.Error()) {
				if !strings.HasPrefix(line, "f:") {
					t.Fatalf("error %q of %q", line, err)
				}
			}
			return
		}
		var rules acl.Rules
		seen := make(map[string]bool)
		for _, domain := range p.Domains {
			if seen[domain.Name] || domain.Name == "" {
				t.Fatalf("the domain %q", domain.Name)
			}
			seen[domain.Name] = true
			for _, entry := range domain.GSSAPI {
				if err := principal.Check(entry.Text); err != nil && entry.Text != AnyPrincipal {
					t.Fatal(err)
				}
			}
			if (domain.Kind == acl.None) != (len(domain.Addresses) == 0) {
				t.Fatalf("the domain %+v", domain)
			}
			if domain.Kind == acl.None {
				continue
			}
			if err := rules.Add(domain.Kind, domain.Name, Texts(domain.Addresses)); err != nil {
				t.Fatal(err)
			}
			for _, entry := range domain.Addresses {
				checkAddress(t, domain, entry.Text)
			}
		}
		for _, f := range p.Frontends {
			if f.Domain == "" || f.Bind == "" || (f.Mechanism == "curve") != (f.Certificate != "") {
				t.Fatalf("the frontend %+v", f)
			}
		}
	})
}

// checkAddress: each address that stands in a domain's entry passes, or none of them does.
func checkAddress(t *testing.T, domain Domain, entry string) {
	t.Helper()
	var alone acl.Rules
	if err := alone.Add(domain.Kind, domain.Name, []string{entry}); err != nil {
		t.Fatal(err)
	}
	address := addressNamed(entry)
	passes := alone.Pass([]byte(domain.Name), []byte(address))
	if passes != (domain.Kind == acl.Allow) {
		t.Fatalf("%v with %q: %q passes: %v", domain.Kind, entry, address, passes)
	}
}

// addressNamed is an address, as libzmq would report it, that an entry of allow or deny names.
func addressNamed(entry string) string {
	property, id, _ := strings.Cut(entry, ":")
	switch property {
	case "ipc":
		return "localhost"
	case "uid":
		return "localhost:" + id + "::"
	case "gid":
		return "localhost::" + id + ":"
	case "pid":
		return "localhost:::" + id
	}
	ip, _, _ := strings.Cut(entry, "/")
	return ip
}
