package stream

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// dialFrom connects from another address of this machine.
func dialFrom(t testing.TB, source, address string) net.Conn {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}
	conn, err := dialer.DialContext(patient(t), "tcp", address)
	must.OK(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// tlsServer starts an echo server with mutual TLS. It returns the configuration of a client that
// the server accepts.
func tlsServer(t testing.TB, change func(*Server)) (s *Server, address string, client TLSClient) {
	t.Helper()
	ca := newAuthority(t, "CA")
	server := ca.issue("server")
	s = &Server{Handler: echo,
		Authenticator: &TLSAuthenticator{CertFile: server.cert, KeyFile: server.key, CAFile: ca.file}}
	if change != nil {
		change(s)
	}
	return s, start(t, s), config(ca.issue("ann"), ca)
}

// TestThousandSilent: with the default limits, 1,000 silent connections and a very slow one do not
// delay a good client. Without eviction, each 128 of them would for 10 s. Close ends all of them.
func TestThousandSilent(t *testing.T) {
	log := &logbuffer.Buffer{}
	s, address, client := tlsServer(t, func(s *Server) { s.Logger = log.Logger() })
	var strangers []net.Conn
	for range 1000 {
		strangers = append(strangers, dialTCP(t, address))
	}
	dribble := func(conn net.Conn) {
		for conn.SetWriteDeadline(time.Now().Add(patience)) == nil {
			if _, err := conn.Write([]byte{22}); err != nil {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}
	slow := dialTCP(t, address)
	dribbled := make(chan struct{})
	go func() {
		defer close(dribbled)
		dribble(slow)
	}()
	var waits []time.Duration
	for range 20 {
		begun := time.Now()
		must.OK(t, sayHello(t, address, client))
		waits = append(waits, time.Since(begun))
	}
	if slices.Sort(waits); waits[10] > DefaultHandshakeTimeout/20 ||
		waits[19] > DefaultHandshakeTimeout/5 {
		t.Errorf("good clients waited %v", waits)
	}
	if n := s.counts(); n.pending > DefaultMaxHandshakes {
		t.Errorf("%+v", n)
	}
	if n := strings.Count(log.String(), "level=WARN"); n == 0 || n > 100 {
		t.Errorf("%d warnings", n)
	}
	if n := strings.Count(log.String(), "level=INFO"); n > 1 { // that of the slow one
		t.Errorf("the flood is in the log, %d lines", n)
	}
	begun := time.Now()
	must.OK(t, s.Close())
	for _, conn := range strangers {
		if !closed(conn) {
			t.Fatal("a silent connection is still open")
		}
	}
	<-dribbled
	if took := time.Since(begun); took > DefaultHandshakeTimeout/2 {
		t.Errorf("Close took %v", took)
	}
}

// TestSilentWait: silent clients get half of the slots at once. Further ones wait in the backlog
// until they send something or have had the time to. A client that sends something goes first.
func TestSilentWait(t *testing.T) {
	const grace = patience / 2
	s, address, client := tlsServer(t, func(s *Server) {
		s.MaxHandshakes, s.HandshakeTimeout = 4, silentShare*grace
	})
	var silent []net.Conn
	for range 6 {
		silent = append(silent, dialTCP(t, address))
	}
	testpeer.Eventually(t, "they are where they belong", func() bool {
		return s.counts() == counts{waiting: 4, pending: 2}
	})
	begun := time.Now()
	for range 10 {
		must.OK(t, sayHello(t, address, client))
	}
	if took := time.Since(begun); took > grace/2 {
		t.Errorf("good clients waited %v", took)
	}
	testpeer.Eventually(t, "the silent ones are where they were", func() bool {
		return s.counts() == counts{waiting: 4, pending: 2}
	})
	must.OK(t, s.Close())
	for _, conn := range silent {
		if !closed(conn) {
			t.Error("a silent connection is still open")
		}
	}
}

// TestSpeakersFirst: if two clients wait for one slot, the one that has sent something gets it,
// even if the other came first.
func TestSpeakersFirst(t *testing.T) {
	testpeer.NothingLeft(t)
	l := newListener(t)
	first := make(chan net.Conn, 1)
	s := &Server{MaxHandshakes: 1, HandshakeTimeout: patience, Logger: quiet(), Handler: echo,
		Authenticator: AuthenticatorFunc(
			func(ctx context.Context, conn net.Conn) (net.Conn, any, error) {
				first <- conn
				return password(ctx, conn)
			})}
	accept := func() *session {
		dialTCP(t, l.Addr().String())
		conn, err := l.Accept()
		must.OK(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		return &session{serving: &serving{}, raw: conn, accepted: time.Now().Add(-time.Second)}
	}
	silent, speaker := accept(), accept()
	speaker.spoken = true
	s.mu.Lock()
	s.init()
	s.waiting.add(silent, 0)
	s.waiting.add(speaker, 0)
	s.admitAll()
	if all := s.waiting.all(); len(all) != 1 || all[0] != silent {
		t.Errorf("%d wait", len(all))
	}
	s.mu.Unlock()
	if conn := <-first; conn != speaker.raw {
		t.Error("the silent one goes first")
	}
	must.OK(t, s.Close())
	must.OK(t, s.Shutdown(patient(t)))
}

// TestSilentGreeted: a client that waits for the server's greeting is served, although strangers
// are silent, too.
func TestSilentGreeted(t *testing.T) {
	greet := AuthenticatorFunc(func(ctx context.Context, conn net.Conn) (net.Conn, any, error) {
		if _, err := conn.Write([]byte("hello")); err != nil {
			return nil, nil, err
		}
		return password(ctx, conn)
	})
	address := start(t,
		&Server{Authenticator: greet, Handler: echo, MaxHandshakes: 4, HandshakeTimeout: patience})
	for range 20 {
		dialTCP(t, address)
	}
	conn := dialTCP(t, address)
	_, err := io.ReadFull(conn, make([]byte, 5))
	must.OK(t, err)
	must.OK(t, giveWord(conn))
	must.OK(t, exchange(conn, "hello"))
}

// TestFlood: strangers that come back as soon as they are closed keep nobody out, whether they are
// silent or send half a greeting. A client from another address gets in at once, one from the same
// address within a few tries.
func TestFlood(t *testing.T) {
	const handshakes, strangers = 8, 12
	greetings := map[string]string{"silent": "", "half a greeting": "\x16\x03\x01\x02\x00\x01"}
	for name, greeting := range greetings {
		t.Run(name, func(t *testing.T) {
			_, address, client := tlsServer(t, func(s *Server) {
				s.MaxHandshakes, s.HandshakeTimeout = handshakes, time.Minute
			})
			flood(t, address, strangers, greeting)
			config, err := client.config(address)
			must.OK(t, err)
			for source, tries := range map[string]int{"127.0.0.1": 5, "127.0.0.2": 1} {
				begun := time.Now()
				for {
					err := exchange(tls.Client(dialFrom(t, source, address), config), "hello")
					if err == nil {
						break
					}
					if tries--; tries == 0 {
						t.Fatalf("from %s: %v", source, err)
					}
				}
				// All strangers are before it, and each that speaks is safe for a 20th of the time.
				if took := time.Since(begun); took > patience/2 {
					t.Errorf("from %s: %v", source, took)
				}
			}
		})
	}
}

// TestCrowdDelaysNobodyElse: a client from another address goes before a crowd that came earlier
// and is protected from eviction for a while.
func TestCrowdDelaysNobodyElse(t *testing.T) {
	const handshakes, timeout = 8, 20 * time.Second
	s, address, client := tlsServer(t, func(s *Server) {
		s.MaxHandshakes, s.HandshakeTimeout = handshakes, timeout
	})
	for range backlogPerSlot * handshakes {
		_, err := io.WriteString(dialTCP(t, address), "\x16\x03\x01\x02\x00\x01")
		must.OK(t, err)
	}
	testpeer.Eventually(t, "the crowd has all slots", func() bool {
		return s.counts().pending == handshakes
	})
	config, err := client.config(address)
	must.OK(t, err)
	begun := time.Now()
	must.OK(t, exchange(tls.Client(dialFrom(t, "127.0.0.2", address), config), "hello"))
	if took := time.Since(begun); took > timeout/spokenShare*3/4 { // it need not wait for so long
		t.Errorf("it has waited for %v", took)
	}
}

// flood has strangers send a greeting and wait. They come back when they are closed, until the test
// ends.
func flood(t *testing.T, address string, strangers int, greeting string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	for range strangers {
		group.Go(func() {
			for ctx.Err() == nil {
				conn, err := net.Dial("tcp", address)
				if err != nil {
					continue
				}
				stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
				_, _ = io.WriteString(conn, greeting)
				_, _ = io.Copy(io.Discard, conn)
				stop()
				_ = conn.Close()
			}
		})
	}
	t.Cleanup(group.Wait)
	t.Cleanup(cancel)
}

// TestHonestCrowd: many clients that come at once are admitted one after another, and none is
// evicted. The timeout is long, because the clients share a machine.
func TestHonestCrowd(t *testing.T) {
	_, address, client := tlsServer(t, func(s *Server) {
		s.MaxHandshakes, s.HandshakeTimeout = 4, 10*time.Minute
	})
	config, err := client.config(address)
	must.OK(t, err)
	var group sync.WaitGroup
	for range 200 {
		conn := dialTCP(t, address)
		group.Go(func() {
			if err := exchange(tls.Client(conn, config), "hello"); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}
