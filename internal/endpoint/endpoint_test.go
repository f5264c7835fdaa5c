package endpoint

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	long := strings.Repeat("x", maxIPCPath)
	tests := map[string]struct {
		text          string
		bind, connect string // Key, or "!" and a part of the error
	}{
		"IPv4":              {"tcp://127.0.0.1:5555", "tcp5555", "tcp5555"},
		"a leading zero":    {"tcp://127.0.0.1:05555", "tcp5555", "tcp5555"},
		"IPv6":              {"tcp://[::1]:5555", "tcp5555", "tcp5555"},
		"a zone":            {"tcp://[fe80::1%eth0]:5555", "tcp5555", "tcp5555"},
		"IPv6, bare":        {"tcp://::1:5555", "!in brackets", "!in brackets"},
		"IPv6, no port":     {"tcp://[::1]", "!HOST:PORT", "!HOST:PORT"},
		"no IPv6 address":   {"tcp://[::g]:5555", "!no IPv6 address", "!no IPv6 address"},
		"a host":            {"tcp://orders.example.org:5555", "!cannot be bound", "tcp5555"},
		"localhost":         {"tcp://localhost:5555", "!cannot be bound", "tcp5555"},
		"an interface":      {"tcp://eth0:5555", "tcp5555", "tcp5555"},
		"all":               {"tcp://*:5555", "tcp5555", "!nobody can connect"},
		"any port":          {"tcp://127.0.0.1:*", "tcp0", "!no port number"},
		"port 0":            {"tcp://127.0.0.1:0", "tcp0", "!no port number"},
		"no port":           {"tcp://127.0.0.1", "!HOST:PORT", "!HOST:PORT"},
		"an empty port":     {"tcp://127.0.0.1:", "!no port number", "!no port number"},
		"a port too large":  {"tcp://127.0.0.1:65536", "!no port number", "!no port number"},
		"no host":           {"tcp://:5555", "!HOST:PORT", "!HOST:PORT"},
		"a source address":  {"tcp://10.0.0.1:0;10.0.0.2:1", "!HOST:PORT", "!HOST:PORT"},
		"a path":            {"ipc:///run//a/../b", "ipc/run/b", "ipc/run/b"},
		"an abstract name":  {"ipc://@a", "ipc@a", "ipc@a"},
		"a relative path":   {"ipc://a", "!absolute path", "!absolute path"},
		"no path":           {"ipc://", "!absolute path", "!absolute path"},
		"the longest path":  {"ipc:///" + long[1:], "ipc/" + long[1:], "ipc/" + long[1:]},
		"a path too long":   {"ipc:///" + long, "!at most 107 bytes", "!at most 107 bytes"},
		"inproc":            {"inproc://a", "!one process alone", "!one process alone"},
		"another transport": {"udp://127.0.0.1:1", "!not tcp://", "!not tcp://"},
		"nothing":           {"", "!not tcp://", "!not tcp://"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for _, parser := range []struct {
				parse func(string) (Endpoint, error)
				want  string
			}{{ParseBind, test.bind}, {ParseConnect, test.connect}} {
				e, err := parser.parse(test.text)
				fault, fails := strings.CutPrefix(parser.want, "!")
				switch {
				case fails && (err == nil || !strings.Contains(err.Error(), fault)):
					t.Errorf("%v, %v; want %q", e, err, fault)
				case !fails && (err != nil || e.Key() != parser.want):
					t.Errorf("%q, %v; want %q", e.Key(), err, parser.want)
				}
			}
		})
	}
}

func TestIsIPv6(t *testing.T) {
	for text, want := range map[string]bool{
		"tcp://127.0.0.1:1": false, "tcp://[::1]:1": true, "tcp://[::ffff:127.0.0.1]:1": true,
		"tcp://[fe80::1%lo]:1": true, "tcp://localhost:1": false, "ipc://@a": false,
	} {
		if e, err := ParseConnect(text); err != nil || e.IsIPv6() != want {
			t.Errorf("%s: %v, %v", text, e.IsIPv6(), err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"tcp://127.0.0.1:5555", "tcp://[::1%lo]:*", "ipc:///run/a",
		"ipc://@a", "tcp://::1:5555", "tcp://*:0", "inproc://a", "tcp://[]:1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, parse := range []func(string) (Endpoint, error){ParseBind, ParseConnect} {
			e, err := parse(text)
			if err != nil {
				continue
			}
			if (e.Transport == TCP) != (e.Port != "") || (e.Transport == IPC) != (e.Path != "") {
				t.Errorf("%q is %+v", text, e)
			}
			if !e.IsChosen() && !e.Conflicts(e) {
				t.Errorf("%q does not conflict with itself", text)
			}
		}
	})
}
