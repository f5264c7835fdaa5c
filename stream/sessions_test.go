package stream

import (
	"bytes"
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"testing"
	"unicode"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// TestSessions: the authenticated clients are listed, and ended one by one.
func TestSessions(t *testing.T) {
	causes := make(chan error, 3)
	s, address, ann := tlsServer(t, func(s *Server) {
		s.MaxConns = 2
		s.Handler = func(ctx context.Context, conn net.Conn, _ any) {
			echo(ctx, conn, nil)
			causes <- context.Cause(ctx)
		}
	})
	if len(s.Sessions()) != 0 {
		t.Error("sessions of a server without clients")
	}
	_ = dialTCP(t, address) // a stranger is none
	first, second := dialTLS(t, address, ann), dialTLS(t, address, ann)
	all := s.Sessions()
	if len(all) != 2 || all[0].ID != 1 || all[1].ID != 2 || all[1].Since.Before(all[0].Since) ||
		all[0].Remote.String() != first.LocalAddr().String() {
		t.Fatalf("%v", all)
	}
	if text := all[0].String(); !strings.Contains(text, "CN=ann serial ") ||
		!strings.Contains(text, first.LocalAddr().String()) {
		t.Error(text)
	}
	if n := s.Disconnect(nil); n != 0 {
		t.Errorf("nil has ended %d", n)
	}
	if n := s.Disconnect(func(c Session) bool { return c.ID == 1 }); n != 1 {
		t.Errorf("%d ended", n)
	}
	if !closed(first) {
		t.Error("the connection is open")
	}
	if cause := <-causes; cause != ErrDisconnected {
		t.Errorf("cause %v", cause)
	}
	must.OK(t, exchange(second, "still there"))
	testpeer.Eventually(t, "one is left", func() bool { return len(s.Sessions()) == 1 })
	if n := s.Disconnect(func(c Session) bool { return c.ID == 1 }); n != 0 {
		t.Errorf("%d ended twice", n)
	}
	must.OK(t, sayHello(t, address, ann)) // a client may come back
}

// TestDisconnectWaiting: a client that waits for its turn in the Handler is ended, too.
func TestDisconnectWaiting(t *testing.T) {
	s := &Server{Authenticator: password, Handler: echo, MaxConns: 1}
	address := start(t, s)
	first, second := dialTCP(t, address), dialTCP(t, address)
	testpeer.Eventually(t, "both are in their handshakes", func() bool {
		return s.counts().pending == 2
	})
	must.OK(t, giveWord(first))
	must.OK(t, exchange(first, "hello"))
	must.OK(t, giveWord(second))
	testpeer.Eventually(t, "the second waits", func() bool { return len(s.Sessions()) == 2 })
	if n := s.Disconnect(func(c Session) bool { return c.ID == 2 }); n != 1 || !closed(second) {
		t.Errorf("%d ended", n)
	}
	must.OK(t, exchange(first, "still there"))
}

type stringer string

func (s stringer) String() string { return string(s) }

// TestSummary: no credentials are shown that may be secret, in a log of any form either.
func TestSummary(t *testing.T) {
	for want, credentials := range map[string]any{"": "secret", "somebody": stringer("somebody")} {
		session := Session{Credentials: credentials}
		if got := session.Summary(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Info("a client", "session", session)
		if strings.Contains(log.String(), "secret") || !strings.Contains(log.String(), want) {
			t.Error(log.String())
		}
	}
}

// TestSummaryEscapes: a client cannot write lines or control a terminal by its names.
func TestSummaryEscapes(t *testing.T) {
	evil := "ann\n7 127.0.0.1:5 CN=root\r\x1b[2J\u202e\xff é"
	escaped := `ann\n7 127.0.0.1:5 CN=root\r\x1b[2J\u202e\xff é`
	if got := (Session{Credentials: stringer(evil)}).Summary(); got != escaped {
		t.Errorf("%s, want %s", got, escaped)
	}
	chain := []*x509.Certificate{{Subject: pkix.Name{CommonName: evil}, SerialNumber: big.NewInt(1)}}
	session := Session{Remote: &net.TCPAddr{}, Credentials: chain}
	if got := session.String(); !strings.Contains(got, "CN="+escaped[:4]) ||
		strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Errorf("%q", got)
	}
}
