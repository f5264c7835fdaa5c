package policyfile

import (
	"strings"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/must"
)

const services = `domain = orders
    grace = 30s
service = host
    bind = ipc:///run/zmqauth/zap/zap.sock
    group = zap
service = pods
    bind = tcp://*:7000
    certificate = service.key_secret
program = shop
    user = shop 1001
    group = web
    serve = orders billing
program = worker
    key = keys/a.key keys/b.key
    serve = "*"
`

func TestServices(t *testing.T) {
	p, err := Parse("/etc/zmqauth/policy.zpl", []byte(services))
	must.OK(t, err)
	if p.Domains[0].Grace != 30*time.Second {
		t.Error(p.Domains[0].Grace)
	}
	want := []Service{{"host", 3, "ipc:///run/zmqauth/zap/zap.sock", "zap", ""},
		{"pods", 6, "tcp://*:7000", "", "/etc/zmqauth/service.key_secret"}}
	if len(p.Services) != 2 || p.Services[0] != want[0] || p.Services[1] != want[1] {
		t.Errorf("%+v", p.Services)
	}
	shop, worker := p.Programs[0], p.Programs[1]
	for got, want := range map[string]string{
		strings.Join(Texts(shop.Users), " "):   "shop 1001",
		strings.Join(Texts(shop.Groups), " "):  "web",
		strings.Join(Texts(shop.Serve), " "):   "orders billing",
		strings.Join(Texts(worker.Keys), " "):  "/etc/zmqauth/keys/a.key /etc/zmqauth/keys/b.key",
		strings.Join(Texts(worker.Serve), " "): "*",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestBadServices: each fault is found, with its line.
func TestBadServices(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"service = a\n", ":1: the service has no bind"},
		{"service =\n    bind = ipc:///a/b\n", ":1: the service has no name"},
		{"service = a\n    bind = ipc:///a/b\nservice = a\n    bind = ipc:///a/c\n",
			":3: a second service"},
		{"service = a\n    bind = ipc:///a/b\nservice = b\n    bind = ipc:///a/b\n",
			":4: another section"},
		{"service = a\n    bind = ipc://@a\n", ":2: bind"},
		{"service = a\n    bind = inproc://a\n", ":2: bind"},
		{"service = a\n    bind = tcp://*:7000\n", ":2: tcp needs a certificate"},
		{"service = a\n    bind = tcp://*:7000\n    certificate = c\n", ":1: nobody may ask"},
		{"service = a\n    bind = ipc:///a/b\n    certificate = c\n", ":3: certificate is for tcp"},
		{"service = a\n    bind = ipc:///a/b\n    bind = ipc:///a/b\n", ":3: a second bind"},
		{"service = a\n    bind = ipc:///a/b\n    mode = 0777\n", `:3: unknown name "mode"`},
		{"service = a\n    bind = tcp://*:1\n    certificate = c\n    group = g\n",
			":4: group is for ipc"},
		{"program = a\n    user = 1\n", ":1: the program has no serve"},
		{"program = a\n    serve = x\n", ":1: the program has none of user, group, key"},
		{"program = a\n    user = 1\n    serve =\n", ":3: serve has no value"},
		{"program = a\n    user = 1\n    serve = ,\n", ":3: serve names nothing"},
		{"program = a\n    exe = 1\n    user = 1\n    serve = x\n", `:2: unknown name "exe"`},
		{"domain = a\n    grace = 2h\n", ":2: grace"},
		{"domain = a\n    grace = -1s\n", ":2: grace"},
		{"domain = a\n    grace = 1s\n    grace = 2s\n", ":3: a second grace"},
	} {
		_, err := Parse("policy", []byte(test.text))
		if err == nil || !strings.Contains(err.Error(), "policy"+test.want) {
			t.Errorf("%q: %v, want %s", test.text, err, test.want)
		}
	}
}
