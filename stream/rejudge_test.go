package stream

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// guarded is a server whose files a test changes, with two clients that are connected.
type guarded struct {
	*TLSAuthenticator
	ca       *authority
	address  string
	ann, bob net.Conn
	annFile  string
	served   chan net.Conn // the server's ends
	ended    chan error    // the cause of the end of each Handler
	log      *logbuffer.Buffer
	s        *Server
}

func newGuarded(t *testing.T, change func(*Server, *TLSAuthenticator)) *guarded {
	t.Helper()
	g := &guarded{ca: newAuthority(t, "CA"), ended: make(chan error, 9),
		served: make(chan net.Conn, 9), log: &logbuffer.Buffer{}}
	server, ann, bob := g.ca.issue("server"), g.ca.issue("ann"), g.ca.issue("bob")
	g.annFile = ann.cert
	g.TLSAuthenticator = &TLSAuthenticator{CertFile: server.cert, KeyFile: server.key,
		CAFile: write(t, content(t, g.ca.file)), CRLFile: write(t, g.ca.revoke(nil)), Logger: quiet()}
	g.s = &Server{Authenticator: g.TLSAuthenticator, Logger: g.log.Logger(),
		Handler: func(ctx context.Context, conn net.Conn, _ any) {
			g.served <- conn
			echo(ctx, conn, nil)
			g.ended <- context.Cause(ctx)
		}}
	if change != nil {
		change(g.s, g.TLSAuthenticator)
	}
	g.address = start(t, g.s)
	g.ann = dialTLS(t, g.address, config(ann, g.ca))
	g.bob = dialTLS(t, g.address, config(bob, g.ca))
	return g
}

// dialTLS connects and exchanges a word. The connection is closed when the test ends.
func dialTLS(t *testing.T, address string, cfg TLSClient) net.Conn {
	t.Helper()
	conn, err := DialTLS(patient(t), address, cfg)
	must.OK(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	must.OK(t, exchange(conn, "hello"))
	return conn
}

// expectEnd expects that the server ends a connection, with a reason in the cause and in the log.
func (g *guarded) expectEnd(t *testing.T, conn net.Conn, want string) {
	t.Helper()
	begun := time.Now()
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the connection is open: %v", err)
	}
	if took := time.Since(begun); took > patience/2 {
		t.Errorf("it took %v", took)
	}
	cause := <-g.ended
	_, refused := errors.AsType[*AuthenticationError](cause)
	if !refused || !strings.Contains(cause.Error(), want) {
		t.Errorf("cause %v, want %q", cause, want)
	}
	testpeer.Eventually(t, "it is in the log", func() bool {
		return strings.Contains(g.log.String(), "a client's connection is ended")
	})
}

// TestTakenBack: connections of certificates that would be refused now are ended. The others go on.
func TestTakenBack(t *testing.T) {
	for name, c := range map[string]struct {
		take func(t *testing.T, g *guarded)
		want string
		all  bool // bob's connection ends, too
	}{
		"revoked": {func(t *testing.T, g *guarded) {
			replace(t, g.CRLFile, g.ca.revoke(nil, g.annFile))
		}, "is revoked", false},
		"revoked, in place": {func(t *testing.T, g *guarded) {
			must.OK(t, os.WriteFile(g.CRLFile, g.ca.revoke(nil, g.annFile), 0o600))
		}, "is revoked", false},
		"CA removed": {func(t *testing.T, g *guarded) {
			replace(t, g.CAFile, content(t, newAuthority(t, "another CA").file))
		}, "unknown authority", true},
		"name not allowed": {func(t *testing.T, g *guarded) {
			must.OK(t, g.SetAllowed([]string{"CN=bob"}, nil))
		}, "is allowed", false},
		"list expired": {func(t *testing.T, g *guarded) {
			replace(t, g.CRLFile, g.ca.revoke(func(l *x509.RevocationList) {
				l.NextUpdate = time.Now().Add(-time.Second)
			}))
		}, "no revocation list of", true},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGuarded(t, nil)
			c.take(t, g)
			g.expectEnd(t, g.ann, c.want)
			if c.all {
				g.expectEnd(t, g.bob, c.want)
			} else {
				must.OK(t, exchange(g.bob, "still there"))
			}
		})
	}
}

// TestTakenBackByTime: connections end when a certificate or a list expires, and when files are
// stale for too long, although no file changes.
func TestTakenBackByTime(t *testing.T) {
	soon := func() time.Time { return time.Now().Add(2 * time.Second) }
	t.Run("list", func(t *testing.T) {
		g := newGuarded(t, nil)
		replace(t, g.CRLFile, g.ca.revoke(func(l *x509.RevocationList) { l.NextUpdate = soon() }))
		g.expectEnd(t, g.ann, "no revocation list of")
	})
	t.Run("list to come", func(t *testing.T) {
		g := newGuarded(t, nil)
		old := g.ca.revoke(func(l *x509.RevocationList) { l.ThisUpdate = time.Now().Add(-time.Hour) })
		revoking := g.ca.revoke(func(l *x509.RevocationList) { l.ThisUpdate = soon() }, g.annFile)
		replace(t, g.CRLFile, cat(old, revoking))
		g.expectEnd(t, g.ann, "is revoked")
		must.OK(t, exchange(g.bob, "still there"))
	})
	t.Run("certificate", func(t *testing.T) {
		g := newGuarded(t, nil)
		eve := g.ca.issue("eve", func(c *x509.Certificate) { c.NotAfter = soon() })
		g.expectEnd(t, dialTLS(t, g.address, config(eve, g.ca)), "expired")
		must.OK(t, exchange(g.ann, "still there"))
	})
	t.Run("stale", func(t *testing.T) {
		g := newGuarded(t, func(_ *Server, a *TLSAuthenticator) { a.StaleLimit = time.Second })
		must.OK(t, os.Remove(g.CAFile))
		g.expectEnd(t, g.ann, "nobody is let in")
	})
}

// TestTakenBackStalledLog: connections end although the loggers of the server and of the
// authenticator take nothing.
func TestTakenBackStalledLog(t *testing.T) {
	stalled := &stalling{Handler: slog.DiscardHandler, goOn: make(chan struct{})}
	log := slog.New(stalled)
	g := newGuarded(t, func(s *Server, a *TLSAuthenticator) { s.Logger, a.Logger = log, log })
	stalled.isStalled.Store(true)
	defer close(stalled.goOn)
	must.OK(t, os.WriteFile(g.CRLFile, nil, 0o600)) // the authenticator has something to say
	must.OK(t, g.SetAllowed([]string{}, nil))
	for _, conn := range []net.Conn{g.ann, g.bob} {
		if !closed(conn) {
			t.Error("a connection is open")
		}
	}
}

// stalling is a log that takes nothing while it is stalled.
type stalling struct {
	slog.Handler
	isStalled atomic.Bool
	goOn      chan struct{}
}

func (h *stalling) Enabled(context.Context, slog.Level) bool { return true }

func (h *stalling) Handle(context.Context, slog.Record) error {
	if h.isStalled.Load() {
		<-h.goOn
	}
	return nil
}

// TestLogLines: lines come in order. Those that have no room are counted.
func TestLogLines(t *testing.T) {
	var lines logLines
	var log logbuffer.Buffer
	begun, goOn, written := make(chan struct{}), make(chan struct{}), make(chan struct{})
	lines.add(log.Logger(), func() { close(begun); <-goOn }, func() { close(written) })
	<-begun
	last := 0
	for i := range maxLogLines + 7 {
		lines.add(nil, func() {
			if i != last {
				t.Errorf("line %d after %d others", i, last)
			}
			last++
		}, nil)
	}
	lines.mu.Lock()
	if lines.lost != 7 || !lines.busy {
		t.Errorf("%d lines are lost", lines.lost)
	}
	lines.mu.Unlock()
	close(goOn)
	<-written
	if last != maxLogLines || lines.isBusy() {
		t.Errorf("%d lines", last)
	}
	if !strings.Contains(log.String(), "lines=7") {
		t.Error(log.String())
	}
}

// TestHalfWritten: a connection is not ended for a CA file that is a smaller set for a moment. It
// is when the file stays so.
func TestHalfWritten(t *testing.T) {
	g := newGuarded(t, func(s *Server, _ *TLSAuthenticator) { s.KeepRefused = true }) // the test asks
	other := newAuthority(t, "another CA")
	whole, less := content(t, g.CAFile), content(t, other.file)
	var passed atomic.Int64
	begun := time.Now()
	g.followed.mu.Lock()
	g.followed.clock = func() time.Time {
		return begun.Add(time.Hour / 2).Add(time.Duration(passed.Load()))
	}
	g.followed.mu.Unlock()
	ann := <-g.served
	rejudge := func() error {
		g.Revision()
		_, err := g.Rejudge(ann, nil)
		return err
	}
	must.OK(t, rejudge())
	for range 5 {
		replace(t, g.CAFile, less)
		must.OK(t, rejudge())
		passed.Add(int64(settleTime / 2))
		must.OK(t, rejudge())
		replace(t, g.CAFile, whole)
		must.OK(t, rejudge())
		passed.Add(int64(settleTime))
		must.OK(t, rejudge())
	}
	replace(t, g.CAFile, less)
	must.OK(t, rejudge())
	before := g.Revision()
	passed.Add(int64(settleTime))
	if err := rejudge(); err == nil || g.Revision() == before {
		t.Errorf("settled: %v, revision %d", err, before)
	}
}

// TestKeepRefused: the connections of refused clients stay open if the server is told so.
func TestKeepRefused(t *testing.T) {
	g := newGuarded(t, func(s *Server, _ *TLSAuthenticator) { s.KeepRefused = true })
	replace(t, g.CRLFile, g.ca.revoke(nil, g.annFile))
	before := g.Revision()
	testpeer.Eventually(t, "the change is settled", func() bool { return g.Revision() != before })
	time.Sleep(2 * rejudgeInterval) // nothing happens, which no event shows
	must.OK(t, exchange(g.ann, "still there"))
}

// TestTakenBackInChain: a TLSAuthenticator is asked where others follow it, and where a function
// calls it.
func TestTakenBackInChain(t *testing.T) {
	for name, wrap := range map[string]func(Authenticator) Authenticator{
		"chain":    func(a Authenticator) Authenticator { return Chain(a, Chain(renaming{})) },
		"function": func(a Authenticator) Authenticator { return AuthenticatorFunc(a.Authenticate) },
	} {
		t.Run(name, func(t *testing.T) {
			g := newGuarded(t, func(s *Server, a *TLSAuthenticator) { s.Authenticator = wrap(a) })
			replace(t, g.CRLFile, g.ca.revoke(nil, g.annFile))
			g.expectEnd(t, g.ann, "is revoked")
			must.OK(t, exchange(g.bob, "still there"))
		})
	}
}

// renaming is an Authenticator that wraps the connection and has credentials of its own.
type renaming struct{}

func (renaming) Authenticate(_ context.Context, conn net.Conn) (net.Conn, any, error) {
	return struct{ net.Conn }{conn}, "somebody", nil
}

// fickle is a Rejudger of another kind, which cannot be compared and may panic.
type fickle struct {
	AuthenticatorFunc
	revision, refuses *atomic.Uint64
}

func (f fickle) Revision() uint64 {
	if f.revision.Load() == 99 {
		panic("99")
	}
	return f.revision.Load()
}

func (f fickle) Rejudge(_ net.Conn, credentials any) (time.Time, error) {
	switch f.refuses.Load() {
	case 1:
		return time.Time{}, errors.New("not any more")
	case 2:
		panic("two")
	}
	if credentials != "alice" {
		return time.Time{}, errors.New("not alice")
	}
	return time.Time{}, nil
}

// TestRejudger: any Authenticator may take back its answer. A panic of Rejudge is a refusal, one of
// Revision is not.
func TestRejudger(t *testing.T) {
	for what, refuses := range map[string]uint64{"error": 1, "panic": 2} {
		t.Run(what, func(t *testing.T) {
			f := fickle{password, new(atomic.Uint64), new(atomic.Uint64)}
			address := start(t, &Server{Authenticator: f, Handler: echo})
			conn := enter(t, address)
			f.refuses.Store(refuses)
			f.revision.Store(99)
			must.OK(t, exchange(conn, "hello"))
			f.revision.Store(1)
			if !closed(conn) {
				t.Error("the connection is open")
			}
		})
	}
}

// TestForwardTakenBack: Forward hands on the end of a connection that is taken back as a failure,
// and not as an orderly end.
func TestForwardTakenBack(t *testing.T) {
	back := newListener(t)
	ended := make(chan error, 1)
	g := newGuarded(t, func(s *Server, _ *TLSAuthenticator) {
		go func() {
			for {
				conn, err := back.Accept()
				if err != nil {
					return
				}
				go func() {
					defer conn.Close()
					echo(context.Background(), conn, nil)
				}()
			}
		}()
		s.Handler = func(ctx context.Context, conn net.Conn, _ any) {
			ended <- Forward(ctx, conn, "tcp", back.Addr().String())
		}
	})
	replace(t, g.CRLFile, g.ca.revoke(nil, g.annFile))
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "is revoked") {
		t.Errorf("%v", err)
	}
	must.OK(t, exchange(g.bob, "still there"))
	must.OK(t, g.bob.Close())
	must.OK(t, <-ended)
}
