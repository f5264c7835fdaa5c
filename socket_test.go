package zmqauth

import (
	"context"
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// TestRolesFailClosed: where no handler is bound, or its callback panics, no data reaches the
// socket of a role.
func TestRolesFailClosed(t *testing.T) {
	key, client := newCertificate(t), newCertificate(t)
	for name, test := range map[string]struct{ server, client func(*zmq4.Socket) error }{
		"NULL":  {nullServer("d"), nullClient},
		"PLAIN": {plainServer("d"), plainClient("ann", "secret")},
		"CURVE": {curveServer("d", key), curveClient(key.Public, client)},
	} {
		for state, prepare := range map[string]func(*Authenticator) error{
			"never started": func(*Authenticator) error { return nil },
			"stopped":       func(a *Authenticator) error { return errors.Join(a.Start(), a.Stop()) },
			"closed":        func(a *Authenticator) error { return errors.Join(a.Start(), a.Close()) },
			"panicking": func(a *Authenticator) error {
				return errors.Join(a.Start(), panicForEverybody(a))
			},
		} {
			if name == "NULL" && state == "panicking" {
				continue // NULL asks no callback
			}
			t.Run(name+", "+state, func(t *testing.T) {
				t.Parallel()
				a := newAuthenticator(t, Config{})
				must.OK(t, errors.Join(
					a.ConfigurePlain("d", map[string]string{"ann": "secret"}),
					a.ConfigureCurve("d", CurveAllowAny)))
				must.OK(t, prepare(a))
				server := newServer(t, a.Context(), "tcp://127.0.0.1:*", test.server)
				socket := testzmq.NewSocket(t, testzmq.NewContext(t), zmq4.PUSH)
				must.OK(t, test.client(socket))
				must.OK(t, socket.Connect(server.endpoint))
				_, _ = socket.Send("x", zmq4.DONTWAIT) // goes out as soon as the client is in
				must.OK(t, server.socket.SetRcvtimeo(time.Second))
				if text, err := server.socket.Recv(0); err == nil {
					t.Errorf("received %q", text)
				}
			})
		}
	}
}

func panicForEverybody(a *Authenticator) error {
	return errors.Join(
		a.ConfigurePlainCallback("d", func(context.Context, string, string, string) (*Identity, error) {
			panic("plain")
		}),
		a.ConfigureCurveCallback("d", func(context.Context, string, PublicKey) (*Identity, error) {
			panic("curve")
		}))
}

func TestServerRolesSetTheHandshakeInterval(t *testing.T) {
	ctx := testzmq.NewContext(t)
	for _, test := range []struct{ before, after time.Duration }{
		{libzmqHandshakeInterval, handshakeInterval}, {time.Second, time.Second},
		{time.Minute, time.Minute}, {0, 0},
	} {
		socket := testzmq.NewSocket(t, ctx, zmq4.PULL)
		must.OK(t, socket.SetHandshakeIvl(test.before))
		must.OK(t, NullServer(socket, "d"))
		if got, err := socket.GetHandshakeIvl(); err != nil || got != test.after {
			t.Errorf("%v became %v, %v", test.before, got, err)
		}
	}
}

func TestRolesAreChecked(t *testing.T) {
	ctx := testzmq.NewContext(t)
	certificate, public := newCertificate(t), &Certificate{Public: newCertificate(t).Public}
	long := strings.Repeat("x", 256)
	bound := testzmq.NewSocket(t, ctx, zmq4.PULL)
	must.OK(t, bound.Bind("tcp://127.0.0.1:*"))
	for name, role := range map[string]func(*zmq4.Socket) error{
		"NULL, no domain":             nullServer(""),
		"PLAIN, no domain":            plainServer(""),
		"CURVE, no domain":            curveServer("", certificate),
		"GSSAPI, no domain":           func(s *zmq4.Socket) error { return GSSAPIServer(s, "", "") },
		"a long domain":               nullServer(long),
		"CURVE, no certificate":       curveServer("d", nil),
		"CURVE, no secret key":        curveServer("d", public),
		"no socket":                   func(*zmq4.Socket) error { return NullServer(nil, "d") },
		"a bound socket":              func(*zmq4.Socket) error { return NullServer(bound, "d") },
		"client, no name":             plainClient("", "x"),
		"client, no password":         plainClient("x", ""),
		"client, long name":           plainClient(long, "x"),
		"client, long password":       plainClient("x", long),
		"client, no certificate":      curveClient(certificate.Public, nil),
		"client, no secret key":       curveClient(certificate.Public, public),
		"client, no server key":       curveClient(PublicKey{}, certificate),
		"GSSAPI client, no service":   func(s *zmq4.Socket) error { return GSSAPIClient(s, "", "") },
		"GSSAPI client, no principal": func(s *zmq4.Socket) error { return GSSAPIClient(s, "ann", "") },
	} {
		socket := testzmq.NewSocket(t, ctx, zmq4.PULL)
		if err := role(socket); err == nil || !strings.HasPrefix(err.Error(), "zmqauth: ") {
			t.Errorf("%s: %v", name, err)
		}
		if mechanism, err := socket.GetMechanism(); err != nil || mechanism != zmq4.NULL {
			t.Errorf("%s: mechanism %v after the error, %v", name, mechanism, err)
		}
		if domain, err := socket.GetZapDomain(); err != nil || domain != "" {
			t.Errorf("%s: domain %q after the error, %v", name, domain, err)
		}
	}
}

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
			ctx, cancel := context.WithTimeout(context.Background(), cutPeriod+time.Second)
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

// TestConnectTakesTheMonitor: a socket has one monitor. Connect ends the program's own, and its
// reader is told so.
func TestConnectTakesTheMonitor(t *testing.T) {
	server := newServer(t, testzmq.NewContext(t), "tcp://127.0.0.1:*", nullClient)
	zctx := testzmq.NewContext(t)
	socket, reader := testzmq.NewSocket(t, zctx, zmq4.PUSH), testzmq.NewSocket(t, zctx, zmq4.PAIR)
	const own = "inproc://own-monitor"
	must.OK(t, errors.Join(reader.SetRcvtimeo(patience), reader.Connect(own)))
	must.OK(t, socket.Monitor(own, zmq4.EVENT_HANDSHAKE_SUCCEEDED|zmq4.EVENT_MONITOR_STOPPED))
	must.OK(t, Connect(within(t, patience), socket, server.endpoint))
	if event, _, _, err := reader.RecvEvent(0); err != nil || event != zmq4.EVENT_MONITOR_STOPPED {
		t.Errorf("the program's monitor: %v, %v", event, err)
	}
}

// TestConnectWithAnUnreadMonitor: libzmq does not end a monitor that nobody reads. Connect does not
// wait for that longer than its context lasts.
func TestConnectWithAnUnreadMonitor(t *testing.T) {
	endpoint := nobodysEndpoint(t)
	zctx := testzmq.NewContext(t)
	socket, reader := testzmq.NewSocket(t, zctx, zmq4.PUSH), testzmq.NewSocket(t, zctx, zmq4.PAIR)
	const own = "inproc://own-monitor"
	must.OK(t, socket.Monitor(own, zmq4.EVENT_ALL))
	err := Connect(within(t, 50*time.Millisecond), socket, endpoint)
	if !errors.Is(err, context.DeadlineExceeded) ||
		!strings.Contains(err.Error(), "a monitor that nobody reads") {
		t.Errorf("%v", err)
	}
	must.OK(t, reader.Connect(own)) // so that libzmq can go on, and the context end
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
			if err := Connect(within(t, patience), socket, endpoint); !errors.Is(err, errConnected) {
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

// TestConnectAtTheLimitOfSockets: where the context has too few sockets left, Connect returns an
// error in time.
func TestConnectAtTheLimitOfSockets(t *testing.T) {
	server := newServer(t, testzmq.NewContext(t), "tcp://127.0.0.1:*", nullClient)
	const most = 8
	for free := range 4 {
		zctx := testzmq.NewContext(t)
		must.OK(t, zctx.SetMaxSockets(most))
		var socket *zmq4.Socket
		for range most - free {
			socket = testzmq.NewSocket(t, zctx, zmq4.PUSH)
		}
		err := Connect(within(t, 10*time.Second), socket, server.endpoint)
		if free >= 2 && err != nil || free < 2 && !errors.Is(err, zmq4.Errno(syscall.EMFILE)) {
			t.Errorf("%d sockets left: %v", free, err)
		}
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

// TestConnectSilenceAfterACut: libzmq cuts a handshake off where a reply of 300 is very fast, and
// leaves it open otherwise. Connect does not take one cut and then silence for a server that cuts
// every handshake off.
func TestConnectSilenceAfterACut(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must.OK(t, err)
	defer func() { must.OK(t, listener.Close()) }()
	go func() {
		for first := true; ; first = false {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			if first {
				_ = conn.Close()
			} else {
				defer conn.Close()
			}
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), cutPeriod+time.Second)
	defer cancel()
	socket := testzmq.NewSocket(t, testzmq.NewContext(t), zmq4.PUSH)
	err = Connect(ctx, socket, "tcp://"+listener.Addr().String())
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "300") {
		t.Errorf("%v", err)
	}
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

// TestConnectHearsItsOwnEndpoint: Connect reports about its own endpoint. The same socket has a
// connection to another server, which accepts it or keeps refusing it.
func TestConnectHearsItsOwnEndpoint(t *testing.T) {
	a := startAuthenticator(t, Config{})
	must.OK(t, a.DenyDomain("closed", "127.0.0.1"))
	open := newServer(t, a.Context(), "tcp://127.0.0.1:*", nullServer("open")).endpoint
	closed := newServer(t, a.Context(), "tcp://127.0.0.1:*", nullServer("closed")).endpoint
	for range 10 {
		for _, test := range []struct {
			other, endpoint string
			want            int
		}{{open, closed, 400}, {closed, open, 200}} {
			socket := testzmq.NewSocket(t, testzmq.NewContext(t), zmq4.PUSH)
			must.OK(t, socket.Connect(test.other))
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			if err := Connect(ctx, socket, test.endpoint); status(err) != test.want {
				t.Errorf("%v, want status %d", err, test.want)
			}
			cancel()
		}
	}
}

// TestConnectTransports: Connect works over all transports and with all forms of an endpoint,
// because the monitor's events name endpoints as Connect expects.
func TestConnectTransports(t *testing.T) {
	a := startAuthenticator(t, Config{})
	must.OK(t, a.DenyDomain("closed", "127.0.0.0/8", "::1", "ipc"))
	for _, bind := range []string{"tcp://127.0.0.1:*", "tcp://[::1]:*", "ipc://*"} {
		t.Run(bind, func(t *testing.T) {
			for domain, want := range map[string]int{"open": 200, "closed": 400} {
				server := newServer(t, a.Context(), bind, nullServer(domain))
				endpoints := []string{server.endpoint}
				if port, ok := strings.CutPrefix(server.endpoint, "tcp://127.0.0.1:"); ok {
					endpoints = append(endpoints, "tcp://localhost:"+port, "tcp://127.0.0.1:0;127.0.0.1:"+port)
				}
				for _, endpoint := range endpoints {
					if _, err := connect(t, endpoint, nullClient); status(err) != want {
						t.Errorf("%s: %v, want status %d", endpoint, err, want)
					}
				}
			}
		})
	}
	zctx := testzmq.NewContext(t)
	server := newServer(t, zctx, "inproc://here", nullClient)
	if _, err := connectFrom(t, zctx, server.endpoint, nullClient); err != nil {
		t.Errorf("inproc: %v", err)
	}
}
