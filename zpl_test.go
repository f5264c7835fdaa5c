package zmqauth

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// policyHome makes a directory with the files that the policies of these tests name: passwords,
// where ann has the password "secret", and certificates, with ann's key.
func policyHome(t testing.TB) (dir string, key PublicKey) {
	t.Helper()
	dir = t.TempDir()
	writePrivate(t, filepath.Join(dir, "passwords"), "ann=secret\n")
	must.OK(t, os.Mkdir(filepath.Join(dir, "certificates"), 0o700))
	return dir, addClient(t, filepath.Join(dir, "certificates"), "ann")
}

// addClient adds a new certificate to a directory and returns its key.
func addClient(t testing.TB, dir, name string) PublicKey {
	t.Helper()
	cert := newCertificate(t)
	must.OK(t, cert.SavePublic(filepath.Join(dir, name+".key")))
	return cert.Public
}

func writePrivate(t testing.TB, path, text string) {
	t.Helper()
	writeFile(t, path, text, 0o600)
}

// loadPolicy writes a policy to the directory and loads it.
func loadPolicy(t testing.TB, dir, text string) (*Policy, error) {
	t.Helper()
	path := filepath.Join(dir, "policy.zpl")
	writePrivate(t, path, text)
	return LoadPolicy(path)
}

// mustLoadPolicy is loadPolicy for a policy without errors.
func mustLoadPolicy(t testing.TB, dir, text string) *Policy {
	t.Helper()
	p, err := loadPolicy(t, dir, text)
	must.OK(t, err)
	return p
}

// wholePolicy has a domain and a frontend.
const wholePolicy = `domain = "*"
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

func TestLoadPolicy(t *testing.T) {
	dir, key := policyHome(t)
	p := mustLoadPolicy(t, dir, wholePolicy)
	if got := p.Domains(); !slices.Equal(got, []string{"*"}) {
		t.Errorf("domains %q", got)
	}
	a := newAuthenticator(t, Config{})
	must.OK(t, a.Apply(p))
	for name, test := range map[string]struct {
		request [][]byte
		want    string
	}{
		"an address in an allowed network":    {zapRequest("global", "10.1.2.3", "NULL"), "200"},
		"an allowed address":                  {zapRequest("global", "127.0.0.1", "NULL"), "200"},
		"another address":                     {zapRequest("global", "127.0.0.2", "NULL"), "400"},
		"another address in the empty domain": {zapRequest("", "127.0.0.2", "NULL"), "400"},
		"a password": {
			zapRequest("global", "10.1.2.3", "PLAIN", "ann", "secret"), "200",
		},
		"a password from another address": {
			zapRequest("global", "11.1.2.3", "PLAIN", "ann", "secret"), "400",
		},
		"a wrong password": {
			zapRequest("global", "10.1.2.3", "PLAIN", "ann", "Secret"), "400",
		},
		"a key": {
			zapRequest("global", "10.1.2.3", "CURVE", string(key[:])), "200",
		},
		"an unknown key": {
			zapRequest("global", "10.1.2.3", "CURVE", strings.Repeat("k", 32)), "400",
		},
		"a principal": {
			zapRequest("global", "10.1.2.3", "GSSAPI", "ann@EXAMPLE.ORG"), "200",
		},
		"a principal of another realm": {
			zapRequest("global", "10.1.2.3", "GSSAPI", "ann@EXAMPLE.COM"), "999",
		},
	} {
		if got, _ := ask(t, a, test.request); got != test.want {
			t.Errorf("%s: status %s, want %s", name, got, test.want)
		}
	}
}

// TestPolicyFormat shows what the format allows by which requests are accepted.
func TestPolicyFormat(t *testing.T) {
	dir, key := policyHome(t)
	stranger := strings.Repeat("k", 32)
	for name, test := range map[string]struct {
		text   string
		accept [][][]byte
		refuse [][][]byte
	}{
		"nothing at all": {
			text: "",
			accept: [][][]byte{
				zapRequest("a", "1.2.3.4", "NULL"), zapRequest("a", "1.2.3.4", "GSSAPI", "ann@REALM"),
			},
			refuse: [][][]byte{
				zapRequest("a", "1.2.3.4", "PLAIN", "ann", "secret"),
				zapRequest("a", "1.2.3.4", "CURVE", string(key[:])),
			},
		},
		"a domain with nothing": {
			text:   "domain = a\n",
			accept: [][][]byte{zapRequest("a", "1.2.3.4", "NULL")},
		},
		"commas, blanks, tabs and quotes": {
			text: "domain = a\n" +
				"    allow = \"1.1.1.1,1.1.1.2, 1.1.1.3 ,\t1.1.1.4\" # and no more\n",
			accept: [][][]byte{
				zapRequest("a", "1.1.1.1", "NULL"), zapRequest("a", "1.1.1.2", "NULL"),
				zapRequest("a", "1.1.1.3", "NULL"), zapRequest("a", "1.1.1.4", "NULL"),
			},
			refuse: [][][]byte{zapRequest("a", "1.1.1.5", "NULL")},
		},
		"lists in several lines": {
			text: "domain = a\n    allow = 1.1.1.1\n    gssapi = ann@R\n" +
				"    allow = 1.1.1.2\n    gssapi = bob@R, host/*@R\n",
			accept: [][][]byte{
				zapRequest("a", "1.1.1.1", "GSSAPI", "ann@R"),
				zapRequest("a", "1.1.1.2", "GSSAPI", "bob@R"),
				zapRequest("a", "1.1.1.2", "GSSAPI", "host/x@R"),
			},
			refuse: [][][]byte{zapRequest("a", "1.1.1.3", "GSSAPI", "ann@R")},
		},
		"a deny list": {
			text: "domain = a\n    deny = 1.1.1.0/24 ipc\n",
			accept: [][][]byte{
				zapRequest("a", "1.1.2.1", "NULL"), zapRequest("b", "1.1.1.1", "NULL"),
			},
			refuse: [][][]byte{
				zapRequest("a", "1.1.1.1", "NULL"), zapRequest("a", "localhost:1:1:1", "NULL"),
			},
		},
		"general rules besides the domain's": {
			text: "domain = a\n    allow = 1.1.1.1 1.1.1.2\ndomain = *\n    deny = 1.1.1.2\n",
			accept: [][][]byte{
				zapRequest("a", "1.1.1.1", "NULL"), zapRequest("b", "1.1.1.1", "NULL"),
			},
			refuse: [][][]byte{
				zapRequest("a", "1.1.1.2", "NULL"), zapRequest("a", "1.1.1.3", "NULL"),
				zapRequest("b", "1.1.1.2", "NULL"),
			},
		},
		"every key": {
			text:   "domain = a\n    curve = *\n",
			accept: [][][]byte{zapRequest("a", "1.1.1.1", "CURVE", stranger)},
			refuse: [][][]byte{zapRequest("b", "1.1.1.1", "CURVE", stranger)},
		},
		"a setup of its own replaces that of *": {
			text: "domain = *\n    curve = *\n    plain = passwords\n" +
				"domain = a\n    curve = certificates\n",
			accept: [][][]byte{
				zapRequest("b", "1.1.1.1", "CURVE", stranger),
				zapRequest("a", "1.1.1.1", "CURVE", string(key[:])),
				zapRequest("a", "1.1.1.1", "PLAIN", "ann", "secret"),
			},
			refuse: [][][]byte{zapRequest("a", "1.1.1.1", "CURVE", stranger)},
		},
		"absolute paths": {
			text: "domain = a\n    plain = " + dir + "/passwords\n" +
				"    curve = \"" + dir + "/certificates/\"\n",
			accept: [][][]byte{
				zapRequest("a", "1.1.1.1", "CURVE", string(key[:])),
				zapRequest("a", "1.1.1.1", "PLAIN", "ann", "secret"),
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAuthenticator(t, Config{})
			must.OK(t, a.Apply(mustLoadPolicy(t, dir, test.text)))
			for _, request := range test.accept {
				if got, _ := ask(t, a, request); got != "200" {
					t.Errorf("%q: status %s", request, got)
				}
			}
			for _, request := range test.refuse {
				if got, _ := ask(t, a, request); got == "200" {
					t.Errorf("%q is accepted", request)
				}
			}
		})
	}
}

func TestLoadPolicyFile(t *testing.T) {
	dir, _ := policyHome(t)
	_, err := LoadPolicy(filepath.Join(dir, "absent"))
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "absent") {
		t.Errorf("an absent file: %v", err)
	}
	if _, err := LoadPolicy(dir); err == nil {
		t.Error("a directory is a policy")
	}
	p := mustLoadPolicy(t, dir, "domain = a\n    plain = passwords\n")
	must.OK(t, os.Chmod(filepath.Join(dir, "policy.zpl"), 0o666))
	_, err = LoadPolicy(filepath.Join(dir, "policy.zpl"))
	if err == nil || !strings.Contains(err.Error(), "chmod o-w") {
		t.Errorf("a policy that everybody can write: %v", err)
	}
	t.Chdir(dir)
	must.OK(t, os.Chmod("policy.zpl", 0o644))
	relative, err := LoadPolicy("policy.zpl")
	must.OK(t, err)
	t.Chdir(t.TempDir())
	a := newAuthenticator(t, Config{})
	for _, p := range []*Policy{p, relative} {
		must.OK(t, a.Apply(p))
		if got, _ := ask(t, a, zapRequest("a", "1.1.1.1", "PLAIN", "ann", "secret")); got != "200" {
			t.Errorf("status %s", got)
		}
	}
}

// TestPolicyNamesUnreadableFiles: a file that may not be read is an error. Root may read every
// file, so the test runs as another user.
func TestPolicyNamesUnreadableFiles(t *testing.T) {
	if !unprivileged(t) {
		return
	}
	dir, _ := policyHome(t)
	must.OK(t, os.Chmod(filepath.Join(dir, "passwords"), 0))
	must.OK(t, os.Chmod(filepath.Join(dir, "certificates"), 0))
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(dir, "certificates"), 0o700) })
	_, err := loadPolicy(t, dir, "domain = a\n    plain = passwords\n    curve = certificates\n")
	if !errors.Is(err, fs.ErrPermission) || strings.Count(err.Error(), "permission denied") != 2 {
		t.Errorf("%v", err)
	}
}

// eventuallyAsk waits until a request gets that status.
func eventuallyAsk(t testing.TB, what string, a *Authenticator, request [][]byte, want string) {
	t.Helper()
	testpeer.Eventually(t, what, func() bool {
		got, _ := ask(t, a, request)
		return got == want
	})
}
