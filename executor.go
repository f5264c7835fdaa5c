package zmqauth

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/zmqauth/zmqauth/internal/admission"
	"github.com/zmqauth/zmqauth/internal/zap"
)

// waitLimit is how long an inquiry may wait for a slot. After the handshake interval of server
// sockets its client is gone, whatever the answer is.
const waitLimit = handshakeInterval

// hashTime is how long a password hash may take: as long as its client waits for it.
const hashTime = handshakeInterval

// executor makes inquiries beside the loop. It bounds how many run at once, how many wait, and the
// time of each. Clients take turns, so that one that asks for a lot delays itself alone.
type executor struct {
	limit      int
	maxWaiting int
	waitLimit  time.Duration
	timeout    time.Duration

	mu      sync.Mutex
	running int // goroutines, those included whose inquiry has been answered for
	queue   admission.Queue[*inquiry]
	open    map[*inquiry]struct{} // unanswered
	peak    int                   // of open
	average time.Duration         // of an inquiry, the latest count most; 0: none has ended
}

func newExecutor(limit, maxWaiting int, timeout time.Duration) *executor {
	return &executor{limit: limit, maxWaiting: maxWaiting, waitLimit: waitLimit, timeout: timeout,
		open: make(map[*inquiry]struct{})}
}

// add notes an inquiry that is to be answered. The caller holds e.mu.
func (e *executor) add(in *inquiry) {
	e.open[in] = struct{}{}
	e.peak = max(e.peak, len(e.open))
}

// peakKept is how many entries of a map are worth keeping the memory of.
const peakKept = 1024

// remove notes that an inquiry has been answered. The caller holds e.mu.
func (e *executor) remove(in *inquiry) {
	delete(e.open, in)
	if len(e.open) == 0 && e.peak > peakKept { // a map never shrinks
		e.open, e.peak = make(map[*inquiry]struct{}), 0
	}
}

// isHopeless tells whether a client's next inquiry would wait for longer than waitLimit, as far as
// can be known. The caller holds e.mu.
func (e *executor) isHopeless(client admission.Client) bool {
	wait := e.average * time.Duration(e.queue.Ahead(client)) / time.Duration(e.limit)
	return wait > e.waitLimit
}

// submit hands an inquiry to its lane.
func (a *Authenticator) submit(in *inquiry) {
	if in.lane == nil {
		in.lane = a.callbacks
	}
	in.lane.submit(a, in)
}

// openInquiries are those without an answer. The caller holds a.mu, so that none of them belongs to
// the time after a later Start.
func (a *Authenticator) openInquiries() []*inquiry {
	return slices.Concat(a.callbacks.unanswered(), a.names.unanswered(), a.hashes.unanswered())
}

// refuse answers inquiries, because nobody is let in any more. The caller holds no lock.
func (a *Authenticator) refuse(open []*inquiry) {
	for _, in := range open {
		in.lane.settle(in, denied(ReasonStopped))
	}
}

// submit makes an inquiry in a goroutine, or puts it into the queue. It never blocks. An inquiry
// whose turn would come too late is answered before submit returns, and so is one that there is no
// room for (see enqueue).
func (e *executor) submit(a *Authenticator, in *inquiry) {
	e.mu.Lock()
	if e.running < e.limit {
		e.running++
		e.add(in)
		e.mu.Unlock()
		go e.work(a, in)
		return
	}
	refused := in
	if !e.isHopeless(in.client) {
		refused = e.enqueue(in)
	}
	e.mu.Unlock()
	if refused != nil {
		e.settle(refused, temporary(ReasonOverloaded))
	}
}

// enqueue puts an inquiry into the queue. If the queue is full, it returns the one that there is no
// room for: in itself, or the youngest of the client that has the most. The caller holds e.mu.
func (e *executor) enqueue(in *inquiry) (refused *inquiry) {
	if e.queue.Len() >= e.maxWaiting {
		youngest := e.queue.Youngest(in.client)
		if youngest == nil {
			return in
		}
		refused = youngest.Value
	}
	e.add(in)
	in.waiting = e.queue.Push(in.client, in)
	in.giveUp = time.AfterFunc(e.waitLimit, func() { e.settle(in, temporary(ReasonOverloaded)) })
	return refused
}

// work makes inquiries one after the other until none is waiting.
func (e *executor) work(a *Authenticator, in *inquiry) {
	finished := false
	defer func() {
		if !finished { // a callback has called runtime.Goexit: another goroutine goes on
			go e.work(a, e.next())
		}
	}()
	for in != nil {
		e.make(a, in)
		in = e.next()
	}
	finished = true
}

// next is the inquiry whose turn it is. nil: there is none, and the goroutine's slot is free.
func (e *executor) next() *inquiry {
	e.mu.Lock()
	defer e.mu.Unlock()
	in, ok := e.queue.Pop()
	if !ok {
		e.running--
		return nil
	}
	in.waiting = nil
	in.giveUp.Stop()
	return in
}

// took notes how long an inquiry has taken.
func (e *executor) took(d time.Duration) {
	const weight = 16
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.average == 0 {
		e.average = d
	}
	e.average += (d - e.average) / weight
}

func (e *executor) make(a *Authenticator, in *inquiry) {
	parent := in.parent
	if parent == nil {
		parent = context.Background()
	}
	ctx, cancel := context.WithTimeout(parent, e.timeout)
	defer cancel()
	e.mu.Lock()
	in.cancel = cancel
	answered := in.answered
	e.mu.Unlock()
	if answered {
		return
	}
	stop := context.AfterFunc(ctx, func() { e.settle(in, interrupted(ctx)) })
	v := in.failed(ReasonCallbackPanic, errors.New("the callback's goroutine has ended"))
	begun := time.Now()
	defer func() {
		stop()
		e.took(time.Since(begun))
		e.settle(in, v)
	}()
	v = a.inquire(ctx, in)
}

// isLate tells whether a context's time is over. On a busy machine the context itself may say so
// much later.
func isLate(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ok && !time.Now().Before(deadline)
}

// interrupted is the verdict on an inquiry whose context has ended, or is late.
func interrupted(ctx context.Context) verdict {
	if errors.Is(ctx.Err(), context.Canceled) {
		return temporary(ReasonCanceled)
	}
	return temporary(ReasonCallbackTimeout)
}

// settle answers an inquiry, unless it has been answered before, and cancels the callback that
// still runs for it.
func (e *executor) settle(in *inquiry, v verdict) {
	e.mu.Lock()
	if in.answered {
		e.mu.Unlock()
		return
	}
	in.answered = true
	e.remove(in)
	if in.waiting != nil {
		e.queue.Remove(in.waiting)
		in.waiting = nil
		in.giveUp.Stop()
	}
	cancel := in.cancel
	e.mu.Unlock()
	if v.status != zap.StatusOK && v.note == nil && in.about[0] != "" {
		v = v.about(in.about[0], in.about[1])
	}
	in.answer(v)
	if cancel != nil {
		cancel()
	}
}

func (e *executor) unanswered() []*inquiry {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Collect(maps.Keys(e.open))
}

func (e *executor) pending() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.open)
}
