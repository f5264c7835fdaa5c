package libzmq

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/pebbe/zmq4"

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

func TestTermEndsReceive(t *testing.T) {
	ctx, err := zmq4.NewContext()
	if err != nil {
		t.Fatal(err)
	}
	h, err := Bind(ctx, handlerEndpoint)
	if err != nil {
		t.Fatal(err)
	}
	terminated := make(chan error)
	go func() { terminated <- ctx.Term() }()
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
