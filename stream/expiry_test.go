package stream

import (
	"crypto/x509"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/must"
)

// TestExpiryWarnings: the log warns of the server's certificate, of the CA's and of a list before
// they expire, then at growing intervals, and says when they have. It does not say it for each
// handshake.
func TestExpiryWarnings(t *testing.T) {
	const day = 24 * time.Hour
	lasts := func(d time.Duration) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(-time.Minute), time.Now().Add(d)
		}
	}
	ca := newAuthority(t, "CA", lasts(60*day))
	server := ca.issue("server", lasts(100*day))
	list := write(t, ca.revoke(func(l *x509.RevocationList) {
		l.NextUpdate = time.Now().Add(100 * day)
	}))
	g := newAging(t, &TLSAuthenticator{CertFile: server.cert, KeyFile: server.key, CAFile: ca.file,
		CRLFile: list})
	pass := func(d time.Duration) {
		for range 4 {
			g.pass(d / 4)
			for range 3 { // as handshakes do
				must.OK(t, g.Check())
			}
		}
	}
	const soon, over = "a certificate expires soon", "a certificate has expired"
	must.OK(t, g.Check())
	pass(47 * day)
	if n := g.lines("level=WARN"); n != 0 {
		t.Fatalf("%d warnings too early:\n%s", n, g.log)
	}
	pass(2 * day) // the CA's last fifth has begun
	if n := g.lines(soon); n < 1 || n > 3 || g.lines(ca.file) != n {
		t.Fatalf("of the CA:\n%s", g.log)
	}
	pass(10 * day)
	if n := g.lines(soon); n < 3 || n > 10 {
		t.Fatalf("%d warnings of the CA in 10 days:\n%s", n, g.log)
	}
	if g.lines(over) != 0 {
		t.Fatalf("it has not expired yet:\n%s", g.log)
	}
	pass(2 * day)
	if n := g.lines(over); n < 1 || n > 4 || g.lines("level=ERROR") != n {
		t.Fatalf("%d errors:\n%s", n, g.log)
	}
	before := g.lines(server.cert)
	pass(20 * day)
	if before != 0 || g.lines(server.cert) == 0 {
		t.Fatalf("of the server's:\n%s", g.log)
	}
	pass(10 * day)
	if g.lines("a revocation list expires soon") == 0 {
		t.Fatalf("of the list:\n%s", g.log)
	}
	before = g.lines("server.crt")
	replace(t, server.cert, content(t, ca.issue("renewed", lasts(300*day)).cert))
	replace(t, server.key, content(t, identity{ca.dir + "/renewed.crt", ca.dir + "/renewed.key"}.key))
	pass(time.Hour)
	begun := g.lines("of=CN=server")
	pass(10 * day)
	if g.lines("of=CN=server") != begun || before == 0 {
		t.Fatalf("of one that has been replaced:\n%s", g.log)
	}
}
