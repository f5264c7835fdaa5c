package zmqauth

import (
	"container/list"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/zmqauth/zmqauth/internal/zap"
)

// waitLimit is how long an inquiry may wait to be begun: after the handshake interval of server
// sockets the client is gone, whatever we say.
const waitLimit = handshakeInterval

// executor makes inquiries beside the loop: a bounded number at once, a bounded number waiting,
// each with a bounded time.
type executor struct {
	limit      int
	maxWaiting int
	waitLimit  time.Duration
	timeout    time.Duration

	mu      sync.Mutex
	running int // goroutines, those included whose inquiry has been answered for
	queue   list.List
	open    map[*inquiry]struct{} // unanswered
}

func newExecutor(limit, maxWaiting int, timeout time.Duration) *executor {
	return &executor{limit: limit, maxWaiting: maxWaiting, waitLimit: waitLimit, timeout: timeout, open: make(map[*inquiry]struct{})}
}

// submit has an inquiry made by its lane.
func (a *Authenticator) submit(in *inquiry) {
	if in.lane == nil {
		in.lane = a.callbacks
	}
	in.lane.submit(a, in)
}

// openInquiries are those without an answer. The caller holds a.mu, so that none of them came after
// a later Start.
func (a *Authenticator) openInquiries() []*inquiry {
	return append(a.callbacks.unanswered(), a.hashes.unanswered()...)
}

// refuse answers inquiries, because nobody is let in any more. The caller holds no lock.
func (a *Authenticator) refuse(open []*inquiry) {
	for _, in := range open {
		in.lane.settle(in, denied(ReasonStopped))
	}
}

// submit has an inquiry made. It never blocks; where there is no room, the answer comes before it
// returns.
func (e *executor) submit(a *Authenticator, in *inquiry) {
	e.mu.Lock()
	switch {
	case e.running < e.limit:
		e.running++
		e.open[in] = struct{}{}
		e.mu.Unlock()
		go e.work(a, in)
	case e.queue.Len() < e.maxWaiting:
		e.open[in] = struct{}{}
		in.waiting = e.queue.PushBack(in)
		in.giveUp = time.AfterFunc(e.waitLimit, func() { e.settle(in, temporary(ReasonOverloaded)) })
		e.mu.Unlock()
	default:
		e.mu.Unlock()
		in.answer(temporary(ReasonOverloaded))
	}
}

// work makes inquiries one after the other until none is waiting.
func (e *executor) work(a *Authenticator, in *inquiry) {
	finished := false
	defer func() {
		if !finished { // a callback has called runtime.Goexit: this goroutine ends, another takes its place
			go e.work(a, e.next())
		}
	}()
	for in != nil {
		e.make(a, in)
		in = e.next()
	}
	finished = true
}

// next is the inquiry that has waited longest; with none, the goroutine's place is free.
func (e *executor) next() *inquiry {
	e.mu.Lock()
	defer e.mu.Unlock()
	front := e.queue.Front()
	if front == nil {
		e.running--
		return nil
	}
	in := e.queue.Remove(front).(*inquiry)
	in.waiting = nil
	in.giveUp.Stop()
	return in
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
	defer func() {
		stop()
		e.settle(in, v)
	}()
	v = a.inquire(ctx, in)
}

// isLate tells whether a context's time is over: on a busy machine that may be long before it says
// so itself.
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

// settle answers an inquiry, if nobody has before, and cancels what is still being asked.
func (e *executor) settle(in *inquiry, v verdict) {
	e.mu.Lock()
	if in.answered {
		e.mu.Unlock()
		return
	}
	in.answered = true
	delete(e.open, in)
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
