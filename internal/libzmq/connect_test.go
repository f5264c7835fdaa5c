package libzmq

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// newListener listens at a port that the kernel chooses, and returns the endpoint.
func newListener(t *testing.T) (listener net.Listener, endpoint string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must.OK(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	return listener, "tcp://" + listener.Addr().String()
}

// TestConnect: Connect tells whether anybody has accepted a connection, and how it has ended. Its
// errors name no endpoint. The tests of package zmqauth have the cases with real servers.
func TestConnect(t *testing.T) {
	for _, test := range []struct {
		name    string
		peer    func(net.Conn) // of the connections that the listener accepts; nil: nobody listens
		time    time.Duration
		reached bool
		want    func(error) bool
		text    string
	}{
		{
			"nobody listens", nil, 50 * time.Millisecond, false,
			func(err error) bool { return errors.Is(err, context.DeadlineExceeded) },
			"context deadline exceeded; nobody has accepted a connection there",
		},
		{
			"silence", func(net.Conn) {}, 500 * time.Millisecond, true,
			func(err error) bool { return errors.Is(err, context.DeadlineExceeded) },
			"context deadline exceeded; connected, but the server has not answered the handshake",
		},
		{
			"cut off", func(c net.Conn) { _ = c.Close() }, 30 * time.Second, true,
			func(err error) bool {
				refused, ok := errors.AsType[*RefusalError](err)
				return ok && refused.Status == 0 && len(refused.Events) > 0
			},
			"the handshake is cut off time after time (",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			listener, endpoint := newListener(t)
			if test.peer == nil {
				must.OK(t, listener.Close())
			}
			go func() {
				for {
					conn, err := listener.Accept()
					if err != nil {
						return
					}
					defer conn.Close()
					test.peer(conn)
				}
			}()
			ctx, cancel := context.WithTimeout(context.Background(), test.time)
			defer cancel()
			socket := testzmq.NewSocket(t, testzmq.NewContext(t), zmq4.PUSH)
			reached, err := new(Connections).Connect(ctx, socket, endpoint)
			if reached != test.reached || !test.want(err) || !strings.HasPrefix(err.Error(), test.text) {
				t.Errorf("reached: %v, %v", reached, err)
			}
		})
	}
}

// TestConnectTwice: a connection is remembered, and a second one to the same endpoint is refused
// while the first one lives.
func TestConnectTwice(t *testing.T) {
	zctx := testzmq.NewContext(t)
	server := testzmq.NewSocket(t, zctx, zmq4.PULL)
	must.OK(t, server.Bind("tcp://127.0.0.1:*"))
	endpoint, err := server.GetLastEndpoint()
	must.OK(t, err)
	client := testzmq.NewSocket(t, zctx, zmq4.PUSH)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var connections Connections
	if reached, err := connections.Connect(ctx, client, endpoint); !reached || err != nil {
		t.Fatalf("reached: %v, %v", reached, err)
	}
	if reached, err := connections.Connect(ctx, client, endpoint); reached || err != ErrConnected {
		t.Errorf("a second one: reached: %v, %v", reached, err)
	}
	must.OK(t, client.Disconnect(endpoint))
	if reached, err := connections.Connect(ctx, client, endpoint); !reached || err != nil {
		t.Errorf("after Disconnect: reached: %v, %v", reached, err)
	}
}

// TestParseTarget: the endpoint that counts stands behind a source address.
func TestParseTarget(t *testing.T) {
	for address, want := range map[string]string{
		"tcp://127.0.0.1:5555":             "127.0.0.1:5555",
		"tcp://127.0.0.1:0;127.0.0.2:5556": "127.0.0.2:5556",
		"ipc:///run/socket":                "",
		"nonsense":                         "",
	} {
		target, err := parseTarget(address)
		must.OK(t, err)
		got := ""
		if target != nil {
			got = net.JoinHostPort(target.Host, target.Port)
		}
		if got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
	for _, bad := range []string{"tcp://", "tcp://*:5555", "tcp://127.0.0.1:5555;127.0.0.1"} {
		if target, err := parseTarget(bad); err == nil {
			t.Errorf("%s: %v", bad, target)
		}
	}
}
