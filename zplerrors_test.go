package zmqauth

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
)

// TestPolicyErrors: each error names its line, and all errors are returned at once.
func TestPolicyErrors(t *testing.T) {
	dir, _ := policyHome(t)
	must.OK(t, os.Mkdir(filepath.Join(dir, "locked"), 0o700))
	const frontend = "frontend = f\n    type = pull\n    bind = tcp://*:1\n" +
		"    backend = tcp://127.0.0.1:2\n    mechanism = null\n    domain = a\n"
	replaced := func(old, new string) string { return strings.Replace(frontend, old, new, 1) }
	for name, test := range map[string]struct {
		text string
		want []string // after the file's name, in this order
	}{
		"no ZPL": {
			"domain = a\n  allow = 1.1.1.1\n", []string{":2: indented by 2 spaces"},
		},
		"an unknown section": {
			"domian = a\n", []string{`:1: unknown name "domian" in a policy: domain, frontend`},
		},
		"an unknown name": {
			"domain = a\n    alow = 1.1.1.1\n",
			[]string{`:2: unknown name "alow" below a domain: allow, deny, plain, curve, gssapi`},
		},
		"a domain without a name": {"domain\n", []string{":1: the domain has no name"}},
		"a long domain": {
			"domain = " + strings.Repeat("a", 256) + "\n", []string{":1: a domain has at most 255 bytes"},
		},
		"a domain twice": {
			"domain = a\ndomain = b\ndomain = a\n",
			[]string{`:3: a second domain "a", the first is in line 1`},
		},
		"an empty list":      {"domain = a\n    allow =\n", []string{":2: allow has no value"}},
		"a list without a =": {"domain = a\n    deny\n", []string{":2: deny has no value"}},
		"a list of nothing": {
			"domain = a\n    allow = \" , \"\n", []string{":2: allow names nothing"},
		},
		"no address": {
			"domain = a\n    allow = 1.1.1.1 1.1.1\n", []string{`:2: allow: address "1.1.1": not an IPv4`},
		},
		"a bad network": {
			"domain = a\n    deny = 1.1.1.1/33\n", []string{`:2: deny: address "1.1.1.1/33"`},
		},
		"both kinds": {
			"domain = a\n    allow = 1.1.1.1\n    deny = 1.1.1.2\n",
			[]string{":3: a scope holds allowed or denied addresses, not both: line 2"},
		},
		"two password files": {
			"domain = a\n    plain = passwords\n    plain = passwords\n",
			[]string{":3: a second plain, the first is in line 2"},
		},
		"two directories": {
			"domain = a\n    curve = *\n    curve = certificates\n",
			[]string{":3: a second curve, the first is in line 2"},
		},
		"no password file": {
			"domain = a\n    plain = absent\n",
			[]string{":2: plain: " + dir + "/absent: no such file or directory"},
		},
		"no directory": {
			"domain = a\n    curve = absent\n",
			[]string{":2: curve: " + dir + "/absent: no such file or directory"},
		},
		"a directory of passwords": {
			"domain = a\n    plain = certificates\n",
			[]string{":2: plain: " + dir + "/certificates: not a regular file"},
		},
		"a file of certificates": {
			"domain = a\n    curve = passwords\n",
			[]string{":2: curve: " + dir + "/passwords: not a directory"},
		},
		"no principal": {
			"domain = a\n    gssapi = ann@R ann\n", []string{`:2: gssapi: principal "ann": no realm`},
		},
		"half a pattern": {
			"domain = a\n    gssapi = \"ann*@R\"\n",
			[]string{`:2: gssapi: principal "ann*@R": * stands for a whole component`},
		},
		"below a leaf": {
			"domain = a\n    allow = 1.1.1.1\n        allow = 1.1.1.2\n",
			[]string{":3: nothing belongs below allow"},
		},
		"a frontend without a name": {replaced("= f", ""), []string{":1: the frontend has no name"}},
		"a frontend twice": {
			frontend + replaced("*:1", "*:3"), []string{`:7: a second frontend "f", the first is in line 1`},
		},
		"an empty frontend": {
			"frontend = f\n",
			[]string{
				":1: the frontend has no type", ":1: the frontend has no bind",
				":1: the frontend has no backend", ":1: the frontend has no mechanism",
				":1: the frontend has no domain",
			},
		},
		"an unknown name of a frontend": {
			frontend + "    port = 1\n", []string{`:7: unknown name "port" below a frontend: type, bind`},
		},
		"a name of a frontend twice": {
			frontend + "    type = pull\n", []string{":7: a second type, the first is in line 2"},
		},
		"another type": {
			replaced("pull", "rep"), []string{`:2: type "rep": none of router, xsub, xpub, pull`},
		},
		"another mechanism": {
			replaced("null", "CURVE"), []string{`:5: mechanism "CURVE": none of null, plain, curve, gssapi`},
		},
		"another mechanism with a certificate": {
			replaced("null", "CURVE") + "    certificate = x\n", []string{`:5: mechanism "CURVE"`},
		},
		"a frontend without a domain": {
			replaced("domain = a", "domain ="), []string{":6: domain has no value"},
		},
		"no certificate": {
			replaced("null", "curve"), []string{":1: the frontend has no certificate"},
		},
		"a certificate for nothing": {
			frontend + "    certificate = x\n", []string{":7: certificate is for the mechanism curve"},
		},
		"a principal for nothing": {
			frontend + "    principal = x\n", []string{":7: principal is for the mechanism gssapi"},
		},
		"a limit that is no number": {
			frontend + "    max-message = 1 MB\n", []string{`:7: max-message "1 MB": not a number of bytes`},
		},
		"a limit of nothing": {
			frontend + "    max-message = 0\n", []string{`:7: max-message "0": not a number of bytes`},
		},
		"two frontends at an endpoint": {
			frontend + replaced("= f", "= g"),
			[]string{":9: another frontend binds this endpoint, in line 3"},
		},
		"no endpoint": {
			replaced("tcp://*:1", "*:1"), []string{`:3: bind "*:1": not tcp://HOST:PORT or ipc://PATH`},
		},
		"inproc": {
			replaced("tcp://*:1", "inproc://x"),
			[]string{`:3: bind "inproc://x": inproc is for one process alone`},
		},
		"no port": {
			replaced("tcp://*:1", "tcp://*"), []string{`:3: bind "tcp://*": tcp:// wants HOST:PORT`},
		},
		"a port too high": {
			replaced("*:1", "*:65536"), []string{`:3: bind "tcp://*:65536": no port number`},
		},
		"bare IPv6": {
			replaced("*:1", "::1:5555"), []string{`:3: bind "tcp://::1:5555": tcp:// wants HOST:PORT`},
		},
		"a backend everywhere": {
			replaced("127.0.0.1:2", "*:2"), []string{`:4: backend "tcp://*:2": * is every address`},
		},
		"a backend without a port": {
			replaced("127.0.0.1:2", "127.0.0.1:*"),
			[]string{`:4: backend "tcp://127.0.0.1:*": no port number`},
		},
		"a relative socket": {
			replaced("tcp://127.0.0.1:2", "ipc://x/y"),
			[]string{`:4: backend "ipc://x/y": ipc:// wants an absolute path`},
		},
		"a host that cannot be bound": {
			replaced("*:1", "localhost:1"),
			[]string{`:3: bind "tcp://localhost:1": the name of a host cannot be bound`},
		},
		"a host's full name": {replaced("*:1", "orders.example.com:1"), []string{":3: bind "}},
		"all at once": {
			"domain = a\n    plain =\n    x = 1\nother\nfrontend = f\n    type = x\n" +
				"    bind = tcp://*:1\n    backend = tcp://127.0.0.1:2\n    domain = a\ndomain = a\n",
			[]string{
				":2: plain has no value", `:3: unknown name "x"`, `:4: unknown name "other"`,
				":5: the frontend has no mechanism", `:6: type "x"`, `:10: a second domain "a"`,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := loadPolicy(t, dir, test.text)
			if err == nil || p != nil {
				t.Fatalf("%+v, %v", p, err)
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(test.want) {
				t.Fatalf("%d errors, want %d:\n%v", len(lines), len(test.want), err)
			}
			for i, want := range test.want {
				want = "zmqauth: " + filepath.Join(dir, "policy.zpl") + want
				if !strings.HasPrefix(lines[i], want) {
					t.Errorf("%s\nwant %s", lines[i], want)
				}
			}
			var fileErr *FileError
			if !errors.As(err, &fileErr) || fileErr.Line == 0 {
				t.Errorf("%#v is no *FileError with a line", err)
			}
		})
	}
}
