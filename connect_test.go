package zmqauth

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/libzmq"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// cutTime is how long handshakes are cut off before Connect gives up, as its documentation says.
const cutTime = 1500 * time.Millisecond

// TestConnect is the table of what Connect reports about a real server.
func TestConnect(t *testing.T) {
	key, known := newCertificate(t), newCertificate(t)
	a := startAuthenticator(t, Config{})
	must.OK(t, errors.Join(
		a.ConfigureCurveKeys("d", known.Public),
		a.ConfigurePlain("d", map[string]string{"ann": "secret"}),
		a.DenyDomain("closed", "127.0.0.1"),
		a.ConfigurePlainCallback("broken",
			func(context.Context, string, string, string) (*Identity, error) {
				return nil, errors.New("no")
			})))
	serve := func(role func(*zmq4.Socket) error) string {
		return newServer(t, a.Context(), "tcp://127.0.0.1:*", role).endpoint
	}
	curve, plain, null := serve(curveServer("d", key)), serve(plainServer("d")), serve(nullServer("d"))
	for _, test := range []struct {
		name     string
		endpoint string
		client   func(*zmq4.Socket) error
		status   int
		within   time.Duration
	}{
		{"accepted", curve, curveClient(key.Public, known), 200, time.Second},
		{"key refused", curve, curveClient(key.Public, newCertificate(t)), 400, time.Second},
		{"address refused", serve(nullServer("closed")), nullClient, 400, time.Second},
		{"password refused", plain, plainClient("ann", "guess"), 400, time.Second},
		{"callback fails", serve(plainServer("broken")), plainClient("ann", "x"), 500, time.Second},
		{"wrong server key", curve, curveClient(newCertificate(t).Public, known), 0, 2 * time.Second},
		{"server without CURVE", null, curveClient(key.Public, known), 0, 2 * time.Second},
		{"PLAIN client of a CURVE server", curve, plainClient("ann", "secret"), 0, 2 * time.Second},
		{"NULL client of a CURVE server", curve, nullClient, 0, 2 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			begun := time.Now()
			_, err := connect(t, test.endpoint, test.client)
			took := time.Since(begun)
			var refused *HandshakeError
			if status(err) != test.status || err != nil && !errors.As(err, &refused) ||
				errors.Is(err, ErrDenied) != (test.status == 400) {
				t.Fatalf("%v, want status %d", err, test.status)
			}
			if took > 2*test.within { // twice, for a loaded machine
				t.Errorf("it took %v", took)
			}
			if refused != nil && (refused.Endpoint != test.endpoint || len(refused.Events) == 0) {
				t.Errorf("%+v", refused)
			}
		})
	}
}

// TestConnectWithoutAHandler: libzmq does not answer a NULL client, and cuts the others off.
func TestConnectWithoutAHandler(t *testing.T) {
	t.Parallel()
	key := newCertificate(t)
	for _, test := range []struct {
		name           string
		server, client func(*zmq4.Socket) error
		silent         bool
	}{
		{"NULL", nullServer("d"), nullClient, true},
		{"PLAIN", plainServer("d"), plainClient("ann", "secret"), false},
		{"CURVE", curveServer("d", key), curveClient(key.Public, newCertificate(t)), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t, testzmq.NewContext(t), "tcp://127.0.0.1:*", test.server)
			socket := testzmq.NewSocket(t, testzmq.NewContext(t), zmq4.PUSH)
			must.OK(t, test.client(socket))
			ctx, cancel := context.WithTimeout(context.Background(), cutTime+time.Second)
			defer cancel()
			err := Connect(ctx, socket, server.endpoint)
			var refused *HandshakeError
			if errors.As(err, &refused) == test.silent ||
				errors.Is(err, context.DeadlineExceeded) != test.silent || errors.Is(err, ErrDenied) {
				t.Errorf("%v", err)
			}
			if test.silent && !strings.Contains(err.Error(), "the server has not answered the handshake") {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestConnectTooLate: a Connect whose context ends leaves nothing behind, whenever it ends, and a
// later Connect of the socket works.
func TestConnectTooLate(t *testing.T) {
	a := startAuthenticator(t, Config{})
	for kind, peer := range map[zmq4.Type]zmq4.Type{zmq4.DEALER: zmq4.ROUTER, zmq4.PUSH: zmq4.PULL} {
		server := newServerOf(t, a.Context(), peer, "tcp://127.0.0.1:*", nullServer("d"))
		socket := testzmq.NewSocket(t, testzmq.NewContext(t), kind)
		cancelled, cancel := context.WithCancel(context.Background())
		cancel()
		if err := Connect(cancelled, socket, server.endpoint); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		for range 20 { // the context ends at some moment of Connect
			err := Connect(within(t, time.Millisecond), socket, server.endpoint)
			if err == nil {
				must.OK(t, socket.Disconnect(server.endpoint))
			} else if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v", err)
			}
		}
		must.OK(t, Connect(within(t, patience), socket, server.endpoint))
	}
}

// TestConnectTwice: a second Connect to an endpoint is an error, even where the server would refuse
// the client by now. The first connection stays. After Disconnect the socket can connect again.
func TestConnectTwice(t *testing.T) {
	for kind, peer := range map[zmq4.Type]zmq4.Type{zmq4.DEALER: zmq4.DEALER, zmq4.PUSH: zmq4.PULL} {
		t.Run(kind.String(), func(t *testing.T) {
			a := startAuthenticator(t, Config{})
			server := newServerOf(t, a.Context(), peer, "tcp://127.0.0.1:*", nullServer("d"))
			endpoint := server.endpoint
			socket := testzmq.NewSocket(t, testzmq.NewContext(t), kind)
			must.OK(t, Connect(within(t, patience), socket, endpoint))
			must.OK(t, a.Deny("127.0.0.1"))
			if err := Connect(within(t, patience), socket, endpoint); !errors.Is(err, libzmq.ErrConnected) {
				t.Errorf("a second one: %v", err)
			}
			for range 10 {
				_, err := socket.Send("hello", 0)
				must.OK(t, err)
				if text, _ := server.receive(t); text != "hello" {
					t.Fatalf("the first connection: %q", text)
				}
			}
			for range 3 {
				a.ResetAddresses()
				must.OK(t, socket.Disconnect(endpoint))
				must.OK(t, Connect(within(t, patience), socket, endpoint))
			}
		})
	}
}

// TestConnectChecksTheEndpoint: what is no endpoint is an error at once.
func TestConnectChecksTheEndpoint(t *testing.T) {
	socket := testzmq.NewSocket(t, testzmq.NewContext(t), zmq4.PUSH)
	for _, bad := range []string{
		"tcp://::1:5555", "tcp://127.0.0.1", "tcp://*:5555", "tcp://127.0.0.1:0",
	} {
		err := Connect(within(t, patience), socket, bad)
		if err == nil || !strings.Contains(err.Error(), bad) ||
			errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// TestConnectTemporary: a client that is told to try again gets in within the same call.
func TestConnectTemporary(t *testing.T) {
	a := startAuthenticator(t, Config{})
	asked := make(chan bool, 10)
	first := true
	callback := func(context.Context, string, string, string) (*Identity, error) {
		asked <- true
		if first {
			first = false
			return nil, ErrTemporary
		}
		return &Identity{}, nil
	}
	must.OK(t, a.ConfigurePlainCallback("d", callback))
	server := newServer(t, a.Context(), "tcp://127.0.0.1:*", func(s *zmq4.Socket) error {
		return errors.Join(s.SetHandshakeIvl(300*time.Millisecond), PlainServer(s, "d"))
	})
	begun := time.Now()
	if _, err := connect(t, server.endpoint, plainClient("ann", "x")); err != nil {
		t.Errorf("%v", err)
	}
	// One handshake interval, and what a loaded machine adds.
	if took := time.Since(begun); took > 3*time.Second {
		t.Errorf("it took %v", took)
	}
	if len(asked) != 2 {
		t.Errorf("asked %d times", len(asked))
	}
}

// nobodysEndpoint is an endpoint where nobody listens.
func nobodysEndpoint(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must.OK(t, err)
	defer func() { must.OK(t, listener.Close()) }()
	return "tcp://" + listener.Addr().String()
}

func TestConnectEndsWithItsContext(t *testing.T) {
	socket := testzmq.NewSocket(t, testzmq.NewContext(t), zmq4.PUSH)
	endpoint := nobodysEndpoint(t)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := Connect(ctx, socket, endpoint); !errors.Is(err, context.DeadlineExceeded) ||
		!strings.Contains(err.Error(), endpoint) ||
		!strings.Contains(err.Error(), "nobody has accepted a connection") {
		t.Errorf("%v", err)
	}
	cause := errors.New("the program ends")
	canceled, cancelCause := context.WithCancelCause(context.Background())
	cancelCause(cause)
	if err := Connect(canceled, socket, endpoint); !errors.Is(err, context.Canceled) ||
		!strings.Contains(err.Error(), cause.Error()) {
		t.Errorf("%v", err)
	}
	for _, bad := range []string{"", "tcp://", "nonsense"} {
		if err := Connect(context.Background(), socket, bad); err == nil {
			t.Errorf("endpoint %q: no error", bad)
		}
	}
}

// TestConnectIsCancelled cancels a Connect while the server's callback runs.
func TestConnectIsCancelled(t *testing.T) {
	a := startAuthenticator(t, Config{})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var cancelled time.Time
	callback := func(ctx context.Context, _, _, _ string) (*Identity, error) {
		cancelled = time.Now()
		cancel()
		<-ctx.Done()
		return nil, ctx.Err()
	}
	must.OK(t, a.ConfigurePlainCallback("d", callback))
	server := newServer(t, a.Context(), "tcp://127.0.0.1:*", plainServer("d"))
	socket := testzmq.NewSocket(t, testzmq.NewContext(t), zmq4.PUSH)
	must.OK(t, PlainClient(socket, "ann", "x"))
	if err := Connect(ctx, socket, server.endpoint); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if took := time.Since(cancelled); took > time.Second {
		t.Errorf("it took %v", took)
	}
}

// TestConnectWaitsForTheServer: Connect waits where nobody listens yet.
func TestConnectWaitsForTheServer(t *testing.T) {
	endpoint := nobodysEndpoint(t)
	outcome := make(chan error)
	go func() {
		_, err := connect(t, endpoint, nullClient)
		outcome <- err
	}()
	newServer(t, testzmq.NewContext(t), endpoint, nullClient)
	must.OK(t, <-outcome)
}

// TestConnectAgain: after a refusal the same socket gets in with other credentials.
func TestConnectAgain(t *testing.T) {
	a := startAuthenticator(t, Config{})
	must.OK(t, a.ConfigurePlain("d", map[string]string{"ann": "secret"}))
	server := newServer(t, a.Context(), "tcp://127.0.0.1:*", plainServer("d"))
	socket, err := connect(t, server.endpoint, plainClient("ann", "guess"))
	if !errors.Is(err, ErrDenied) {
		t.Fatal(err)
	}
	must.OK(t, PlainClient(socket, "ann", "secret"))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	must.OK(t, Connect(ctx, socket, server.endpoint))
	_, err = socket.Send("hello", 0)
	must.OK(t, err)
	if text, _ := server.receive(t); text != "hello" {
		t.Errorf("received %q", text)
	}
}
