package stream

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// password is an Authenticator. It lets in a client that sends "pass:" and a name within five more
// bytes. The name is the credentials. Like many Authenticators, it looks neither at ctx nor at the
// clock.
var password = AuthenticatorFunc(func(_ context.Context, conn net.Conn) (net.Conn, any, error) {
	word := make([]byte, 10)
	if _, err := io.ReadFull(conn, word); err != nil {
		return nil, nil, err
	}
	name, ok := strings.CutPrefix(string(word), "pass:")
	if !ok {
		return nil, nil, errors.New("wrong password")
	}
	return conn, name, nil
})

// enter connects, gives the password, and exchanges a word with an echo.
func enter(t testing.TB, address string) net.Conn {
	t.Helper()
	conn := dialTCP(t, address)
	must.OK(t, giveWord(conn))
	must.OK(t, exchange(conn, "hello"))
	return conn
}

func giveWord(conn net.Conn) error {
	_, err := io.WriteString(conn, "pass:alice")
	return err
}

// closed reports whether the server has closed the connection, whatever it has sent before.
func closed(conn net.Conn) bool {
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	_, err := io.Copy(io.Discard, conn)
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

// stillOpen reports whether the server has neither closed the connection nor sent anything yet.
func stillOpen(conn net.Conn) bool {
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	_, err := conn.Read(make([]byte, 1))
	return errors.Is(err, os.ErrDeadlineExceeded)
}

func TestServerLetsInAndRefuses(t *testing.T) {
	log := &logbuffer.Buffer{}
	got := make(chan any, 1)
	address := start(t,
		&Server{Authenticator: password, Logger: log.Logger(),
			Handler: func(ctx context.Context, conn net.Conn, credentials any) {
				got <- credentials
				echo(ctx, conn, nil)
			}})
	enter(t, address)
	if who := <-got; who != "alice" {
		t.Errorf("credentials %v", who)
	}
	refused := dialTCP(t, address)
	_, err := io.WriteString(refused, "guess:12345 and more that nobody reads")
	must.OK(t, err)
	// An orderly end, although not all was read.
	if text, err := io.ReadAll(refused); err != nil || len(text) != 0 {
		t.Errorf("a refused client reads %q, %v", text, err)
	}
	testpeer.Eventually(t, "the refusal is logged", func() bool {
		return strings.Contains(log.String(), "not authenticated: wrong password") &&
			strings.Contains(log.String(), refused.LocalAddr().String())
	})
	if strings.Contains(log.String(), "alice") || strings.Contains(log.String(), "guess") {
		t.Errorf("the log shows credentials:\n%s", log)
	}
}

// TestNoAuthenticator: everybody is let in, with nil credentials, and handlers see no deadline.
func TestNoAuthenticator(t *testing.T) {
	got := make(chan any, 1)
	address := start(t, &Server{Authenticator: AllowAny,
		Handler: func(ctx context.Context, conn net.Conn, credentials any) {
			got <- credentials
			echo(ctx, conn, nil)
		}})
	must.OK(t, exchange(dialTCP(t, address), "hello"))
	if credentials := <-got; credentials != nil {
		t.Errorf("credentials %v", credentials)
	}
}

// TestAuthenticatorsThatAreNoYes: only a connection without an error lets anybody in.
func TestAuthenticatorsThatAreNoYes(t *testing.T) {
	because := errors.New("because")
	var wrapped atomic.Pointer[closeCounter]
	for name, a := range map[string]Authenticator{
		"neither connection nor error": AuthenticatorFunc(
			func(context.Context, net.Conn) (net.Conn, any, error) {
				return nil, "root", nil
			}),
		"connection and error": AuthenticatorFunc(
			func(_ context.Context, c net.Conn) (net.Conn, any, error) {
				return c, "root", because
			}),
		"panic": AuthenticatorFunc(func(context.Context, net.Conn) (net.Conn, any, error) {
			panic("because")
		}),
		"error after wrapping": AuthenticatorFunc(
			func(_ context.Context, c net.Conn) (net.Conn, any, error) {
				wrapped.Store(&closeCounter{Conn: c})
				return wrapped.Load(), "root", because
			}),
		"nil connection of a type": AuthenticatorFunc(
			func(context.Context, net.Conn) (net.Conn, any, error) {
				return (*closeCounter)(nil), nil, because
			}),
		"wrapper that panics": AuthenticatorFunc(func(context.Context, net.Conn) (net.Conn, any, error) {
			return (*closeCounter)(nil), "root", nil
		}),
		"chain of a yes and a no": Chain(
			AuthenticatorFunc(func(_ context.Context, c net.Conn) (net.Conn, any, error) {
				return c, "root", nil
			}),
			AuthenticatorFunc(func(_ context.Context, c net.Conn) (net.Conn, any, error) {
				return nil, nil, because
			})),
	} {
		t.Run(name, func(t *testing.T) {
			log := &logbuffer.Buffer{}
			address := start(t,
				&Server{Authenticator: a, Logger: log.Logger(), Handler: func(context.Context, net.Conn, any) {
					t.Error("the Handler is called")
				}})
			if !closed(dialTCP(t, address)) {
				t.Error("the connection is not closed")
			}
			testpeer.Eventually(t, "the refusal is logged", func() bool {
				return strings.Contains(log.String(), "not authenticated: ") ||
					name == "wrapper that panics" && strings.Contains(log.String(), "a connection panicked")
			})
			if name == "panic" && !strings.Contains(log.String(), "server_test.go") {
				t.Errorf("no stack in the log:\n%s", log)
			}
		})
	}
	if n := wrapped.Load().closed.Load(); n != 1 {
		t.Errorf("the wrapper was closed %d times", n)
	}
}

// TestNilAuthenticators: an Authenticator that could let nobody in is an error of Serve.
func TestNilAuthenticators(t *testing.T) {
	for name, a := range map[string]Authenticator{
		"nil function":              AuthenticatorFunc(nil),
		"empty chain":               Chain(),
		"chain with nil":            Chain(password, nil),
		"chain with a nil function": Chain(AuthenticatorFunc(nil)),
	} {
		if err := (&Server{Authenticator: a, Handler: echo}).Serve(newListener(t)); err == nil ||
			err == ErrServerClosed {
			t.Errorf("%s: %v", name, err)
		}
		here, there := net.Pipe()
		_ = there.Close()
		if _, _, err := a.Authenticate(context.Background(), here); err == nil {
			t.Errorf("%s lets in", name)
		}
	}
	for name, s := range map[string]*Server{
		"no Handler":           {Authenticator: AllowAny},
		"no Authenticator":     {Handler: echo},
		"negative time":        {Handler: echo, HandshakeTimeout: -1},
		"negative handshakes":  {Handler: echo, MaxHandshakes: -1},
		"negative connections": {Handler: echo, MaxConns: -1},
	} {
		if err := s.Serve(newListener(t)); err == nil ||
			!strings.HasPrefix(err.Error(), "stream: Server with") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestHandshakeDeadline: a client that is silent or endlessly slow is cut off at the deadline. One
// that was let in has all the time it wants.
func TestHandshakeDeadline(t *testing.T) {
	const time10 = 50 * time.Millisecond
	deadlines := make(chan bool, 1)
	address := start(t, &Server{
		HandshakeTimeout: time10,
		Authenticator: AuthenticatorFunc(func(ctx context.Context, conn net.Conn) (net.Conn, any, error) {
			_, ok := ctx.Deadline()
			select {
			case deadlines <- ok:
			default:
			}
			_ = conn.SetDeadline(time.Now().Add(time10)) // the Server must clear it
			return password(ctx, conn)
		}),
		Handler: echo,
	})
	good := enter(t, address)
	if !<-deadlines {
		t.Error("the Authenticator's context has no deadline")
	}
	silent, slow := dialTCP(t, address), dialTCP(t, address)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			if _, err := io.WriteString(slow, "p"); err != nil {
				return
			}
			time.Sleep(time10 / 2)
		}
	}()
	if !closed(silent) || !closed(slow) {
		t.Error("a client that never ends is not cut off")
	}
	<-done
	must.OK(t, exchange(good, "still here")) // after the time of two others
}

// TestStuckAuthenticator: an Authenticator that heeds neither its context nor its connection loses
// its slot at the deadline. If it accepts later, that is too late.
func TestStuckAuthenticator(t *testing.T) {
	release := make(chan struct{})
	var first atomic.Bool
	s := &Server{
		MaxHandshakes: 1, HandshakeTimeout: 20 * time.Millisecond,
		Authenticator: AuthenticatorFunc(func(ctx context.Context, conn net.Conn) (net.Conn, any, error) {
			if first.CompareAndSwap(false, true) {
				<-release
				return conn, "late", nil
			}
			return password(ctx, conn)
		}),
		Handler: func(ctx context.Context, conn net.Conn, credentials any) {
			if credentials == "late" {
				t.Error("it is handled all the same")
			}
			echo(ctx, conn, nil)
		},
	}
	address := start(t, s)
	stuck := dialTCP(t, address)
	must.OK(t, giveWord(stuck))
	if !closed(stuck) {
		t.Error("the connection is not closed")
	}
	enter(t, address)
	close(release)
	testpeer.Eventually(t, "it has ended", func() bool { return s.counts().abandoned == 0 })
}

// TestAuthenticatorsAreBounded: the number of Authenticators that do not return is limited.
func TestAuthenticatorsAreBounded(t *testing.T) {
	release := make(chan struct{})
	var running, most atomic.Int32
	address := start(t, &Server{
		MaxHandshakes: 2, HandshakeTimeout: 10 * time.Millisecond, Handler: echo,
		Authenticator: AuthenticatorFunc(func(ctx context.Context, conn net.Conn) (net.Conn, any, error) {
			most.Store(max(most.Load(), running.Add(1)))
			defer running.Add(-1)
			<-release
			return password(ctx, conn)
		}),
	})
	for range 4 {
		if !closed(dialTCP(t, address)) {
			t.Fatal("not closed")
		}
	}
	waiting := dialTCP(t, address)
	must.OK(t, giveWord(waiting))
	if !stillOpen(waiting) || running.Load() != 4 {
		t.Errorf("%d run", running.Load())
	}
	close(release)
	must.OK(t, exchange(waiting, "hello"))
	if n := most.Load(); n != 4 {
		t.Errorf("%d at once, want twice MaxHandshakes", n)
	}
}

// TestHandlerPanic: a panic is logged with its stack, and ends one connection only.
func TestHandlerPanic(t *testing.T) {
	log := &logbuffer.Buffer{}
	address := start(t,
		&Server{Authenticator: AllowAny,
			Logger: log.Logger(), Handler: func(_ context.Context, conn net.Conn, _ any) {
				_, _ = conn.Read(make([]byte, 1))
				panic("oh dear")
			}})
	first, second := dialTCP(t, address), dialTCP(t, address)
	for _, conn := range []net.Conn{first, second} {
		_, err := io.WriteString(conn, "x")
		must.OK(t, err)
		if !closed(conn) {
			t.Error("not closed")
		}
	}
	testpeer.Eventually(t, "both panics are logged", func() bool {
		return strings.Count(log.String(), "oh dear") == 2
	})
	if !strings.Contains(log.String(), "server_test.go") {
		t.Errorf("no stack in the log:\n%s", log)
	}
}

// TestMaxConns: the limit is never exceeded, the next client waits, and silent strangers do not
// count.
func TestMaxConns(t *testing.T) {
	var running, most atomic.Int32
	s := &Server{Authenticator: password, MaxConns: 2,
		Handler: func(ctx context.Context, conn net.Conn, _ any) {
			most.Store(max(most.Load(), running.Add(1)))
			defer running.Add(-1)
			echo(ctx, conn, nil)
		}}
	address := start(t, s)
	for range 3 {
		dialTCP(t, address)
	}
	first, _ := enter(t, address), enter(t, address)
	third := dialTCP(t, address)
	must.OK(t, giveWord(third))
	var more []net.Conn
	for range 5 {
		more = append(more, dialTCP(t, address))
		must.OK(t, giveWord(more[len(more)-1]))
	}
	if !stillOpen(third) {
		t.Error("the third client is not kept waiting")
	}
	// One more may have been accepted before the second had entered.
	if n := s.counts(); n.entered > 3 || n.pending > 3 {
		t.Errorf("they are accepted: %+v", n)
	}
	for _, conn := range more {
		must.OK(t, conn.Close())
	}
	must.OK(t, first.Close())
	must.OK(t, exchange(third, "hello"))

	must.OK(t, third.Close())
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			if err := errors.Join(giveWord(conn), exchange(conn, "hello")); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := most.Load(); n != 2 {
		t.Errorf("%d at once", n)
	}
}

// TestMaxConnsOfThoseThatWait: a client that is in the backlog when the limit is reached is not
// authenticated before the number of clients falls below it.
func TestMaxConnsOfThoseThatWait(t *testing.T) {
	s := &Server{Authenticator: password, Handler: echo, MaxConns: 1, MaxHandshakes: 2,
		HandshakeTimeout: silentShare * patience}
	address := start(t, s)
	dialTCP(t, address)
	testpeer.Eventually(t, "one is in its handshake", func() bool { return s.counts().pending == 1 })
	second := dialTCP(t, address)
	testpeer.Eventually(t, "another waits", func() bool { return s.counts().waiting == 1 })
	first := enter(t, address)
	must.OK(t, giveWord(second))
	if !stillOpen(second) || s.counts() != (counts{waiting: 1, pending: 1, entered: 1}) {
		t.Errorf("%+v", s.counts())
	}
	must.OK(t, first.Close())
	must.OK(t, exchange(second, "hello"))
}

// closeCounter counts how often it is closed.
type closeCounter struct {
	net.Conn
	closed atomic.Int32
}

func (c *closeCounter) Close() error {
	c.closed.Add(1)
	return c.Conn.Close()
}
