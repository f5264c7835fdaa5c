package zmqauth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/reactor"
	"github.com/zmqauth/zmqauth/internal/zap"
)

// Attach does what Start does, but the goroutine that runs the reactor judges the requests, between
// the program's own handlers. So no request is judged while one of those handlers runs. Callbacks
// run beside the reactor.
//
// The ZAP socket keeps a goroutine of its own. Stop, Close and the context's end take effect
// whatever the reactor does. While the reactor does nothing, clients wait.
//
// Call Attach before r.Run, or on its goroutine. After Stop, Start resumes the service by the same
// reactor. Close takes the Authenticator's socket out of the reactor. If that has no other socket,
// its Run returns an error then. The errors of Attach are those of Start; besides, the reactor must
// not be nil, and the Authenticator must not have been started or attached before.
func (a *Authenticator) Attach(r *zmq4.Reactor) error {
	if r == nil {
		return errors.New("zmqauth: Attach: the reactor is nil")
	}
	q, err := reactor.NewQueue[*ticket](r, maxReactorQueue)
	if err != nil {
		return fmt.Errorf("zmqauth: Attach: %w", err)
	}
	if err := a.start(q); err != nil {
		q.Discard()
		return err
	}
	q.Attach(a.judgeTicket())
	return nil
}

// judgeTicket is what judges the tickets of the reactor's queue.
func (a *Authenticator) judgeTicket() func(*ticket) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.loop.judgeTicket
}

// maxReactorQueue is how many requests wait for the reactor. One more is told to try again.
const maxReactorQueue = 4096

// HandleZAPMessage judges one ZAP request for a program that owns the ZAP socket itself. request is
// what a REP socket receives: the frames behind the empty delimiter, version first. reply is what
// it sends: six frames, version first. A request too short to be answered, with less than the
// version and the request id, gives nil.
//
// It returns at once, unless a callback has to be asked or a password hash has to be verified. Then
// it waits for that, and answers 300 when ctx ends. It needs no Start, and refuses everyone after
// Stop and Close.
//
// A GSSAPI client is refused with status 999, because libzmq (to 4.3.5) lets one in whatever valid
// status it reads. Start and Attach delay the refusals of one that comes back all the time;
// HandleZAPMessage does not: the program has the socket, and may send the reply when it likes.
func (a *Authenticator) HandleZAPMessage(ctx context.Context, request [][]byte) (reply [][]byte) {
	arrived := time.Now()
	if ctx == nil {
		ctx = context.Background()
	}
	a.counters.requests.Add(1)
	if len(request) < zap.Answerable {
		a.drop()
		return nil
	}
	t := ticket{arrived: arrived}
	t.malformed = zap.Decode(request, &t.request)
	v := a.tellFront(&t.request, a.decideAndWait(ctx, &t))
	code, text := zap.WireStatus(v.status, t.request.Mechanism)
	reply = [][]byte{[]byte(zap.Version), t.request.ID, []byte(code), []byte(text), nil, nil}
	if v.status == zap.StatusOK {
		reply[4], reply[5] = []byte(v.userID), slices.Clone(v.metadata)
	}
	a.counters.count(v.status)
	a.tally.Count(t.request.Domain, t.request.Mechanism, v.reason, v.status, time.Since(arrived))
	a.reports.keepUp(arrived)
	if a.reports.wants(v.status) {
		a.tell(subjectOf(&t.request, arrived), v)
	}
	return reply
}

// decideAndWait is the verdict on a request, also where a callback has to be asked for it.
func (a *Authenticator) decideAndWait(ctx context.Context, t *ticket) verdict {
	a.mu.RLock()
	v, in := a.decide(&t.request, t.malformed)
	epoch := a.epoch
	if in == nil {
		a.mu.RUnlock()
		return v
	}
	answers := make(chan verdict, 1)
	in.parent = ctx
	in.answer = func(v verdict) { answers <- v }
	a.submit(in)
	a.mu.RUnlock()
	// The callback's own context ends with ctx. This is for an inquiry that is still waiting.
	stop := context.AfterFunc(ctx, func() { in.task.Settle(temporary(ReasonCanceled)) })
	defer stop()
	v = <-answers
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.current(v, epoch)
}
