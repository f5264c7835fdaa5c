package policyfile

import (
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

func FuzzPolicy(f *testing.F) {
	f.Add([]byte(orders))
	f.Add([]byte(allLinks))
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
		checkLinks(t, p)
	})
}

// checkLinks checks that each link says who may connect, and listens somewhere.
func checkLinks(t *testing.T, p *Policy) {
	t.Helper()
	for _, s := range p.TLSServes {
		if s.Listen == (Address{}) || s.Connect == (Address{}) || (s.CA == "") != s.AllowAny ||
			s.AllowAny && (s.Allow != nil || s.Fingerprints != nil || s.CRL != "") {
			t.Fatalf("%+v", s)
		}
	}
	for _, c := range p.TLSConnects {
		if c.Listen == (Address{}) || c.Connect.Port == "" || c.Key != "" && c.Cert == "" {
			t.Fatalf("%+v", c)
		}
	}
	for _, tunnel := range p.Tunnels {
		if tunnel.Host == "" || len(tunnel.Forwards)+len(tunnel.Reverses)+len(tunnel.SOCKS) == 0 {
			t.Fatalf("%+v", tunnel)
		}
	}
}

// checkAddress checks that an address in a domain's list passes if the list allows, and only then.
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

// addressNamed returns an address, as libzmq would report it, that an entry of allow or deny
// matches.
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
