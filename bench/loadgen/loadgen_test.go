package loadgen

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// TestContextPointer finds a zmq4 that has renamed the field, before a benchmark does.
func TestContextPointer(t *testing.T) {
	ctx := testzmq.NewContext(t)
	pointer, err := contextPointer(ctx)
	if err != nil || pointer == nil {
		t.Errorf("a context: %v, %v", pointer, err)
	}
	must.OK(t, ctx.Term())
	if _, err := contextPointer(ctx); err == nil {
		t.Error("a terminated context: no error")
	}
	if _, err := contextPointer(nil); err == nil {
		t.Error("no context: no error")
	}
}

func TestReferenceAnswersAll(t *testing.T) {
	ctx := testzmq.NewContext(t)
	startReference(t, ctx)
	for _, load := range []Load{
		{Mechanism: "NULL", InFlight: 1, Requests: 1},
		{Mechanism: "NULL", Domain: "global", Address: "192.0.2.1", InFlight: 64, Requests: 10},
		{
			Mechanism:   "PLAIN",
			Credentials: [][]byte{[]byte("alice"), []byte("secret")},
			InFlight:    64,
			Requests:    1000,
		},
		{
			Mechanism:   "CURVE",
			Credentials: [][]byte{make([]byte, 32)},
			InFlight:    2000,
			Requests:    5000,
		},
	} {
		result, err := Run(ctx, load)
		must.OK(t, err)
		want := map[int]int{200: load.Requests}
		if !maps.Equal(result.ByStatus, want) || result.Elapsed <= 0 {
			t.Errorf("%+v: %+v", load, result)
		}
	}
}

// TestReferenceAnswersAsZmqauth compares the replies with those of zmqauth.
func TestReferenceAnswersAsZmqauth(t *testing.T) {
	a, err := zmqauth.New(nil, nil)
	must.OK(t, err)
	defer func() { must.OK(t, a.Close()) }()
	key := zmqauth.PublicKey{1, 2, 3}
	must.OK(t, a.ConfigureCurveKeys("global", key))
	must.OK(t, a.ConfigurePlain("global", map[string]string{"alice": "secret"}))
	ctx := testzmq.NewContext(t)
	startReference(t, ctx)
	client := testzmq.NewSocket(t, ctx, zmq4.DEALER)
	must.OK(t, client.Connect("inproc://zeromq.zap.01"))
	for _, more := range [][]string{
		{"NULL"}, {"PLAIN", "alice", "secret"}, {"CURVE", string(key[:])}, {"GSSAPI", "ann@EXAMPLE.ORG"},
	} {
		var request [][]byte
		for _, text := range append([]string{"1.0", "1", "global", "192.0.2.1", ""}, more...) {
			request = append(request, []byte(text))
		}
		_, err := client.SendMessage("", request)
		must.OK(t, err)
		got, err := client.RecvMessageBytes(0)
		must.OK(t, err)
		want := a.HandleZAPMessage(t.Context(), request)
		if !slices.EqualFunc(got[1:], want, bytes.Equal) {
			t.Errorf("%s: %q, zmqauth says %q", more[0], got[1:], want)
		}
	}
}

// TestRunSendsWhatLibzmqSends has a handler that compares the requests of Run with those of libzmq.
// The handler sends replies that Run must report.
func TestRunSendsWhatLibzmqSends(t *testing.T) {
	load := Load{
		Mechanism: "PLAIN", Domain: "global", Address: "192.0.2.1",
		Credentials: [][]byte{[]byte("alice"), []byte("secret")}, InFlight: 1, Requests: 1,
	}
	want := []string{"1.0", "1", "global", "192.0.2.1", "", "PLAIN", "alice", "secret"}
	for _, c := range []struct {
		name   string
		reply  []string
		status int
		err    error
	}{
		{"refused", []string{"1.0", "1", "400", "Denied", "", ""}, 400, nil},
		{"six frames", []string{"1.0", "1", "200", "OK", ""}, 0, ErrBadReply},
		{"eight frames", []string{"1.0", "1", "200", "OK", "", "", ""}, 0, ErrBadReply},
		{"no status", []string{"1.0", "1", "abc", "OK", "", ""}, 0, ErrBadReply},
		{"a short status", []string{"1.0", "1", "20", "OK", "", ""}, 0, ErrBadReply},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx := testzmq.NewContext(t)
			requests := answer(t, ctx, 1, c.reply)
			result, err := Run(ctx, load)
			if !errors.Is(err, c.err) || err == nil && result.ByStatus[c.status] != 1 {
				t.Errorf("%+v, %v", result, err)
			}
			if got := <-requests; !slices.Equal(got[2:], want) {
				t.Errorf("request %q, want %q", got, want)
			}
		})
	}
}

// TestRunVaries makes sure that requests that vary differ in the first bytes of the last frame, and
// only there.
func TestRunVaries(t *testing.T) {
	const count = 300 // more values than a byte has
	ctx := testzmq.NewContext(t)
	requests := answer(t, ctx, count, []string{"1.0", "1", "200", "OK", "", ""})
	key := strings.Repeat("k", 32)
	_, err := Run(ctx, Load{
		Mechanism:   "CURVE",
		Credentials: [][]byte{[]byte(key)},
		Vary:        true,
		InFlight:    8,
		Requests:    count,
	})
	must.OK(t, err)
	seen := make(map[string]bool)
	for range count {
		request := (<-requests)[2:]
		last := request[len(request)-1]
		seen[last] = true
		want := []string{"1.0", "1", "", "", "", "CURVE", last}
		if !slices.Equal(request, want) || last[4:] != key[4:] {
			t.Fatalf("request %q, want %q", request, want)
		}
	}
	if len(seen) != count {
		t.Errorf("%d of %d keys are different", len(seen), count)
	}
}

// TestRunApart makes sure that Run uses one connection, or with Apart one for each request in
// flight.
func TestRunApart(t *testing.T) {
	for _, apart := range []bool{false, true} {
		const inFlight, count = 4, 10
		ctx := testzmq.NewContext(t)
		requests := answer(t, ctx, count, []string{"1.0", "1", "200", "OK", "", ""})
		_, err := Run(ctx, Load{Mechanism: "NULL", InFlight: inFlight, Apart: apart, Requests: count})
		must.OK(t, err)
		clients := make(map[string]bool)
		for range count {
			clients[(<-requests)[0]] = true
		}
		if want := map[bool]int{false: 1, true: inFlight}[apart]; len(clients) != want {
			t.Errorf("apart %v: %d connections, want %d", apart, len(clients), want)
		}
	}
}

func TestRunNeverHangs(t *testing.T) {
	load := Load{Mechanism: "NULL", InFlight: 4, Requests: 10, Timeout: 50 * time.Millisecond}
	ctx := testzmq.NewContext(t)
	if _, err := Run(ctx, load); !errors.Is(err, ErrNoReply) {
		t.Errorf("without a handler: %v", err)
	}
	must.OK(t, ctx.Term())
	if _, err := Run(ctx, load); !errors.Is(err, zmq4.ErrorContextClosed) {
		t.Errorf("after the end of the context: %v", err)
	}
}

func TestRunRefusesNonsense(t *testing.T) {
	ctx := testzmq.NewContext(t)
	for _, load := range []Load{
		{InFlight: 0, Requests: 1},
		{InFlight: 1, Requests: 0},
		{InFlight: 1, Requests: 1, Timeout: -1},
	} {
		if _, err := Run(ctx, load); err == nil {
			t.Errorf("%+v: no error", load)
		}
	}
}

func TestReferenceLifecycle(t *testing.T) {
	ctx := testzmq.NewContext(t)
	for range 20 { // the endpoint is free after each
		r, err := StartReference(ctx)
		must.OK(t, err)
		if _, err := StartReference(ctx); err != zmq4.Errno(zmq4.EADDRINUSE) {
			t.Errorf("a second handler: %v", err)
		}
		must.OK(t, r.Stop())
		must.OK(t, r.Stop())
	}
	r, err := StartReference(ctx)
	must.OK(t, err)
	must.OK(t, ctx.Term())
	must.OK(t, r.Stop())
	if _, err := StartReference(ctx); err == nil {
		t.Error("in a terminated context: no error")
	}
}

func startReference(t *testing.T, ctx *zmq4.Context) {
	t.Helper()
	r, err := StartReference(ctx)
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, r.Stop()) })
}

// answer binds a handler that answers count requests. It sends the requests to the channel, with
// the routing id and the delimiter first.
func answer(t *testing.T, ctx *zmq4.Context, count int, reply []string) <-chan []string {
	t.Helper()
	socket, err := ctx.NewSocket(zmq4.ROUTER)
	must.OK(t, err)
	must.OK(t, socket.SetRcvtimeo(defaultTimeout))
	must.OK(t, socket.Bind("inproc://zeromq.zap.01"))
	requests := make(chan []string, count)
	done := make(chan struct{})
	go func() {
		defer close(done)
		var err error
		for i := 0; i < count && err == nil; i++ {
			var request []string
			request, err = socket.RecvMessage(0)
			requests <- request
			if err == nil {
				_, err = socket.SendMessage(request[:2], reply)
			}
		}
		if err := errors.Join(err, socket.Close()); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() { <-done })
	return requests
}
