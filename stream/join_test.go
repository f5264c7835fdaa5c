package stream

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testca"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// tcpPair returns the two ends of a TCP connection.
func tcpPair(t *testing.T) (here, there net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must.OK(t, err)
	defer l.Close()
	here, err = net.Dial("tcp", l.Addr().String())
	must.OK(t, err)
	there, err = l.Accept()
	must.OK(t, err)
	t.Cleanup(func() { _, _ = here.Close(), there.Close() })
	return here, there
}

// TestJoin: data and its end go both ways. The end of the context cuts both connections.
func TestJoin(t *testing.T) {
	testpeer.NothingLeft(t)
	client, near := tcpPair(t)
	far, backend := tcpPair(t)
	joined := make(chan error, 1)
	go func() { joined <- Join(context.Background(), near, far) }()
	for _, way := range [][2]net.Conn{{client, backend}, {backend, client}} {
		_, err := io.WriteString(way[0], "hello")
		must.OK(t, err)
		must.OK(t, way[0].(*net.TCPConn).CloseWrite())
		if got, err := io.ReadAll(way[1]); err != nil || string(got) != "hello" {
			t.Errorf("%q, %v", got, err)
		}
	}
	must.OK(t, <-joined)

	ctx, cancel := context.WithCancelCause(context.Background())
	client, near = tcpPair(t)
	far, backend = tcpPair(t)
	go func() { joined <- Join(ctx, near, far) }()
	why := errors.New("over")
	cancel(why)
	if err := <-joined; !errors.Is(err, why) {
		t.Error(err)
	}
	for _, conn := range []net.Conn{client, backend} {
		if _, err := conn.Read(make([]byte, 1)); err == nil || err == io.EOF {
			t.Errorf("a connection that is cut ends with %v", err)
		}
	}
}

// TestClientCheck: the files of a client are checked without a server.
func TestClientCheck(t *testing.T) {
	ca, err := testca.New(t.TempDir(), "test")
	must.OK(t, err)
	must.OK(t, TLSClient{CAFile: ca.File}.Check("server.example:1"))
	for want, test := range map[string]struct {
		client  TLSClient
		address string
	}{
		"no such file":     {TLSClient{CAFile: filepath.Join(t.TempDir(), "no")}, "a:1"},
		"without a CertFi": {TLSClient{KeyFile: ca.File}, "a:1"},
		"want host:port":   {TLSClient{}, "a"},
		"has no host":      {TLSClient{}, ":1"},
	} {
		err := test.client.Check(test.address)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// TestHandshakes: a client counts until it is authenticated, or gone.
func TestHandshakes(t *testing.T) {
	enter := make(chan struct{})
	s := &Server{
		Authenticator: AuthenticatorFunc(
			func(_ context.Context, conn net.Conn) (net.Conn, any, error) {
				<-enter
				return conn, nil, nil
			}),
		Handler: func(ctx context.Context, _ net.Conn, _ any) { <-ctx.Done() },
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must.OK(t, err)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	for range 3 {
		conn, err := net.Dial("tcp", l.Addr().String())
		must.OK(t, err)
		defer conn.Close()
	}
	testpeer.Eventually(t, "three handshakes", func() bool { return s.Handshakes() == 3 })
	close(enter)
	testpeer.Eventually(t, "no handshake", func() bool { return s.Handshakes() == 0 })
	if n := len(s.Sessions()); n != 3 {
		t.Errorf("%d sessions", n)
	}
	must.OK(t, s.Close())
	<-served
	must.OK(t, s.Shutdown(context.Background()))
}
