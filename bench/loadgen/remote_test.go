package loadgen

import (
	"encoding/binary"
	"errors"
	"maps"
	"os"
	"testing"

	"github.com/pebbe/zmq4"
)

// newRemote serves a context at the other end of two pipes.
func newRemote(t *testing.T, ctx *zmq4.Context) (*Remote, *os.File) {
	t.Helper()
	in, orders, err := os.Pipe()
	must(t, err)
	reports, out, err := os.Pipe()
	must(t, err)
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, in, out) }()
	t.Cleanup(func() {
		_ = orders.Close() // a test may have done it
		must(t, <-served)
		must(t, errors.Join(in.Close(), out.Close(), reports.Close()))
	})
	return NewRemote(orders, reports), orders
}

func TestRemoteRunsLoads(t *testing.T) {
	ctx := newContext(t)
	startReference(t, ctx)
	remote, _ := newRemote(t, ctx)
	for _, load := range []Load{
		{Mechanism: "NULL", InFlight: 1, Requests: 1},
		{Mechanism: "PLAIN", Domain: "global", Credentials: [][]byte{[]byte("alice"), []byte("secret")}, InFlight: 64, Requests: 1000},
		{Mechanism: "CURVE", Credentials: [][]byte{make([]byte, 32)}, InFlight: 64, Requests: 1000},
	} {
		result, err := remote.Run(load)
		must(t, err)
		if want := map[int]int{200: load.Requests}; !maps.Equal(result.ByStatus, want) || result.Elapsed <= 0 {
			t.Errorf("%+v: %+v", load, result)
		}
	}
}

// The errors of a load are those that it has in the same process.
func TestRemoteErrors(t *testing.T) {
	ctx := newContext(t)
	remote, orders := newRemote(t, ctx)
	if _, err := remote.Run(Load{Mechanism: "NULL", InFlight: 1, Requests: 1, Timeout: 1e6}); !errors.Is(err, ErrNoReply) {
		t.Errorf("without a handler: %v", err)
	}
	if _, err := remote.Run(Load{}); err == nil {
		t.Error("an empty load: no error")
	}
	must(t, orders.Close())
	if _, err := remote.Run(Load{Mechanism: "NULL", InFlight: 1, Requests: 1}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a closed pipe: %v", err)
	}
}

func TestServeRefusesNonsense(t *testing.T) {
	ctx := newContext(t)
	for name, parts := range map[string][]any{
		"half an order":         {[]uint32{1, 1}},
		"a thousand frames":     {order{1, 1, 1, 1000}},
		"a frame without end":   {order{1, 1, 1, 1}, []uint32{1 << 31}},
		"a frame that is short": {order{1, 1, 1, 1}, []uint32{4}, []byte("abc")},
	} {
		in, orders, err := os.Pipe()
		must(t, err)
		for _, part := range parts {
			must(t, binary.Write(orders, binary.NativeEndian, part))
		}
		must(t, orders.Close())
		if err := Serve(ctx, in, os.Stderr); !errors.Is(err, errBadOrder) {
			t.Errorf("%s: %v", name, err)
		}
		must(t, in.Close())
	}
}
