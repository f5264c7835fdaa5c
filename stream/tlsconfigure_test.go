package stream

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// host gives a certificate one name.
func host(name string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{name}, nil }
}

// shownName is the name in a certificate as openssl shows it, in versions 3.0 and 3.5.
var shownName = regexp.MustCompile(`(?m)^subject=CN ?= ?(.*)$`)

// TestServerNames: the client gets the certificate of the server that it names. Each pair of files
// is followed for itself.
func TestServerNames(t *testing.T) {
	openssl := testpeer.Program(t, "openssl", "openssl")
	ca := newAuthority(t, "CA")
	first, second, third := ca.issue("first"), ca.issue("second", host("b.example")),
		ca.issue("third", host("*.c.example"))
	address := start(t, &Server{Handler: echo, Authenticator: &TLSAuthenticator{
		CertFile: first.cert, KeyFile: first.key, Logger: quiet(),
		Certificates: []CertificateFiles{{second.cert, second.key}, {third.cert, third.key}},
	}})
	shown := func(name string) string {
		t.Helper()
		out, err := exec.CommandContext(patient(t), openssl, "s_client", "-connect", address,
			"-servername", name, "-CAfile", ca.file, "-verify_return_error").CombinedOutput()
		must.OK(t, err)
		found := shownName.FindSubmatch(out)
		if found == nil {
			t.Fatalf("no subject:\n%s", out)
		}
		return string(found[1])
	}
	for name, want := range map[string]string{"localhost": "first", "b.example": "second",
		"B.example": "second", "x.c.example": "third", "c.example": "first", "other": "first"} {
		if got := shown(name); got != want {
			t.Errorf("%s: the server shows %q, want %q", name, got, want)
		}
	}
	renewed := ca.issue("renewed", host("b.example"))
	replace(t, first.key, nil) // which keeps nobody from renewing the others
	replace(t, second.key, content(t, renewed.key))
	replace(t, second.cert, content(t, renewed.cert))
	for name, want := range map[string]string{"localhost": "first", "b.example": "renewed"} {
		if got := shown(name); got != want {
			t.Errorf("%s, renewed: the server shows %q, want %q", name, got, want)
		}
	}
}

// TestNextProtos: a protocol is agreed on. A client that offers others only is refused.
func TestNextProtos(t *testing.T) {
	ca := newAuthority(t, "CA")
	server := ca.issue("server")
	address := start(t, &Server{Handler: echo, Authenticator: &TLSAuthenticator{
		CertFile: server.cert, KeyFile: server.key, NextProtos: []string{"two", "one"},
	}})
	for offer, want := range map[string]string{
		"": "", "one": "one", "one,two": "two", "three": "refused",
	} {
		config, err := (&TLSClient{CAFile: ca.file}).config(address)
		must.OK(t, err)
		if offer != "" {
			config.NextProtos = strings.Split(offer, ",")
		}
		conn := tls.Client(dialTCP(t, address), config)
		got := "refused"
		if err := exchange(conn, "hello"); err == nil {
			got = conn.ConnectionState().NegotiatedProtocol
		}
		if got != want {
			t.Errorf("offer %q: %q, want %q", offer, got, want)
		}
	}
}

// TestConfigure: the hook is called last, for each change, and cannot let in a client without a
// good certificate.
func TestConfigure(t *testing.T) {
	ca, other := newAuthority(t, "CA"), newAuthority(t, "another CA")
	server := ca.issue("server")
	calls, refuse := 0, errors.New("not today")
	a := &TLSAuthenticator{
		CertFile: server.cert, KeyFile: server.key, CAFile: ca.file, Logger: quiet(),
		Configure: func(c *tls.Config) {
			calls++
			c.MinVersion, c.ClientAuth = tls.VersionTLS13, tls.RequestClientCert
			c.VerifyConnection = func(state tls.ConnectionState) error {
				if state.PeerCertificates[0].Subject.CommonName == "bob" {
					return refuse
				}
				return nil
			}
		},
	}
	address := start(t, &Server{Authenticator: a, Handler: echo})
	conn := dialTLS(t, address, config(ca.issue("ann"), ca))
	if version := conn.(*tls.Conn).ConnectionState().Version; version != tls.VersionTLS13 {
		t.Error(tls.VersionName(version))
	}
	for name, client := range map[string]TLSClient{"without": {CAFile: ca.file},
		"bob": config(ca.issue("bob"), ca), "of another CA": config(other.issue("eve"), ca)} {
		if err := sayHello(t, address, client); err == nil {
			t.Errorf("%s is let in", name)
		}
	}
	for i := range 3 {
		before := calls
		renewed := ca.issue(fmt.Sprint("renewed ", i))
		replace(t, server.key, content(t, renewed.key))
		replace(t, server.cert, content(t, renewed.cert))
		must.OK(t, a.Check())
		if calls != before+1 {
			t.Errorf("%d calls", calls-before)
		}
	}
}
