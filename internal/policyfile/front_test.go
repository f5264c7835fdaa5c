package policyfile

import (
	"strings"
	"testing"
)

// withTLS is a policy of one frontend behind a tls-serve, with more entries, the first of them in
// line 7.
func withTLS(entries ...string) string {
	const serve = "tls-serve = edge\n    listen = 127.0.0.1:1\n    cert = c\n    allow-any = yes\n"
	return strings.Replace(limited("null", "", entries...), "bind = ", "tls = edge", 1) + serve
}

func TestFront(t *testing.T) {
	const tcp, ipc = "tcp://*:1", "ipc:///run/a"
	for name, test := range map[string]struct{ text, want, limits string }{
		"none": {limited("null", tcp), "", ""},
		"no":   {limited("null", tcp, "front = no"), "", ""},
		"yes":  {limited("null", tcp, "front = yes"), "front yes", ""},
		"with balancers": {
			limited("null", tcp, "front = yes", "proxy-protocol = 10.1.2.3/8, 2001:db8::1"),
			"front yes, proxy-protocol 10.0.0.0/8 2001:db8::1/128", ""},
		"the other way round": {
			limited("null", tcp, "proxy-protocol = ::ffff:192.0.2.1", "front = yes"),
			"front yes, proxy-protocol 192.0.2.1/32", ""},
		"IPC": {limited("null", ipc, "front = yes", "max-connections = 3", "handshake-deadline = 2s"),
			"front yes", "max-connections 3, handshake-deadline 2s"},
		"TLS": {withTLS("front = yes", "max-connections = 3", "handshake-deadline = 2s"), "front yes",
			"max-connections 3, handshake-deadline 2s"},
		"GSSAPI": {limited("gssapi", tcp, "penalty = 1s", "handshake-deadline = 2s", "front = yes"),
			"front yes", "handshake-deadline 2s, penalty 1s"},
	} {
		t.Run(name, func(t *testing.T) {
			f := mustParse(t, test.text).Frontends[0]
			if got := f.Front.String(); got != test.want || (f.Front == nil) != (got == "") {
				t.Errorf("%+v is %q, want %q", f.Front, got, test.want)
			}
			if got := f.Limits.String(); got != test.limits {
				t.Errorf("%q, want %q", got, test.limits)
			}
			if f.front != "" {
				t.Errorf("the value %q is left: frontends that are the same would differ", f.front)
			}
		})
	}
}

func TestFrontErrors(t *testing.T) {
	const tcp, ipc = "tcp://*:1", "ipc:///run/a"
	for name, test := range map[string]struct {
		text string
		want string // after the file's name
	}{
		"neither yes nor no": {limited("null", tcp, "front = on"), `:7: front "on": none of yes, no`},
		"no value":           {limited("null", tcp, "front = "), ":7: front has no value"},
		"twice": {limited("null", tcp, "front = yes", "front = yes"),
			":8: a second front, the first is in line 7"},
		"balancers without a front": {limited("null", tcp, "proxy-protocol = 10.0.0.0/8"),
			":7: proxy-protocol needs front = yes"},
		"balancers and no front": {
			limited("null", tcp, "front = no", "proxy-protocol = 10.0.0.0/8"),
			":8: proxy-protocol needs front = yes"},
		"no network": {limited("null", tcp, "front = yes", "proxy-protocol = yes"),
			`:8: proxy-protocol "yes": "yes": not an IPv4 or IPv6 address or a network`},
		"no balancers": {limited("null", tcp, "front = yes", "proxy-protocol = ,"),
			`:8: proxy-protocol ",": it names nothing`},
		"everybody": {limited("null", tcp, "front = yes", "proxy-protocol = 10.0.0.1 0.0.0.0/0"),
			`:8: proxy-protocol "10.0.0.1 0.0.0.0/0": 0.0.0.0/0 is everybody`},
		"everybody of IPv6": {limited("null", tcp, "front = yes", "proxy-protocol = ::/0"),
			"::/0 is everybody"},
		"balancers of IPC": {
			limited("null", ipc, "front = yes", "proxy-protocol = 10.0.0.0/8"),
			":8: proxy-protocol is for endpoints of TCP"},
		"balancers of TLS": {withTLS("front = yes", "proxy-protocol = 10.0.0.0/8"),
			":8: proxy-protocol is for bind = tcp://: the tls-serve sends no header"},
		"an abstract socket": {limited("null", "ipc://@a", "front = yes"),
			":7: a front is for tcp:// and ipc:///PATH"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("f", []byte(test.text))
			if err == nil || !strings.Contains(err.Error(), test.want) ||
				strings.Contains(err.Error(), "\n") {
				t.Errorf("%v\nwant %s", err, test.want)
			}
		})
	}
}
