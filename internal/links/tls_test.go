package links

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testca"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// TestTLSServeAdmits: a client gets in only if all that the section says lets it in, and the log
// says who it was, or why not.
func TestTLSServeAdmits(t *testing.T) {
	w := newWorld(t, 0)
	bob, err := w.ca.Issue("bob", func(c *x509.Certificate) {
		c.Subject.OrganizationalUnit = []string{"night shift"}
	})
	must.OK(t, err)
	foreign, err := testca.New(t.TempDir(), "foreign")
	must.OK(t, err)
	mallory, err := foreign.Issue("ann")
	must.OK(t, err)
	fingerprint := "00" + strings.Repeat("11", 31)
	crl, err := w.ca.RevocationList(nil, load(t, bob))
	must.OK(t, err)
	must.OK(t, os.WriteFile(filepath.Join(w.dir, "ca.crl"), crl, 0o600))
	nobody := testca.Identity{}
	type all = []testca.Identity
	ca := func(more ...string) []string { return append([]string{"ca = ca.crt"}, more...) }
	for name, test := range map[string]struct {
		entries []string
		in, out all
		why     string
	}{
		"a CA":       {ca(), all{w.ann, bob}, all{nobody}, "provide a certificate"},
		"another CA": {ca(), nil, all{mallory}, "unknown authority"},
		"a name":     {ca("allow = CN=ann"), all{w.ann}, all{bob}, "no name of the certificate"},
		"names":      {ca("allow = CN=x", "allow = OU=night*"), all{bob}, all{w.ann}, "CN=ann"},
		"a fingerprint": {ca("fingerprint = " + fingerprint), nil, all{w.ann},
			"the fingerprint of the certificate"},
		"a list":    {ca("crl = ca.crl"), all{w.ann}, all{bob}, "revoked"},
		"everybody": {[]string{"allow-any = yes"}, all{nobody, mallory}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			at := freePort(t)
			w.update(w.serve("s", at, test.entries...))
			for _, id := range test.in {
				conn, err := w.dial(at, id)
				must.OK(t, err)
				must.OK(t, says(conn, "hello"))
				must.OK(t, conn.Close())
			}
			for _, id := range test.out {
				conn, err := w.dial(at, id)
				if err == nil {
					err = says(conn, "hello")
				}
				if err == nil {
					t.Errorf("%v gets in", id)
				}
				w.logs("level=INFO", "a client is not let in", "tls-serve=s", test.why)
			}
		})
	}
	w.logs("level=DEBUG", MessageAccepted, "subject=", "CN=ann", "sha256=")
}

func load(t *testing.T, id testca.Identity) *x509.Certificate {
	t.Helper()
	text, err := os.ReadFile(id.CertFile)
	must.OK(t, err)
	block, _ := pem.Decode(text)
	certificate, err := x509.ParseCertificate(block.Bytes)
	must.OK(t, err)
	return certificate
}

// TestHangUp: who hangs up before it was let in or refused is no line of information.
func TestHangUp(t *testing.T) {
	w := newWorld(t, 0)
	at := freePort(t)
	w.update(w.serve("s", at))
	conn, err := net.Dial("tcp", at)
	must.OK(t, err)
	must.OK(t, conn.Close())
	w.logs("level=DEBUG", "a client is not let in", "EOF")
	if n := w.count("level=INFO", "a client is not let in"); n != 0 {
		t.Error(w.log)
	}
}

// TestTarget: while the service is away clients are reset, which is logged once, and when it is
// back, that is logged.
func TestTarget(t *testing.T) {
	w := newWorld(t, 0)
	at := freePort(t)
	w.echo = filepath.Join(w.dir, "echo.sock")
	w.update(w.serve("s", at))
	for range 3 {
		conn, err := w.dial(at, w.ann)
		must.OK(t, err)
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the client of a service that is away: %v", err)
		}
	}
	w.logs("level=WARN", MessageAway, "target="+w.echo, "echo.sock: connect: no such file")
	if n := w.count("level=WARN"); n != 1 {
		t.Errorf("%d warnings", n)
	}
	echo(t, "unix", w.echo)
	must.OK(t, w.talks(at))
	w.logs("level=INFO", MessageBack)
}

// TestMaxConns: no more clients at once than that, and the next when one goes.
func TestMaxConns(t *testing.T) {
	w := newWorld(t, 0)
	at := freePort(t)
	w.update(w.serve("s", at, "ca = ca.crt", "max-conns = 1"))
	first, err := w.dial(at, w.ann)
	must.OK(t, err)
	must.OK(t, says(first, "hello"))
	second := make(chan error, 1)
	go func() { second <- w.talks(at) }()
	select {
	case err := <-second:
		t.Errorf("the second is served at the same time: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	must.OK(t, first.Close())
	must.OK(t, <-second)
}

// TestTLSConnect: data and its end go through both ends. A server that is not the one, or refuses
// the client, is logged once, and the local client is reset.
func TestTLSConnect(t *testing.T) {
	w := newWorld(t, 0)
	at, local := freePort(t), freePort(t)
	connect := func(more ...string) string {
		return "tls-connect = c\n    listen = " + local + "\n    connect = " + at + "\n    " +
			strings.Join(more, "\n    ") + "\n"
	}
	w.update(w.serve("s", at) + connect("ca = ca.crt", "cert = ann.crt", "key = ann.key"))
	conn, err := net.Dial("tcp", local)
	must.OK(t, err)
	must.OK(t, says(conn, strings.Repeat("hello", 100_000)))
	must.OK(t, conn.(*net.TCPConn).CloseWrite())
	if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the end of data: %v", err)
	}
	must.OK(t, conn.Close())
	w.logs("level=DEBUG", MessageConnected, "CN=server")

	ann := []string{"cert = ann.crt", "key = ann.key"}
	for name, test := range map[string]struct {
		entries []string
		why     string
	}{
		"a server of another name": {append(ann, "ca = ca.crt", "server-name = other"), "not other"},
		"a server of another CA":   {ann, "unknown authority"},
		"no certificate":           {[]string{"ca = ca.crt"}, "certificate required"},
	} {
		t.Run(name, func(t *testing.T) {
			w.update(w.serve("s", at) + connect(test.entries...))
			for range 2 {
				conn, err := net.Dial("tcp", local)
				if err == nil { // else the link was faster than the system
					_, err = io.ReadAll(conn)
					_ = conn.Close()
				}
				if !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("the local client: %v", err)
				}
			}
			w.logs("level=WARN", "tls-connect=c", MessageAway, test.why)
			if n := w.count("level=WARN", test.why); n != 1 {
				t.Errorf("%d warnings", n)
			}
		})
	}
}

// TestReach: health is told by a handshake, or a connection that stays open. It leaves no line of
// information behind.
func TestReach(t *testing.T) {
	w := newWorld(t, 0)
	at, local := freePort(t), freePort(t)
	text := w.serve("s", at) + "tls-connect = c\n    listen = " + local + "\n    connect = " + at +
		"\n    ca = ca.crt\n    cert = ann.crt\n    key = ann.key\n"
	specs := w.specs(text)
	reach := func(i int) error {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		return Reach(ctx, specs[i], specs[i].Ports()[0])
	}
	if reach(0) == nil || reach(1) == nil {
		t.Error("links that do not run are reached")
	}
	w.update(text)
	must.OK(t, reach(0))
	must.OK(t, reach(1))
	testpeer.Eventually(t, "the handshakes are over", func() bool {
		return w.count("level=DEBUG", "a client is not let in") == 1
	})
	if n := w.count("level=INFO", "a client is not let in"); n != 0 {
		t.Error("the look is logged as a refusal")
	}
	_, err := w.ca.Issue("server", func(c *x509.Certificate) {
		c.NotAfter = time.Now().Add(-time.Minute)
	})
	must.OK(t, err)
	testpeer.Eventually(t, "the new certificate is in force", func() bool { return reach(0) != nil })
	if err := reach(0); !strings.Contains(err.Error(), "its certificate is valid from") {
		t.Error(err)
	}
	if err := reach(1); err == nil || !strings.Contains(err.Error(), "is not carried on") {
		t.Errorf("a link whose server cannot prove who it is: %v", err)
	}
	clear, err := net.Listen("tcp", "127.0.0.1:0") // somebody else at the port
	must.OK(t, err)
	defer clear.Close()
	go func() {
		conn, err := clear.Accept()
		if err == nil {
			_, _ = io.WriteString(conn, "220 hello\r\n")
			_ = conn.Close()
		}
	}()
	specs = w.specs(w.serve("s", clear.Addr().String()))
	if err := reach(0); err == nil || !strings.Contains(err.Error(), "no TLS handshake") {
		t.Error(err)
	}
}

// TestHostileClients: what is no handshake, and what is half of one, is no obstacle to others.
func TestHostileClients(t *testing.T) {
	w := newWorld(t, 0)
	at := freePort(t)
	w.update(w.serve("s", at, "ca = ca.crt", "max-handshakes = 4"))
	for _, sent := range []string{"", "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\xff\xff",
		"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", strings.Repeat("\x00", 20_000)} {
		for range 3 {
			conn, err := net.Dial("tcp", at)
			must.OK(t, err)
			defer conn.Close()
			_, err = io.WriteString(conn, sent)
			must.OK(t, err)
		}
	}
	must.OK(t, w.talks(at))
}
