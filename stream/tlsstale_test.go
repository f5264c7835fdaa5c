package stream

import (
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
)

// TestCommentedOutCA: a CA that is commented out while the server runs is out of force at once.
func TestCommentedOutCA(t *testing.T) {
	r := newReloadable(t)
	other := newAuthority(t, "another CA")
	ann, bob := config(r.ca.issue("ann"), r.ca), config(other.issue("bob"), r.ca)
	first, second := content(t, r.ca.file), content(t, other.file)
	replace(t, r.file("ca.crt"), cat(first, second))
	must.OK(t, sayHello(t, r.address, ann))
	must.OK(t, sayHello(t, r.address, bob))
	replace(t, r.file("ca.crt"), cat(first, commentOut(second)))
	must.OK(t, sayHello(t, r.address, ann))
	if err := sayHello(t, r.address, bob); err == nil {
		t.Error("a client of a CA that is commented out is let in")
	}
	if strings.Contains(r.log.String(), "cannot be used") {
		t.Errorf("the file is good:\n%s", r.log)
	}
}

// TestReloadApart: a change of the CA file takes effect even if the certificate cannot be used.
func TestReloadApart(t *testing.T) {
	r := newReloadable(t)
	other := newAuthority(t, "another CA")
	ann, bob := config(r.ca.issue("ann"), r.ca), config(other.issue("bob"), r.ca)
	must.OK(t, sayHello(t, r.address, ann))
	replace(t, r.file("server.key"), nil)
	r.copy(other.file, "ca.crt")
	must.OK(t, sayHello(t, r.address, bob))
	if err := sayHello(t, r.address, ann); err == nil {
		t.Error("a client whose CA has been removed is let in")
	}
	// A set of CAs that is readable and empty of CAs for clients is in force, too.
	rejected := openSSL(t, "x509", "-in", other.file, "-trustout", "-addreject", "clientAuth")
	replace(t, r.file("ca.crt"), rejected)
	if err := sayHello(t, r.address, bob); err == nil {
		t.Error("a client whose CA is rejected is let in")
	}
}

// aging is a TLSAuthenticator whose clock a test moves.
type aging struct {
	*TLSAuthenticator
	t      *testing.T
	passed atomic.Int64
	log    *logbuffer.Buffer
}

func newAging(t *testing.T, a *TLSAuthenticator) *aging {
	g := &aging{TLSAuthenticator: a, t: t, log: &logbuffer.Buffer{}}
	a.Logger = g.log.Logger()
	begun := time.Now()
	a.followed.clock = func() time.Time { return begun.Add(time.Duration(g.passed.Load())) }
	return g
}

// pass moves the clock.
func (g *aging) pass(d time.Duration) { g.passed.Add(int64(d)) }

// lines counts the lines of the log that contain text.
func (g *aging) lines(text string) (n int) {
	for line := range strings.Lines(g.log.String()) {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// TestStaleLimit: a CA file that cannot be used is logged as an error, again and again but ever
// more rarely. After StaleLimit nobody is let in, until the file is mended.
func TestStaleLimit(t *testing.T) {
	for name, damage := range map[string]func(file string){
		"emptied": func(file string) { must.OK(t, os.Truncate(file, 0)) },
		"removed": func(file string) { must.OK(t, os.Remove(file)) },
		"broken":  func(file string) { must.OK(t, os.Truncate(file, 100)) },
		"a directory": func(file string) {
			must.OK(t, os.Remove(file))
			must.OK(t, os.Mkdir(file, 0o700))
		},
		"commented out": func(file string) { replace(t, file, cat([]byte("# "), content(t, file))) },
	} {
		t.Run(name, func(t *testing.T) {
			ca := newAuthority(t, "CA")
			server, ann := ca.issue("server"), config(ca.issue("ann"), ca)
			file := filepath.Join(t.TempDir(), "ca.crt")
			replace(t, file, content(t, ca.file))
			g := newAging(t, &TLSAuthenticator{
				CertFile: server.cert, KeyFile: server.key, CAFile: file, StaleLimit: 30 * time.Minute,
			})
			address := start(t, &Server{Authenticator: g.TLSAuthenticator, Handler: echo})
			must.OK(t, sayHello(t, address, ann))
			damage(file)
			must.OK(t, sayHello(t, address, ann))
			if n := g.lines(file); g.lines("level=ERROR") != 1 || n != 1 {
				t.Errorf("%d lines:\n%s", n, g.log)
			}
			for range 29 { // lines after 0, 1, 3, 7 and 15 minutes
				g.pass(time.Minute - time.Second)
				must.OK(t, sayHello(t, address, ann))
			}
			if n := g.lines("level=ERROR"); n < 4 || n > 5 {
				t.Errorf("%d lines:\n%s", n, g.log)
			}
			g.pass(2 * time.Minute)
			if err := sayHello(t, address, ann); err == nil {
				t.Error("a client is let in after the limit")
			}
			if err := g.Check(); err == nil || !strings.Contains(err.Error(), file) {
				t.Errorf("Check: %v", err)
			}
			must.OK(t, os.RemoveAll(file))
			replace(t, file, content(t, ca.file))
			must.OK(t, sayHello(t, address, ann))
			if n := g.lines("can be used again"); n != 1 {
				t.Errorf("mended: %d lines:\n%s", n, g.log)
			}
		})
	}
}

// TestNoStaleLimit: without a limit, the CAs of before stay in force for ever.
func TestNoStaleLimit(t *testing.T) {
	ca := newAuthority(t, "CA")
	server, ann := ca.issue("server"), config(ca.issue("ann"), ca)
	file := filepath.Join(t.TempDir(), "ca.crt")
	replace(t, file, content(t, ca.file))
	g := newAging(t, &TLSAuthenticator{CertFile: server.cert, KeyFile: server.key, CAFile: file})
	must.OK(t, g.Check())
	must.OK(t, os.Remove(file))
	g.pass(30 * time.Minute)
	address := start(t, &Server{Authenticator: g.TLSAuthenticator, Handler: echo})
	must.OK(t, sayHello(t, address, ann))
}
