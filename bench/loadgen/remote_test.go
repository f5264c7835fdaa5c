package loadgen

import (
	"encoding/binary"
	"errors"
	"maps"
	"os"
	"testing"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// newRemote serves a context over two pipes. It also returns the end for orders.
func newRemote(t *testing.T, ctx *zmq4.Context) (*Remote, *os.File) {
	t.Helper()
	in, orders, err := os.Pipe()
	must.OK(t, err)
	reports, out, err := os.Pipe()
	must.OK(t, err)
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, "global", in, out) }()
	t.Cleanup(func() {
		_ = orders.Close() // a test may have done it
		must.OK(t, <-served)
		must.OK(t, errors.Join(in.Close(), out.Close(), reports.Close()))
	})
	remote, err := NewRemote(orders, reports)
	must.OK(t, err)
	return remote, orders
}

func TestRemoteRunsLoads(t *testing.T) {
	ctx := testzmq.NewContext(t)
	startReference(t, ctx)
	remote, _ := newRemote(t, ctx)
	for _, load := range []Load{
		{Mechanism: "NULL", InFlight: 1, Requests: 1},
		{
			Mechanism:   "PLAIN",
			Domain:      "global",
			Credentials: [][]byte{[]byte("alice"), []byte("secret")},
			InFlight:    64,
			Requests:    1000,
		},
		{
			Mechanism:   "CURVE",
			Credentials: [][]byte{make([]byte, 32)},
			InFlight:    64,
			Requests:    1000,
		},
	} {
		result, err := remote.Run(load)
		must.OK(t, err)
		want := map[int]int{200: load.Requests}
		if !maps.Equal(result.ByStatus, want) || result.Elapsed <= 0 {
			t.Errorf("%+v: %+v", load, result)
		}
	}
}

// TestRemoteRunsBeside makes sure that the requests of Beside are sent meanwhile.
func TestRemoteRunsBeside(t *testing.T) {
	ctx := testzmq.NewContext(t)
	startReference(t, ctx)
	remote, _ := newRemote(t, ctx)
	load := Load{
		Mechanism:   "CURVE",
		Credentials: [][]byte{make([]byte, 32)},
		Vary:        true,
		InFlight:    8,
		Requests:    20_000,
		Beside:      &Load{Mechanism: "NULL"},
	}
	result, err := remote.Run(load)
	must.OK(t, err)
	b := result.Beside
	if result.ByStatus[200] != load.Requests ||
		b.Requests < 1 || b.Accepted != b.Requests || b.Worst <= 0 {
		t.Errorf("%+v", result)
	}
	before, err := remote.CPU()
	must.OK(t, err)
	_, err = remote.Run(load)
	must.OK(t, err)
	if after, err := remote.CPU(); err != nil || after <= before {
		t.Errorf("processor time %v, then %v, %v", before, after, err)
	}
	load.Credentials = [][]byte{[]byte("abc")}
	if _, err := remote.Run(load); !errors.Is(err, ErrBadReply) {
		t.Errorf("a credential too short to vary: %v", err)
	}
}

// TestHandshakes makes sure that handshakes of all mechanisms succeed, and that bad clients are
// errors.
func TestHandshakes(t *testing.T) {
	ctx, clients := testzmq.NewContext(t), testzmq.NewContext(t)
	remote, _ := newRemote(t, ctx)
	public, secret, err := zmq4.NewCurveKeypair()
	must.OK(t, err)
	all := map[string]Client{
		"NULL":  {},
		"PLAIN": {Username: "alice", Password: "secret"},
		"CURVE": {ServerKey: remote.ServerKey(), PublicKey: public, SecretKey: secret},
	}
	startReference(t, ctx)
	for mechanism, client := range all {
		client.Endpoint = remote.Endpoint(mechanism)
		for _, inFlight := range []int{1, 8, 100} {
			elapsed, err := Handshakes(clients, client, inFlight, 20)
			if err != nil || elapsed <= 0 {
				t.Errorf("%s, %d at once: %v, %v", mechanism, inFlight, elapsed, err)
			}
		}
	}
	for name, c := range map[string]Client{
		"no endpoint": {},
		"a bad key":   {Endpoint: remote.Endpoint("CURVE"), ServerKey: "abc"},
	} {
		if _, err := Handshakes(clients, c, 1, 1); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := Handshakes(clients, all["NULL"], 0, 1); err == nil {
		t.Error("none in flight: no error")
	}
}

// TestRemoteErrors makes sure that a load has the same errors as in the same process.
func TestRemoteErrors(t *testing.T) {
	ctx := testzmq.NewContext(t)
	remote, orders := newRemote(t, ctx)
	load := Load{Mechanism: "NULL", InFlight: 1, Requests: 1, Timeout: 1e6}
	if _, err := remote.Run(load); !errors.Is(err, ErrNoReply) {
		t.Errorf("without a handler: %v", err)
	}
	if _, err := remote.Run(Load{}); err == nil {
		t.Error("an empty load: no error")
	}
	must.OK(t, orders.Close())
	if _, err := remote.Run(load); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a closed pipe: %v", err)
	}
}

func TestServeRefusesNonsense(t *testing.T) {
	ctx := testzmq.NewContext(t)
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	must.OK(t, err)
	defer func() { must.OK(t, null.Close()) }()
	for name, parts := range map[string][]any{
		"a thousand frames beside": {order{1, 1, 1, 1, 0, 1000, 0}},
		"half an order":            {[]uint32{1, 1}},
		"a thousand frames":        {order{1, 1, 1, 1000, 0, 0, 0}},
		"a frame without end":      {order{1, 1, 1, 1, 0, 0, 0}, []uint32{1 << 31}},
		"a frame that is short":    {order{1, 1, 1, 1, 0, 0, 0}, []uint32{4}, []byte("abc")},
	} {
		in, orders, err := os.Pipe()
		must.OK(t, err)
		for _, part := range parts {
			must.OK(t, binary.Write(orders, binary.NativeEndian, part))
		}
		must.OK(t, orders.Close())
		if err := Serve(ctx, "global", in, null); !errors.Is(err, errBadOrder) {
			t.Errorf("%s: %v", name, err)
		}
		must.OK(t, in.Close())
	}
}
