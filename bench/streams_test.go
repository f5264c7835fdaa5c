package main

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// TestStreamPaths makes sure that all bytes arrive on each path, in both directions.
func TestStreamPaths(t *testing.T) {
	testpeer.NothingLeft(t)
	var e ends
	defer func() { must.OK(t, e.close()) }()
	secured, err := e.openTLS()
	orMissing(t, err)
	paths, err := e.openSSH(secured.backend.address)
	orMissing(t, err)
	for _, p := range append(secured.paths(), paths...) {
		t.Run(p.network+" "+p.title, func(t *testing.T) {
			local, remote, err := e.connect(secured.backend, p)
			must.OK(t, err)
			for _, c := range []*carrier{{p.title, local, remote}, {p.title, remote, local}} {
				sent, got := make([]byte, 5*blockSize+1), make([]byte, 5*blockSize+1)
				_, _ = rand.Read(sent) // never fails
				deadline := time.Now().Add(streamPatience)
				must.OK(t, errors.Join(c.from.SetDeadline(deadline), c.to.SetDeadline(deadline)))
				wrote := make(chan error, 1)
				go func() {
					_, err := c.from.Write(sent)
					wrote <- err
				}()
				_, err := io.ReadFull(c.to, got)
				must.OK(t, errors.Join(err, <-wrote))
				if !bytes.Equal(got, sent) {
					t.Error("other bytes arrive")
				}
				for range 2 {
					if spent, err := c.do(3); err != nil || spent.elapsed <= 0 {
						t.Errorf("%v, %v", spent, err)
					}
				}
			}
		})
	}
}

// TestCarrierBroken makes sure that a turn is an error if not all bytes arrive.
func TestCarrierBroken(t *testing.T) {
	from, broken := net.Pipe()
	through, to := net.Pipe()
	go func() {
		_, _ = io.CopyN(through, broken, blockSize)
		_ = errors.Join(broken.Close(), through.Close())
	}()
	_, err := (&carrier{"broken", from, to}).do(2)
	if err == nil || !strings.Contains(err.Error(), "broken") {
		t.Error(err)
	}
}

// TestStreamsMissing makes sure that programs that are not installed are left out.
func TestStreamsMissing(t *testing.T) {
	testpeer.NothingLeft(t)
	t.Setenv("PATH", t.TempDir())
	if tables, err := measureStreams(); err != nil || len(tables) > 0 {
		t.Errorf("%v, %v", tables, err)
	}
	for _, measure := range []func() ([]table, error){measureTLS, measureSSH} {
		if _, err := measure(); !errors.Is(err, errMissing) {
			t.Error(err)
		}
	}
}

// TestTLSHandshakes makes sure that both contestants do full handshakes of mutual TLS 1.3.
func TestTLSHandshakes(t *testing.T) {
	testpeer.NothingLeft(t)
	var e ends
	defer func() { must.OK(t, e.close()) }()
	paths, err := e.openTLS()
	orMissing(t, err)
	for _, g := range paths.greeters(tls.X25519) {
		t.Run(g.title, func(t *testing.T) {
			_, err := g.do(2 * clientsAtOnce)
			must.OK(t, err)

			conn, err := g.connect()
			must.OK(t, err)
			state := conn.ConnectionState()
			_ = conn.Close()
			subject := state.PeerCertificates[0].Subject
			if state.Version != tls.VersionTLS13 || subject.CommonName != "server" {
				t.Errorf("%s with %v", tls.VersionName(state.Version), subject)
			}

			plain, err := net.Dial("tcp", g.address)
			must.OK(t, err)
			defer func() { _ = plain.Close() }()
			must.OK(t, plain.SetDeadline(time.Now().Add(streamPatience)))
			_, err = plain.Write(append([]byte{echo}, "plain text"...))
			must.OK(t, err)
			got, err := io.ReadAll(plain)
			if errors.Is(err, os.ErrDeadlineExceeded) || bytes.Contains(got, []byte("plain")) {
				t.Errorf("a client without TLS gets %q, %v", got, err)
			}

			g.client = g.client.Clone()
			g.client.Certificates = nil
			if _, err := g.do(1); err == nil || !strings.Contains(err.Error(), g.title) {
				t.Errorf("a client without a certificate: %v", err)
			}
		})
	}
}

// TestResumptionDoesNotCount makes sure that a resumed session is an error. It would look like a
// fast handshake.
func TestResumptionDoesNotCount(t *testing.T) {
	testpeer.NothingLeft(t)
	var e ends
	defer func() { must.OK(t, e.close()) }()
	paths, err := e.openTLS()
	orMissing(t, err)
	g := paths.greeters(tls.X25519)[0]
	g.client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	must.OK(t, g.greet())
	if err := g.greet(); err == nil || !strings.Contains(err.Error(), "resumed true") {
		t.Errorf("a resumed session: %v", err)
	}
}

func orMissing(t *testing.T, err error) {
	t.Helper()
	if errors.Is(err, errMissing) {
		testpeer.Missing(t, err.Error(), "stunnel4 openssh-server openssh-client gcc libc6-dev")
	}
	must.OK(t, err)
}
