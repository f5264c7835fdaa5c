package libzmq

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

const handlerEndpoint = "inproc://handler"

func newHandler(t *testing.T, ctx *zmq4.Context) *Handler {
	t.Helper()
	h, err := Bind(ctx, handlerEndpoint)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func newDealer(t *testing.T, ctx *zmq4.Context) *zmq4.Socket {
	t.Helper()
	s, err := ctx.NewSocket(zmq4.DEALER)
	if err == nil {
		t.Cleanup(func() { _ = s.Close() })
		err = errors.Join(s.SetIdentity("peer"), s.SetLinger(0), s.Connect(handlerEndpoint))
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// receive collects n messages, copied, in as many batches as it takes.
func receive(t *testing.T, h *Handler, n int) (messages [][][]byte, truncated []bool) {
	t.Helper()
	for len(messages) < n {
		batch, err := h.Receive()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range batch {
			var frames [][]byte
			for _, frame := range m.Frames {
				frames = append(frames, bytes.Clone(frame))
			}
			messages, truncated = append(messages, frames), append(truncated, m.Truncated)
		}
	}
	return messages, truncated
}

func TestReceiveBatches(t *testing.T) {
	ctx := testzmq.NewContext(t)
	h, dealer := newHandler(t, ctx), newDealer(t, ctx)
	const count = 1000 // more messages than a batch, and more bytes than the buffer
	for i := range count {
		if _, err := dealer.SendMessage("", "x", bytes.Repeat([]byte{byte(i)}, i)); err != nil {
			t.Fatal(err)
		}
	}
	messages, truncated := receive(t, h, count)
	for i, frames := range messages {
		want := [][]byte{[]byte("peer"), {}, []byte("x"), bytes.Repeat([]byte{byte(i)}, i)}
		if !slices.EqualFunc(frames, want, bytes.Equal) || truncated[i] {
			t.Fatalf("message %d: %.200q", i, frames)
		}
	}
}

func TestReceiveTruncates(t *testing.T) {
	ctx := testzmq.NewContext(t)
	h, dealer := newHandler(t, ctx), newDealer(t, ctx)
	many := make([]string, 100)
	for _, message := range [][]interface{}{
		{"a", bytes.Repeat([]byte("x"), 64*1024+1), "b"},
		{"a", many},
		{"a", bytes.Repeat([]byte("x"), 64*1024-6)}, // just fits after "peer" and "a"
		{"a", "b"},
	} {
		if _, err := dealer.SendMessage(message...); err != nil {
			t.Fatal(err)
		}
	}
	messages, truncated := receive(t, h, 4)
	for i, want := range []struct {
		frames    int
		truncated bool
	}{{2, true}, {24, true}, {3, false}, {3, false}} {
		if len(messages[i]) != want.frames || truncated[i] != want.truncated {
			t.Errorf("message %d: %d frames, truncated %v", i, len(messages[i]), truncated[i])
		}
	}
}

func TestSend(t *testing.T) {
	ctx := testzmq.NewContext(t)
	h, dealer := newHandler(t, ctx), newDealer(t, ctx)
	if _, err := dealer.SendMessage("hello"); err != nil {
		t.Fatal(err)
	}
	receive(t, h, 1)
	// The second message is for a peer that does not exist, and is dropped.
	sizes := []uint32{4, 0, 1, 1, 0, 4, 0, 1, 1, 4, 1}
	gone := make([]uint8, 3)
	if err := h.Send([]byte("peerabgoneabpeerz"), sizes, []uint32{5, 4, 2}, gone); err != nil {
		t.Fatal(err)
	}
	if gone[0] != 0 || gone[1] != 1 || gone[2] != 0 {
		t.Errorf("gone: %v", gone)
	}
	for _, want := range [][]string{{"", "a", "b", ""}, {"z"}} {
		got, err := dealer.RecvMessage(0)
		if err != nil || len(got) != len(want) {
			t.Fatalf("%q, %v, want %q", got, err, want)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%q, want %q", got, want)
			}
		}
	}
}

// TestReceiveErases: a message does not stay in memory after the next Receive.
func TestReceiveErases(t *testing.T) {
	ctx := testzmq.NewContext(t)
	h, dealer := newHandler(t, ctx), newDealer(t, ctx)
	if _, err := dealer.SendMessage("a password"); err != nil {
		t.Fatal(err)
	}
	var kept []byte
	for kept == nil {
		batch, err := h.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if len(batch) > 0 {
			kept = batch[0].Frames[1]
		}
	}
	h.Wake()
	if _, err := h.Receive(); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(kept, []byte("pass")) {
		t.Errorf("%q is still there", kept)
	}
}

func TestWake(t *testing.T) {
	ctx := testzmq.NewContext(t)
	h := newHandler(t, ctx)
	for range 100_000 { // more than the pipe can hold: Wake never blocks
		h.Wake()
	}
	if batch, err := h.Receive(); err != nil || len(batch) != 0 {
		t.Fatalf("%v, %v", batch, err)
	}
	go h.Wake()
	if batch, err := h.Receive(); err != nil || len(batch) != 0 {
		t.Fatalf("%v, %v", batch, err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h.Wake() // after Close it does nothing
}

// TestNothingIsLeft: where Receive returns nothing, nothing was there. Who empties the socket
// before it is closed relies on that.
func TestNothingIsLeft(t *testing.T) {
	ctx := testzmq.NewContext(t)
	h := newHandler(t, ctx)
	var dealers []*zmq4.Socket
	for range 5 {
		dealer := testzmq.NewSocket(t, ctx, zmq4.DEALER)
		must.OK(t, dealer.Connect(handlerEndpoint))
		dealers = append(dealers, dealer)
	}
	order := rand.New(rand.NewPCG(1, 2))
	for waiting, n := 0, 0; n < 20_000; n++ {
		switch order.IntN(3) {
		case 0:
			_, err := dealers[order.IntN(len(dealers))].SendMessage("a request")
			must.OK(t, err)
			waiting++
		case 1:
			h.Wake()
		case 2:
			if waiting == 0 {
				h.Wake()
			}
			batch, err := h.Receive()
			must.OK(t, err)
			if len(batch) == 0 && waiting > 0 {
				t.Fatalf("step %d: nothing, but there were %d messages", n, waiting)
			}
			waiting -= len(batch)
		}
	}
}

// TestTermWhileWoken: the end of the context comes while many goroutines call Wake.
func TestTermWhileWoken(t *testing.T) {
	for range 20 {
		ctx, err := zmq4.NewContext()
		if err != nil {
			t.Fatal(err)
		}
		h, err := Bind(ctx, handlerEndpoint)
		if err != nil {
			t.Fatal(err)
		}
		var wakers sync.WaitGroup
		stop := make(chan struct{})
		for range 100 {
			wakers.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						h.Wake()
						runtime.Gosched()
					}
				}
			})
		}
		for range 10 {
			if _, err := h.Receive(); err != nil {
				t.Fatal(err)
			}
		}
		terminate(t, ctx, h)
		close(stop)
		wakers.Wait()
	}
}

// TestNoWakeIsLost: what is put down before a Wake is seen after a Receive, whoever else wakes.
func TestNoWakeIsLost(t *testing.T) {
	h := newHandler(t, testzmq.NewContext(t))
	const goroutines, each = 20, 1000
	var put, taken atomic.Int64
	var wakers sync.WaitGroup
	for range goroutines {
		wakers.Go(func() {
			for range each {
				put.Add(1)
				h.Wake()
			}
		})
	}
	for taken.Load() < goroutines*each { // a lost one would have it wait for ever
		if _, err := h.Receive(); err != nil {
			t.Fatal(err)
		}
		taken.Store(put.Load())
	}
	wakers.Wait()
}

// TestStrangersAtTheSocket: what others in the process send, or however they are named, is neither
// a wake nor an end.
func TestStrangersAtTheSocket(t *testing.T) {
	ctx := testzmq.NewContext(t)
	h := newHandler(t, ctx)
	count := 0
	for _, kind := range []zmq4.Type{
		zmq4.DEALER, zmq4.REQ, zmq4.ROUTER, zmq4.PAIR, zmq4.PUB, zmq4.PUSH,
	} {
		for _, name := range []string{"", "wake-", "wake-" + strings.Repeat("A", 26), "same",
			strings.Repeat("x", 255)} {
			s := testzmq.NewSocket(t, ctx, kind)
			if name != "" {
				must.OK(t, s.SetIdentity(name))
			}
			must.OK(t, s.Connect(handlerEndpoint))
			for _, message := range [][]any{{""}, {"", ""}, {"", "", ""}, {strings.Repeat("x", 70000)}} {
				_, _ = s.SendMessageDontwait(message...)
				h.Wake()
				batch, err := h.Receive()
				must.OK(t, err)
				count += len(batch)
			}
		}
	}
	if count == 0 {
		t.Error("nothing has come")
	}
	d := newDealer(t, ctx)
	_, err := d.SendMessage("x")
	must.OK(t, err)
	receive(t, h, 1)
}

// terminate ends the context while h receives, and closes h then.
func terminate(t *testing.T, ctx *zmq4.Context, h *Handler) {
	t.Helper()
	terminated := make(chan error)
	go func() { terminated <- ctx.Term() }()
	var err error
	for err == nil {
		_, err = h.Receive()
	}
	if !errors.Is(err, zmq4.ETERM) {
		t.Errorf("%v, want ETERM", err)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if err := <-terminated; err != nil {
		t.Error(err)
	}
}

func TestTermEndsReceive(t *testing.T) {
	ctx, err := zmq4.NewContext()
	if err != nil {
		t.Fatal(err)
	}
	h, err := Bind(ctx, handlerEndpoint)
	if err != nil {
		t.Fatal(err)
	}
	terminate(t, ctx, h)
}

// TestBindWithoutASocketLeft: where the context has no socket left for the control pipe, the
// endpoint is free again at once.
func TestBindWithoutASocketLeft(t *testing.T) {
	ctx := testzmq.NewContext(t)
	must.OK(t, ctx.SetMaxSockets(2))
	other := testzmq.NewSocket(t, ctx, zmq4.PAIR)
	if _, err := Bind(ctx, handlerEndpoint); !errors.Is(err, zmq4.Errno(syscall.EMFILE)) {
		t.Fatalf("%v, want EMFILE", err)
	}
	must.OK(t, other.Bind(handlerEndpoint))
}

func TestBindErrors(t *testing.T) {
	ctx := testzmq.NewContext(t)
	h := newHandler(t, ctx)
	if _, err := Bind(ctx, handlerEndpoint); !errors.Is(err, zmq4.Errno(zmq4.EADDRINUSE)) {
		t.Errorf("%v, want EADDRINUSE", err)
	}
	if err := h.Unbind(); err != nil {
		t.Fatal(err)
	}
	second, err := Bind(ctx, handlerEndpoint)
	if err != nil {
		t.Fatalf("after Unbind: %v", err)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
}
