package zmqauth

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/libzmq"
	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/session"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/zap"
)

// brokenSocket is a ZAP socket whose Receive fails from a certain time on.
type brokenSocket struct {
	*libzmq.Handler
	broken chan bool // closed when Receive begins to fail
	err    error
}

func (s *brokenSocket) Receive() ([]libzmq.Message, error) {
	messages, err := s.Handler.Receive()
	select {
	case <-s.broken:
		return messages, s.err
	default:
		return messages, err
	}
}

// TestFailureKeepsTheEndpoint: a loop that has to give up says why. It keeps the endpoint, and from
// then on refuses everybody.
func TestFailureKeepsTheEndpoint(t *testing.T) {
	var log logbuffer.Buffer
	a := newAuthenticator(t, Config{Logger: log.Logger()})
	handler, err := libzmq.Bind(a.Context(), ZAPEndpoint)
	must.OK(t, err)
	socket := &brokenSocket{Handler: handler, broken: make(chan bool), err: errors.New("no memory")}
	a.state = stateServing
	a.begin(newLoop(a, socket, nil))
	zap := newZAPClient(t, a.Context())
	if reply := zap.ask(nullRequest()); reply[2] != "200" {
		t.Fatalf("status %s", reply[2])
	}
	close(socket.broken)
	socket.Wake()
	if err := a.Wait(); !errors.Is(err, socket.err) {
		t.Errorf("Wait: %v", err)
	}
	testpeer.Eventually(t, "it is not alive", func() bool { return !a.IsAlive() })
	if reply := zap.ask(nullRequest()); reply[2] != "400" {
		t.Errorf("status %s after the failure", reply[2])
	}
	if err := a.Start(); !errors.Is(err, socket.err) {
		t.Errorf("Start after the failure: %v", err)
	}
	must.OK(t, a.Stop())
	other, err := New(a.Context(), &Config{Logger: quiet()})
	must.OK(t, err)
	if err := other.Start(); !errors.Is(err, ErrHandlerBound) {
		t.Errorf("the endpoint after the failure: %v", err)
	}
	waitForReports(t, a)
	if !strings.Contains(log.String(), "no memory") {
		t.Errorf("the log does not say why: %s", log.String())
	}
	must.OK(t, a.Close())
	if err := a.Wait(); !errors.Is(err, socket.err) {
		t.Errorf("Wait after Close: %v", err)
	}
	must.OK(t, other.Start())
	must.OK(t, other.Close())
}

// TestFailedSocketEndsWithTheContext: Term does not hang on an authenticator that has failed.
func TestFailedSocketEndsWithTheContext(t *testing.T) {
	ctx, err := zmq4.NewContext()
	must.OK(t, err)
	a, err := New(ctx, &Config{Logger: quiet()})
	must.OK(t, err)
	handler, err := libzmq.Bind(ctx, ZAPEndpoint)
	must.OK(t, err)
	failing := &failOnce{Handler: handler}
	a.state = stateServing
	a.begin(newLoop(a, failing, nil))
	if err := a.Wait(); !errors.Is(err, errOnce) {
		t.Errorf("Wait: %v", err)
	}
	must.OK(t, ctx.Term())
	must.OK(t, a.Close())
}

var errOnce = errors.New("once")

// failOnce is a ZAP socket whose first Receive fails.
type failOnce struct {
	*libzmq.Handler
	failed bool
}

func (s *failOnce) Receive() ([]libzmq.Message, error) {
	if !s.failed {
		s.failed = true
		return nil, errOnce
	}
	return s.Handler.Receive()
}

// fakeSocket is a ZAP socket whose requests and replies a test sees.
type fakeSocket struct {
	requests chan []libzmq.Message
	woken    chan bool
	replies  chan []string
	unbound  bool
	closed   bool
	onClose  func()
}

func newFakeSocket() *fakeSocket {
	return &fakeSocket{
		requests: make(chan []libzmq.Message, 10),
		woken:    make(chan bool, 1000),
		replies:  make(chan []string, 1000),
	}
}

func (s *fakeSocket) Receive() ([]libzmq.Message, error) {
	select {
	case messages := <-s.requests:
		return messages, nil
	default:
	}
	select {
	case messages := <-s.requests:
		return messages, nil
	case <-s.woken:
		return nil, nil
	}
}

func (s *fakeSocket) Send(bytes []byte, sizes, frames []uint32, _ []uint8) error {
	if s.closed {
		panic("a message is sent on a closed socket")
	}
	for _, count := range frames {
		var reply []string
		for _, size := range sizes[:count] {
			reply, bytes = append(reply, string(bytes[:size])), bytes[size:]
		}
		sizes = sizes[count:]
		s.replies <- reply
	}
	return nil
}

func (s *fakeSocket) Wake() { s.woken <- true }

func (s *fakeSocket) Unbind() error { s.unbound = true; return nil }

func (s *fakeSocket) Close() error {
	s.closed = true
	if s.onClose != nil {
		s.onClose()
	}
	return nil
}

func message(body [][]byte) libzmq.Message {
	return libzmq.Message{Frames: append(frames("peer", ""), body...)}
}

// TestCloseRefusesWhatHasBeenAsked: requests from before Close are refused once the endpoint is
// free.
func TestCloseRefusesWhatHasBeenAsked(t *testing.T) {
	a := newAuthenticator(t, Config{})
	socket := newFakeSocket()
	a.loop = newLoop(a, socket, nil)
	a.state = stateClosed
	for range 3 {
		socket.requests <- []libzmq.Message{message(nullRequest()), message(nullRequest())}
	}
	a.loop.leave()
	if !socket.unbound || len(socket.replies) != 6 {
		t.Fatalf("unbound %v, %d replies", socket.unbound, len(socket.replies))
	}
	for range 6 {
		if reply := <-socket.replies; reply[4] != "400" {
			t.Errorf("reply %q", reply)
		}
	}
	close(a.loop.done) // it has never run
}

// TestVerdictsDoNotOutliveAStop: an acceptance that has not been sent by the time of a stop becomes
// a refusal, even when Start follows at once.
func TestVerdictsDoNotOutliveAStop(t *testing.T) {
	for name, after := range map[string]func(*Authenticator){
		"Stop":           func(*Authenticator) {},
		"Stop and Start": func(a *Authenticator) { a.state = stateServing },
	} {
		t.Run(name, func(t *testing.T) {
			a := newAuthenticator(t, Config{})
			socket := newFakeSocket()
			a.loop = newLoop(a, socket, nil)
			a.state = stateServing
			tk := newTicket(frames("peer", ""), &zap.Request{Mechanism: []byte("NULL")}, nil, time.Now())
			a.loop.deliver(delivery{tk, a.accepted("ann", nil), a.epoch})
			must.OK(t, a.Stop())
			after(a)
			a.loop.serve(nil)
			if reply := <-socket.replies; reply[4] != "400" || reply[6] != "" {
				t.Errorf("reply %q", reply)
			}
			close(a.loop.done)
		})
	}
}

// newGuardedLoop is a loop that does not run, and a guarded socket in the domain "d".
func newGuardedLoop(t *testing.T) (*Authenticator, *session.Table, *fakeSocket) {
	t.Helper()
	a := newAuthenticator(t, Config{})
	a.guard.begin.Do(a.beginGuard)
	table := a.guard.table.Load()
	table.Guard("d", "NULL", nil)
	socket := newFakeSocket()
	a.loop = newLoop(a, socket, nil)
	return a, table, socket
}

// TestGuardedReplyAtTheEnd: a reply to a guarded socket whose turn comes when the ZAP socket is
// closed is not sent, and lets nobody in.
func TestGuardedReplyAtTheEnd(t *testing.T) {
	a, table, socket := newGuardedLoop(t)
	a.state = stateServing
	r := &zap.Request{Domain: []byte("d"), Address: []byte("192.0.2.1"), Mechanism: []byte("NULL")}
	o := outgoing{ticket: newTicket(frames("peer", ""), r, nil, time.Now()),
		verdict: a.accepted("ann", nil), epoch: a.epoch}
	o.reply = &session.Reply{Domain: "d", Mechanism: "NULL", Address: "192.0.2.1", Send: func() {},
		Session: a.newSession(table.NextID(), r, o.verdict, time.Now())}
	if !table.Offer(o.reply) {
		t.Fatal("it has to wait")
	}
	a.loop.closeOnce.Do(func() { close(a.loop.closing) })
	socket.Wake()
	socket.onClose = func() { a.loop.post(o) }
	a.loop.run()
	if len(socket.replies) > 0 || len(a.Sessions()) > 0 {
		t.Errorf("%d replies, sessions %+v", len(socket.replies), a.Sessions())
	}
}

// TestHandleZAPMessageAfterAStop: HandleZAPMessage does not return an acceptance after a stop,
// either.
func TestHandleZAPMessageAfterAStop(t *testing.T) {
	a := newAuthenticator(t, Config{})
	// The callback's answer comes in the middle of Stop, before Stop has refused the request.
	callback := func(context.Context, string, string, string) (*Identity, error) {
		a.mu.Lock()
		a.state = stateStopped
		a.epoch++
		a.mu.Unlock()
		return &Identity{}, nil
	}
	must.OK(t, a.ConfigurePlainCallback("*", callback))
	if status, _ := ask(t, a, plainRequest("d", "ann", "x")); status != "400" {
		t.Errorf("status %s", status)
	}
}

// TestTruncatedMessages: a truncated message is malformed, whatever is left of it.
func TestTruncatedMessages(t *testing.T) {
	a := newAuthenticator(t, Config{})
	socket := newFakeSocket()
	a.loop = newLoop(a, socket, nil)
	m := message(nullRequest())
	m.Truncated = true
	a.loop.serve([]libzmq.Message{m})
	if reply := <-socket.replies; reply[4] != "400" {
		t.Errorf("reply %q", reply)
	}
	close(a.loop.done)
}

// endingSocket is a ZAP socket whose context ends while a batch is received and answered.
type endingSocket struct {
	*fakeSocket
	log  []string
	last []libzmq.Message
}

func (s *endingSocket) Receive() ([]libzmq.Message, error) {
	s.log = append(s.log, "receive")
	return s.last, zmq4.ETERM
}

func (s *endingSocket) Send([]byte, []uint32, []uint32, []uint8) error {
	s.log = append(s.log, "send")
	return zmq4.ETERM
}

func (s *endingSocket) Close() error {
	s.log = append(s.log, "close")
	return nil
}

// TestBatchThatEnds: a batch that comes with the end of the context is decided and reported. The
// socket is closed at once, and no error is logged.
func TestBatchThatEnds(t *testing.T) {
	var log logbuffer.Buffer
	reasons := make(chan string, 10)
	onDecision := func(d Decision) { reasons <- d.Reason }
	a := newAuthenticator(t, Config{Logger: log.Logger(), OnDecision: onDecision})
	callback := func(ctx context.Context, _, _, _ string) (*Identity, error) {
		<-ctx.Done()
		return &Identity{}, nil
	}
	must.OK(t, a.ConfigurePlainCallback("*", callback))
	socket := &endingSocket{fakeSocket: newFakeSocket(), last: []libzmq.Message{
		message(nullRequest()), message(plainRequest("d", "ann", "x")),
		message(zapRequest("d", "", "OTHER")),
	}}
	a.state = stateServing
	a.begin(newLoop(a, socket, nil))
	must.OK(t, a.Wait())
	got := map[string]int{}
	for range socket.last {
		got[<-reasons]++
	}
	waitForReports(t, a)
	if len(got) != 3 || got[ReasonAccepted] != 1 || got[ReasonStopped] != 1 ||
		got[ReasonUnknownMechanism] != 1 || len(reasons) != 0 {
		t.Errorf("%v, %d more", got, len(reasons))
	}
	if stats := a.Stats(); stats.Requests != 3 || stats.Allowed != 1 || stats.Denied != 2 ||
		stats.Pending != 0 {
		t.Errorf("%+v", stats)
	}
	if said := strings.Join(socket.log, " "); said != "receive send close" {
		t.Errorf("the socket's calls: %s", said)
	}
	if strings.Contains(log.String(), "level=ERROR") {
		t.Errorf("the log:\n%s", log.String())
	}
}

// TestHugeReplyGivesItsMemoryBack: a callback that returns 64 MiB of metadata once.
func TestHugeReplyGivesItsMemoryBack(t *testing.T) {
	a := startAuthenticator(t, Config{})
	const size = 64 << 20
	must.OK(t, a.ConfigurePlainCallback("d",
		func(context.Context, string, string, string) (*Identity, error) {
			return &Identity{Metadata: map[string]string{"Large": strings.Repeat("x", size)}}, nil
		}))
	zap := newZAPClient(t, a.Context())
	if reply := zap.ask(plainRequest("d", "ann", "x")); reply[2] != "200" || len(reply[5]) < size {
		t.Fatalf("status %s, %d bytes of metadata", reply[2], len(reply[5]))
	}
	must.OK(t, a.ConfigurePlain("d", nil)) // nobody has the callback any more
	testpeer.Eventually(t, "the memory is free", func() bool {
		zap.ask(nullRequest())
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc < size
	})
}

// TestGuardedReplyThatFillsTheBuffer: a reply that has the buffer sent at once is known as sent.
func TestGuardedReplyThatFillsTheBuffer(t *testing.T) {
	a, _, socket := newGuardedLoop(t)
	r := &zap.Request{Domain: []byte("d"), Address: []byte("localhost:1:2:3"),
		Mechanism: []byte("NULL")}
	accepted := a.accepted("ann", make([]byte, maxReplies))
	if !a.loop.offer(frames("peer", ""), r, time.Now(), accepted) {
		t.Fatal("it is not offered")
	}
	if len(socket.replies) != 1 || len(a.Sessions()) != 1 {
		t.Errorf("%d replies, sessions %+v", len(socket.replies), a.Sessions())
	}
	close(a.loop.done) // it has never run
}
