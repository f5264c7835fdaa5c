package policyfile

import (
	"crypto/tls"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

const fingerprintRest = "0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"

const allLinks = `tls-serve = orders
    listen = *:7001
    connect = ./run/orders.sock
    cert = server.crt
    key = server.key
    ca = ca.crt
    crl = ca.crl
    allow = CN=ann
    allow = "OU=night shift, east"
    fingerprint = AA:` + fingerprintRest + ` aa` + fingerprintRest + `
    stale-limit = 10m
    max-conns = 100
    max-handshakes = 7
    handshake-timeout = 3s
    min-tls = 1.3
tls-serve = everybody
    listen = 127.0.0.1:7002
    connect = tcp://10.0.0.1:6666
    unsafe-target = yes
    cert = /etc/both.pem
    allow-any = yes
tls-connect = orders                    # another kind has names of its own
    listen = unix:/run/c.sock
    mode = 0660
    group = users
    connect = server.example.org:7001
    server-name = orders
tunnel = gateway
    host = ann@gateway.example.org:2222
    forward = 127.0.0.1:7777=10.1.2.3:5555
    forward = 7778:db:5432
    reverse = *:5555=/run/orders.sock
    socks = 1080
    ssh-config = none
    identity = id
    known-hosts = known_hosts
    agent = none
    max-conns = 3
`

func TestLinks(t *testing.T) {
	p := mustParse(t, allLinks)
	at := func(kind, name string, line int) Section {
		return Section{kind, name, "/etc/policy.zpl", line}
	}
	serves := []TLSServe{{
		Section:  at("tls-serve", "orders", 1),
		Listener: Listener{Listen: Address{Port: "7001"}, MaxConns: 100},
		TLSFiles: TLSFiles{"/etc/server.crt", "/etc/server.key", "/etc/ca.crt", "/etc/ca.crl",
			tls.VersionTLS13},
		Connect:      Address{Path: "/etc/run/orders.sock"},
		Allow:        []string{"CN=ann", "OU=night shift, east"},
		Fingerprints: []string{"AA:" + fingerprintRest, "aa" + fingerprintRest},
		StaleLimit:   10 * time.Minute, HandshakeTimeout: 3 * time.Second, MaxHandshakes: 7,
	}, {
		Section:  at("tls-serve", "everybody", 16),
		Listener: Listener{Listen: Address{Host: "127.0.0.1", Port: "7002"}},
		TLSFiles: TLSFiles{Cert: "/etc/both.pem"},
		Connect:  Address{Host: "10.0.0.1", Port: "6666"}, AllowAny: true,
	}}
	if !reflect.DeepEqual(p.TLSServes, serves) {
		t.Errorf("%+v\nwant %+v", p.TLSServes, serves)
	}
	connects := []TLSConnect{{
		Section:    at("tls-connect", "orders", 22),
		Listener:   Listener{Listen: Address{Path: "/run/c.sock"}, Mode: 0o660, Group: "users"},
		Connect:    Address{Host: "server.example.org", Port: "7001"},
		ServerName: "orders",
	}}
	if !reflect.DeepEqual(p.TLSConnects, connects) {
		t.Errorf("%+v\nwant %+v", p.TLSConnects, connects)
	}
	tunnels := []Tunnel{{
		Section: at("tunnel", "gateway", 28),
		Host:    "ann@gateway.example.org:2222",
		Forwards: []Pair{
			{Address{Host: "127.0.0.1", Port: "7777"}, Address{Host: "10.1.2.3", Port: "5555"}},
			{Address{Host: "127.0.0.1", Port: "7778"}, Address{Host: "db", Port: "5432"}},
		},
		Reverses: []Pair{{Address{Port: "5555"}, Address{Path: "/run/orders.sock"}}},
		SOCKS:    []Address{{Host: "127.0.0.1", Port: "1080"}}, MaxConns: 3,
		SSHConfig: "none", Identity: "/etc/id", KnownHosts: "/etc/known_hosts", Agent: "none",
	}}
	if !reflect.DeepEqual(p.Tunnels, tunnels) {
		t.Errorf("%+v\nwant %+v", p.Tunnels, tunnels)
	}
}

// TestLinkErrors: whatever is wrong with a link is an error with its line.
func TestLinkErrors(t *testing.T) {
	serve := func(lines ...string) string {
		return "tls-serve = a\n    listen = 127.0.0.1:1\n    connect = 127.0.0.1:2\n    cert = c\n    " +
			strings.Join(lines, "\n    ") + "\n"
	}
	connect := func(listen, to string, lines ...string) string {
		return "tls-connect = a\n    listen = " + listen + "\n    connect = " + to + "\n    " +
			strings.Join(append(lines, "ca = c"), "\n    ") + "\n"
	}
	tunnel := func(lines ...string) string {
		return "tunnel = a\n    host = b\n    " + strings.Join(lines, "\n    ") + "\n"
	}
	for _, test := range [][2]string{
		{serve("min-tls = 1.2"),
			"1: the tls-serve: nobody may connect: ca says whose certificates " +
				"are let in, allow-any lets everybody in"},
		{serve("allow-any = no"),
			"1: the tls-serve: nobody may connect"},
		{serve("allow-any = true"),
			"5: allow-any \"true\": none of yes, no"},
		{serve("allow-any = yes", "ca = c"),
			"6: ca: is about certificates, and allow-any lets " +
				"everybody in without one"},
		{serve("allow-any = yes", "allow = CN=a"),
			"6: allow: is about certificates"},
		{serve("allow = CN=a"),
			"1: the tls-serve: nobody may connect"},
		{serve("ca = c", "allow = ann"),
			"6: allow \"ann\": not KIND=NAME"},
		{serve("ca = c", "allow = X=ann"),
			"6: allow \"X=ann\": not KIND=NAME"},
		{serve("ca = c", "allow = CN="),
			"6: allow \"CN=\": not KIND=NAME"},
		{serve("ca = c", "fingerprint = 00"),
			"6: fingerprint \"00\": not a SHA-256"},
		{serve("ca = c", "fingerprint = ,"),
			"6: fingerprint \",\": names nothing"},
		{serve("ca = c", "ca = d"),
			"6: a second ca, the first is in line 5"},
		{serve("ca = c", "server-name = x"),
			"6: unknown name \"server-name\" below a tls-serve: listen, "},
		{serve("ca = c", "max-conns = 0"),
			"6: max-conns \"0\": not a number, from 1 on"},
		{serve("ca = c", "stale-limit = 10"),
			"6: stale-limit \"10\": not a time such as"},
		{serve("ca = c", "stale-limit = -1s"),
			"6: stale-limit \"-1s\": not a time such as"},
		{serve("ca = c", "min-tls = 1.1"),
			"6: min-tls \"1.1\": none of 1.2, 1.3"},
		{serve("ca = c", "mode = 0600"),
			"6: mode: is for Unix sockets"},
		{serve("ca ="),
			"5: ca has no value"},
		{"tls-serve = a\n",
			"1: the tls-serve has no listen"},
		{"tls-serve\n",
			"1: the tls-serve has no name"},
		{serve("ca = c") + strings.Replace(serve("ca = c"), ":1", ":3", 1),
			"6: a second tls-serve \"a\", " +
				"the first is in line 1"},
		{serve("ca = c") + strings.Replace(serve("ca = c"), "= a", "= b", 1),
			"7: another section " +
				"listens there, in line 2"},
		{strings.Replace(serve("ca = c"), "127.0.0.1:1", "*:2", 1),
			"3: connect: is where the section " +
				"itself listens"},
		{strings.Replace(serve("ca = c"), "127.0.0.1:2", "10.0.0.1:2", 1),
			"3: connect: is in clear, " +
				"and neither a Unix socket nor a loopback address: unsafe-target allows it"},
		{strings.Replace(serve("ca = c"), "127.0.0.1:2", "db:2", 1),
			"3: connect: is in clear"},
		{strings.Replace(serve("ca = c"), "127.0.0.1:1", "db:2", 1),
			"2: listen \"db:2\": the name of"},
		{strings.Replace(serve("ca = c"), "127.0.0.1:1", "ipc://@a", 1),
			"2: listen \"ipc://@a\": an abstract"},
		{strings.Replace(serve("ca = c"), "127.0.0.1:1", "here", 1),
			"2: listen \"here\": not HOST:PORT"},
		{strings.Replace(serve("ca = c"), "127.0.0.1:1", "[::g]:1", 1),
			"2: listen \"[::g]:1\": \"::g\" is no"},
		{connect("0.0.0.0:1", "a:2"),
			"2: listen: is in clear, and neither"},
		{connect("*:1", "a:2"),
			"2: listen: is in clear, and neither"},
		{connect("127.0.0.1:1", "/a"),
			"3: connect: TLS goes to HOST:PORT"},
		{connect("127.0.0.1:1", "*:2"),
			"3: connect \"*:2\": no host to connect to"},
		{connect("127.0.0.1:1", "a:0"),
			"3: connect \"a:0\": no port to connect to"},
		{connect("127.0.0.1:1", "a:2", "key = k"),
			"4: key: goes with cert"},
		{connect("127.0.0.1:1", "a:65536"),
			"3: connect \"a:65536\": \"65536\" is no port"},
		{tunnel("agent = none"),
			"1: the tunnel: nothing goes through it"},
		{tunnel("forward = 1:2"),
			"3: forward \"1:2\": not LISTEN=CONNECT or"},
		{tunnel("forward = *:1=a:2"),
			"3: forward: :1 is in clear"},
		{tunnel("forward = 1:a:2", "socks = 1"),
			"4: another section listens there, in line 3"},
		{tunnel("reverse = 1:10.0.0.1:2"),
			"3: reverse: 10.0.0.1:2 is in clear"},
		{tunnel("reverse = @a=127.0.0.1:2"),
			"3: reverse \"@a=127.0.0.1:2\": an abstract socket does"},
		{tunnel("socks = x"),
			"3: socks \"x\": not HOST:PORT"},
		{tunnel("socks = 70000"),
			"3: socks \"70000\": not HOST:PORT"},
		{"link = a\n",
			"1: unknown name \"link\" in a policy: domain, frontend, stale-limit, fleet, tls-serve, " +
				"tls-connect, tunnel"},
	} {
		text, want := test[0], test[1]
		_, err := Parse("p", []byte(text))
		if err == nil || !strings.HasPrefix(err.Error(), "p:"+want) {
			t.Errorf("%v\nwant p:%s\nfor\n%s", err, want, text)
		}
	}
}

// TestLinksAndFrontends: they cannot have one port.
func TestLinksAndFrontends(t *testing.T) {
	frontend := "frontend = f\n    type = router\n    bind = tcp://127.0.0.1:7001\n" +
		"    backend = ipc:///b\n    mechanism = null\n    domain = a\n"
	link := "tls-serve = l\n    listen = :7001\n    connect = /b\n    cert = c\n    allow-any = yes\n"
	for text, want := range map[string]string{
		frontend + link: "p:8: another section listens there, in line 3",
		link + frontend: "p:8: another section binds this endpoint, in line 2",
	} {
		if _, err := Parse("p", []byte(text)); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestAddress(t *testing.T) {
	here := func(path string) string {
		if strings.HasPrefix(path, "/") {
			return path
		}
		return "/here/" + path
	}
	for text, want := range map[string]string{
		"127.0.0.1:1": "tcp 127.0.0.1:1", "tcp://127.0.0.1:01": "tcp 127.0.0.1:1",
		"[::1]:1": "tcp [::1]:1", ":1": "tcp :1", "*:1": "tcp :1", "tcp://*:*": "tcp :0",
		"a.example.org:1": "tcp a.example.org:1", "[fe80::1%lo]:1": "tcp [fe80::1%lo]:1",
		"/run/a": "unix /run/a", "ipc:///run/a": "unix /run/a", "unix:/run/a": "unix /run/a",
		"unix:a": "unix /here/a", "./a": "unix /here/./a", "../a": "unix /here/../a",
		"@a": "unix @a", "ipc://@a": "unix @a",
		"": "!not HOST", "a": "!not HOST", "1": "!not HOST", "a:": "!is no port", "a:x": "!is no port",
		"a:-1": "!is no port", "::1:1": "!not HOST", "a b:1": "!is no host", "a=b:1": "!is no host",
		"\u00e9:1": "!is no host", "udp://a:1": "!not HOST", "ipc://": "!without a path",
		"unix:@": "!without a path", "/": "!without a path", "/\x00": "!a NUL byte",
		"/" + strings.Repeat("x", maxSocketPath): "!at most 107 bytes",
	} {
		got, err := parseAddress(text, here)
		fault, fails := strings.CutPrefix(want, "!")
		switch {
		case fails && (err == nil || !strings.Contains(err.Error(), fault)):
			t.Errorf("%q: %v, %v; want %q", text, got, err, fault)
		case !fails && (err != nil || got.Network()+" "+got.String() != want):
			t.Errorf("%q: %v, %v; want %q", text, got, err, want)
		}
	}
}

func TestIsLocal(t *testing.T) {
	for text, want := range map[string]bool{
		"127.0.0.1:1": true, "127.1.2.3:1": true, "[::1]:1": true, "LocalHost:1": true, "/a": true,
		"@a": true, "[::ffff:127.0.0.1]:1": true,
		"*:1": false, "0.0.0.0:1": false, "[::]:1": false, "10.0.0.1:1": false, "a:1": false,
		"localhost.example.org:1": false, "127.0.0.1.example.org:1": false, "127.1:1": false,
	} {
		at, err := parseAddress(text, strings.Clone)
		if err != nil || at.IsLocal() != want {
			t.Errorf("%s: %v, %v", text, at.IsLocal(), err)
		}
	}
}

// TestPair: both forms, with ports and sockets.
func TestPair(t *testing.T) {
	for text, want := range map[string]string{
		"127.0.0.1:1=a:2": "127.0.0.1:1 a:2", "/a=/b": "/a /b", "[::1]:1=[::2]:2": "[::1]:1 [::2]:2",
		"1:a:2": "bind:1 a:2", "h:1:a:2": "h:1 a:2", "*:1:a:2": ":1 a:2", ":1:a:2": ":1 a:2",
		"[::1]:1:[::2]:2": "[::1]:1 [::2]:2", "1:/b": "bind:1 /b", "/a:/b": "/a /b", "/a:b:2": "/a b:2",
		"0:a:2": "bind:0 a:2",
		"":      "!not LISTEN", "1": "!not LISTEN", "a:2": "!not LISTEN", "1:2:3:4:5": "!not LISTEN",
		"[1:a:2": "!not LISTEN", "1]:a:2": "!not LISTEN", "/a:1:b:2": "!not LISTEN", "=": "!not HOST",
		"1:a:0": "!no port to connect to", "x:a:2": "!is no port", "1=a:2": "!not HOST",
		"1::2": "!no host to connect to",
	} {
		got, err := parsePair(text, "bind", strings.Clone)
		fault, fails := strings.CutPrefix(want, "!")
		said := fmt.Sprint(got.Listen, " ", got.Connect)
		switch {
		case fails && (err == nil || !strings.Contains(err.Error(), fault)):
			t.Errorf("%q: %v, %v; want %q", text, said, err, fault)
		case !fails && (err != nil || said != want):
			t.Errorf("%q: %v, %v; want %q", text, said, err, want)
		}
	}
}

func FuzzPair(f *testing.F) {
	for _, text := range []string{"127.0.0.1:1=a:2", "[::1]:1:[::2]:2", "/a:/b", "*:1:a:2", "@=:"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parsePair(text, loopback, strings.Clone)
		if err != nil {
			return
		}
		for _, at := range []Address{p.Listen, p.Connect} {
			if (at.Path == "") == (at.Port == "") {
				t.Errorf("%q is %+v", text, at)
			}
			again, err := parseAddress(at.Endpoint(), strings.Clone)
			if err != nil || again != at {
				t.Errorf("%q is %+v, and %q is %+v, %v", text, at, at.Endpoint(), again, err)
			}
		}
		if p.Connect.checkConnect() != nil {
			t.Errorf("%q connects to %v", text, p.Connect)
		}
	})
}

// TestFlags: the flags of a command line are read as the entries of a section are.
func TestFlags(t *testing.T) {
	values := []Value{{EntryListen, "127.0.0.1:1"}, {EntryConnect, "/b"}, {EntryCert, "/c"},
		{EntryCA, "/ca"}, {EntryAllow, "CN=a"}, {EntryAllow, "CN=b"}}
	s, err := NewTLSServe(values)
	if err != nil || len(s.Allow) != 2 || s.Kind != EntryTLSServe || s.Name != "" {
		t.Errorf("%+v, %v", s, err)
	}
	for want, more := range map[string]Value{
		`ca: "/ca": is given twice`: {EntryCA, "/ca"}, `key: "": is empty`: {EntryKey, ""},
		`max-conns: "x": not a number, from 1 on`: {EntryMaxConns, "x"},
	} {
		_, err := NewTLSServe(append(values[:len(values):len(values)], more))
		if err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if _, err := NewTLSConnect(values[:1]); err == nil || err.Error() != "connect: is missing" {
		t.Error(err)
	}
	_, err = NewTunnel([]Value{{EntryHost, "h"}, {EntryForward, "1:a:2"}, {EntrySOCKS, "1"}})
	if err == nil || err.Error() != "socks: 127.0.0.1:1 is listened at twice" {
		t.Error(err)
	}
}
