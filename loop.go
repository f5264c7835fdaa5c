package zmqauth

import (
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/admission"
	"github.com/zmqauth/zmqauth/internal/backlog"
	"github.com/zmqauth/zmqauth/internal/libzmq"
	"github.com/zmqauth/zmqauth/internal/observe"
	"github.com/zmqauth/zmqauth/internal/reactor"
	"github.com/zmqauth/zmqauth/internal/session"
	"github.com/zmqauth/zmqauth/internal/zap"
)

// zapSocket is what the loop needs of libzmq.Handler; its tests break it on purpose.
type zapSocket interface {
	Receive() ([]libzmq.Message, error)
	Send(bytes []byte, sizes, frames []uint32, gone []uint8) error
	Wake()
	Unbind() error
	Close() error
}

// loop is the one goroutine that owns the ZAP socket. It receives, judges what memory can judge,
// and replies. It hands the rest to the executors, whose verdicts come back through deliver.
type loop struct {
	a      *Authenticator
	socket zapSocket
	queue  *reactor.Queue[*ticket] // of the goroutine that judges; nil: the loop's own judges

	closing   chan struct{} // closed: free the endpoint and end
	closeOnce sync.Once
	failed    chan struct{} // closed: the service is over, but the endpoint stays bound
	done      chan struct{} // closed: the goroutine has ended
	failure   error         // why the service is over
	closeErr  error

	ready  backlog.Inbox[delivery]
	outbox backlog.Inbox[outgoing] // replies to guarded sockets whose turn it is

	held *admission.Held[heldRefusal] // of GSSAPI clients

	// The goroutine's own, reused.
	refused *admission.Penalties // of GSSAPI clients
	request zap.Request
	untold  []untold
	tally   observe.Batch
	bytes   []byte           // of the replies to send
	sizes   []uint32         // of their frames
	frames  []uint32         // how many each reply has
	offered []*session.Reply // to guarded sockets, for each reply; nil: to others
	gone    []uint8          // whether its client had gone
	sending bool             // there is a socket
}

// ticket is a request that outlives its message, because its verdict comes later.
type ticket struct {
	envelope  [][]byte
	request   zap.Request
	malformed error
	arrived   time.Time
}

// delivery is the verdict on a ticket, as of an epoch of the Authenticator.
type delivery struct {
	ticket  *ticket
	verdict verdict
	epoch   uint64
}

// heldRefusal is the verdict on a ticket whose client has to wait for it.
type heldRefusal struct {
	ticket  *ticket
	verdict verdict
}

// outgoing is a reply to a guarded socket.
type outgoing struct {
	ticket  *ticket
	verdict verdict
	epoch   uint64
	reply   *session.Reply
}

// untold is a decision that is to be reported once no lock is held.
type untold struct {
	subject subject
	verdict verdict
}

func newLoop(a *Authenticator, socket zapSocket, queue *reactor.Queue[*ticket]) *loop {
	return &loop{
		a: a, socket: socket, queue: queue, sending: true,
		held:    admission.NewHeld[heldRefusal](maxHeldRefusals, socket.Wake, &a.counters.held),
		refused: newRefusalPenalties(),
		closing: make(chan struct{}), failed: make(chan struct{}), done: make(chan struct{}),
	}
}

// failurePause keeps a socket that fails at every call from taking a whole processor.
const failurePause = 100 * time.Millisecond

func (l *loop) run() {
	defer close(l.done)
	for {
		messages, err := l.socket.Receive()
		l.serve(messages)
		if errors.Is(err, zmq4.ETERM) {
			break
		}
		if err != nil {
			l.fail(err)
		}
		if l.isClosing() {
			l.leave()
			break
		}
	}
	l.closeErr = errors.Join(l.closeErr, l.socket.Close())
	l.a.ended()
	if l.queue != nil {
		l.queue.End()
	}
	l.sending = false
	l.held.Release()
	l.serve(nil) // counts and reports what was still undecided
}

// fail gives the service up, but not the endpoint: with nobody there libzmq would let clients in.
func (l *loop) fail(err error) {
	if l.failure == nil {
		l.failure = err
		close(l.failed)
		l.a.fail(err)
	}
	select {
	case <-l.closing:
	case <-time.After(failurePause):
	}
}

func (l *loop) isClosing() bool {
	select {
	case <-l.closing:
		return true
	default:
		return false
	}
}

// leaveBatches bounds how much is refused before the socket goes.
const leaveBatches = 1000

// leave frees the endpoint, then refuses what has been asked before.
func (l *loop) leave() {
	if err := l.socket.Unbind(); !errors.Is(err, zmq4.ETERM) { // the context's end frees it, too
		l.closeErr = err
	}
	l.held.Release()
	for range leaveBatches {
		l.socket.Wake() // so that Receive does not wait
		messages, err := l.socket.Receive()
		l.serve(messages)
		if err != nil || len(messages) == 0 {
			return
		}
	}
}

func (l *loop) close() error {
	l.closeOnce.Do(func() { close(l.closing) })
	l.socket.Wake()
	<-l.done
	return l.closeErr
}

func (l *loop) wait() error {
	select {
	case <-l.done:
	case <-l.failed:
	}
	return l.reason()
}

// reason is why the service ended, after done or failed.
func (l *loop) reason() error {
	select {
	case <-l.failed:
		return l.failure
	default:
		return nil
	}
}

// untoldKept is how many decisions are worth keeping the memory of.
const untoldKept = 1024

// serve answers what has come and what has been decided meanwhile. It holds the Authenticator's
// mutex throughout, so that nobody is let in after Stop has returned.
func (l *loop) serve(messages []libzmq.Message) {
	arrived := time.Now()
	l.untold = emptied(l.untold, untoldKept)
	l.a.reports.keepUp(arrived)
	l.a.counters.requests.Add(uint64(len(messages)))
	l.a.mu.RLock()
	for _, m := range messages {
		if !l.handle(m, arrived) {
			l.a.drop()
		}
	}
	if l.queue != nil && l.a.state.refuses() { // whatever the reactor does
		for _, t := range l.queue.Take() {
			l.conclude(t.envelope, &t.request, t.arrived, denied(ReasonStopped))
		}
	}
	for _, d := range l.ready.Take() {
		v := l.a.current(d.verdict, d.epoch)
		l.conclude(d.ticket.envelope, &d.ticket.request, d.ticket.arrived, v)
	}
	for _, h := range l.held.TakeDue() {
		l.finish(h.ticket.envelope, &h.ticket.request, h.ticket.arrived, h.verdict)
	}
	for _, o := range l.outbox.Take() {
		l.sendGuarded(o)
	}
	l.send()
	l.a.mu.RUnlock()
	l.tally.Count()
	for _, u := range l.untold {
		l.a.tell(u.subject, u.verdict)
	}
	clear(l.untold) // so that what they hold is free
}

// handle answers one message, or hands it to the goroutine that will decide. It returns false if
// there is not enough of the message for a reply.
func (l *loop) handle(m libzmq.Message, arrived time.Time) bool {
	envelope, body := zap.SplitEnvelope(m.Frames)
	if len(body) < zap.Answerable {
		return false
	}
	malformed := zap.Decode(body, &l.request)
	if m.Truncated {
		malformed = zap.ErrMalformed
	}
	if l.queue != nil && !l.a.state.refuses() {
		t := newTicket(envelope, &l.request, malformed, arrived)
		if !l.queue.Add(t) {
			l.conclude(envelope, &l.request, arrived, temporary(ReasonOverloaded))
		}
		return true
	}
	v, in := l.a.decide(&l.request, malformed)
	if in == nil {
		l.conclude(envelope, &l.request, arrived, v)
		return true
	}
	l.inquire(newTicket(envelope, &l.request, malformed, arrived), in)
	return true
}

// conclude finishes a request. A GSSAPI client that is refused time and again has to wait for its
// refusal.
func (l *loop) conclude(envelope [][]byte, r *zap.Request, arrived time.Time, v verdict) {
	if string(r.Mechanism) == zap.MechanismGSSAPI {
		principal := r.Credentials[0]
		if v.status == zap.StatusOK {
			l.refused.Accept(r.Address, principal)
		} else if delay := l.refused.Refuse(r.Address, principal, arrived); delay > 0 &&
			l.held.Hold(heldRefusal{newTicket(envelope, r, nil, arrived), v}, delay) {
			return
		}
	}
	l.finish(envelope, r, arrived, v)
}

// finish counts and sends a verdict, and keeps it to be reported.
func (l *loop) finish(envelope [][]byte, r *zap.Request, arrived time.Time, v verdict) {
	l.a.counters.count(v.status)
	l.tally.Add(&l.a.tally, r.Domain, r.Mechanism, v.reason, v.status, arrived)
	v = l.a.tellFront(r, v)
	if l.sending && !l.offer(envelope, r, arrived, v) {
		l.reply(envelope, r, v, nil)
	}
	if l.a.reports.wants(v.status) {
		l.untold = append(l.untold, untold{subjectOf(r, arrived), v})
	}
}

// inquire submits an inquiry. Its verdict comes back through deliver. The caller holds the
// Authenticator's mutex.
func (l *loop) inquire(t *ticket, in *inquiry) {
	epoch := l.a.epoch
	in.answer = func(v verdict) {
		v.policy = in.policy
		l.deliver(delivery{t, v, epoch})
	}
	l.a.submit(in)
}

// judgeTicket judges a ticket of the reactor's queue, on the reactor's goroutine.
func (l *loop) judgeTicket(t *ticket) {
	l.a.mu.RLock()
	defer l.a.mu.RUnlock()
	v, in := l.a.decide(&t.request, t.malformed)
	if in == nil {
		l.deliver(delivery{t, v, l.a.epoch})
		return
	}
	l.inquire(t, in)
}

// deliver hands a verdict to the loop. Any goroutine may call it.
func (l *loop) deliver(d delivery) {
	if l.ready.Put(d) {
		l.socket.Wake()
	}
}

// reply puts a verdict among the replies to send. offered is nil, or a guarded socket's.
func (l *loop) reply(envelope [][]byte, r *zap.Request, v verdict, offered *session.Reply) {
	l.frames = append(l.frames, 0)
	l.offered = append(l.offered, offered)
	for _, frame := range envelope {
		l.frame(frame)
	}
	code, text := zap.WireStatus(v.status, r.Mechanism)
	addFrame(l, zap.Version)
	l.frame(r.ID)
	addFrame(l, code)
	addFrame(l, text)
	if v.status == zap.StatusOK {
		addFrame(l, v.userID)
		l.frame(v.metadata)
	} else {
		addFrame(l, "")
		addFrame(l, "")
	}
	if len(l.bytes) >= maxReplies {
		l.send()
	}
}

func (l *loop) frame(frame []byte) { addFrame(l, frame) }

// addFrame appends to the last reply.
func addFrame[T string | []byte](l *loop, frame T) {
	l.bytes = append(l.bytes, frame...)
	l.sizes = append(l.sizes, uint32(len(frame)))
	l.frames[len(l.frames)-1]++
}

// maxReplies is how many bytes of replies are kept before they are sent.
const maxReplies = 1 << 18

// send sends the replies. A failure does not end the loop: a client without a reply is not let in.
func (l *loop) send() {
	if len(l.frames) == 0 {
		return
	}
	l.gone = slices.Grow(l.gone[:0], len(l.frames))[:len(l.frames)]
	err := l.socket.Send(l.bytes, l.sizes, l.frames, l.gone)
	if err != nil && !errors.Is(err, zmq4.ETERM) {
		l.a.say(func(log *slog.Logger) { log.Error("zmqauth: sending replies", "error", err) })
	}
	for i, reply := range l.offered {
		if reply != nil {
			l.a.guard.table.Load().Sent(reply, l.gone[i] != 0)
		}
	}
	clear(l.offered)
	l.offered = emptied(l.offered, maxReplies)
	l.bytes, l.sizes, l.frames = emptied(l.bytes, 4*maxReplies), emptied(l.sizes, maxReplies),
		emptied(l.frames, maxReplies)
}

// emptied is a slice to use again, or nil if it has grown beyond what is worth keeping: one huge
// reply must not take memory for ever.
func emptied[T any](slice []T, keep int) []T {
	if cap(slice) > keep {
		return nil
	}
	return slice[:0]
}

func newTicket(envelope [][]byte, r *zap.Request, malformed error, arrived time.Time) *ticket {
	t := &ticket{malformed: malformed, arrived: arrived}
	for _, frame := range envelope {
		t.envelope = append(t.envelope, slices.Clone(frame))
	}
	t.request = r.Clone()
	return t
}
