// Package executor does beside its caller what the caller must not wait for. It bounds how many
// tasks run at once, how many wait, and the time of each. Clients take turns, so that one that asks
// for a lot delays itself alone. Each task has exactly one result, whatever becomes of it.
package executor

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/zmqauth/zmqauth/internal/admission"
)

// Executor runs tasks whose results are of type R. Its methods may be called by any goroutine.
type Executor[R any] struct {
	cfg Config[R]

	mu      sync.Mutex
	running int // goroutines, those included whose task has its result
	queue   admission.Queue[*Task[R]]
	open    map[*Task[R]]struct{} // without a result
	peak    int                   // of open
	average time.Duration         // of a task, the latest count most; 0: none has ended
}

// Config says what an Executor may take, and what becomes of tasks that it does not run to an end.
type Config[R any] struct {
	AtOnce     int           // tasks that run
	MaxWaiting int           // tasks that wait
	WaitLimit  time.Duration // for which a task waits
	Timeout    time.Duration // for which a task runs

	// Overloaded is the result of a task that there was no room for, or whose turn came too late.
	Overloaded R
	// Interrupted makes the result of a task whose context has ended before it did.
	Interrupted func(ctx context.Context) R
}

// Task is something to be done once. Its fields are set before it is submitted.
type Task[R any] struct {
	Client admission.Client
	Parent context.Context // of Run's; nil: none

	// Run does it. Its context ends with the time of the task, and when the task has its result. It
	// must not panic.
	Run func(ctx context.Context) R
	// Lost makes the result where Run ends its goroutine.
	Lost func() R
	// Done gets the result, once, from any goroutine, without locks held.
	Done func(R)

	executor *Executor[R]

	// Guarded by the executor's mutex.
	waiting *admission.Item[*Task[R]]
	giveUp  *time.Timer // while it waits
	cancel  context.CancelFunc
	settled bool
}

// New makes an Executor.
func New[R any](cfg Config[R]) *Executor[R] {
	return &Executor[R]{cfg: cfg, open: make(map[*Task[R]]struct{})}
}

// add notes a task that is to have a result. The caller holds e.mu.
func (e *Executor[R]) add(t *Task[R]) {
	e.open[t] = struct{}{}
	e.peak = max(e.peak, len(e.open))
}

// peakKept is how many entries of a map are worth keeping the memory of.
const peakKept = 1024

// remove notes that a task has its result. The caller holds e.mu.
func (e *Executor[R]) remove(t *Task[R]) {
	delete(e.open, t)
	if len(e.open) == 0 && e.peak > peakKept { // a map never shrinks
		e.open, e.peak = make(map[*Task[R]]struct{}), 0
	}
}

// isHopeless tells whether a client's next task would wait for longer than WaitLimit, as far as can
// be known. The caller holds e.mu.
func (e *Executor[R]) isHopeless(client admission.Client) bool {
	wait := e.average * time.Duration(e.queue.Ahead(client)) / time.Duration(e.cfg.AtOnce)
	return wait > e.cfg.WaitLimit
}

// Submit runs a task in a goroutine, or puts it into the queue. It never blocks. A task whose turn
// would come too late has its result before Submit returns, and so has one that there is no room
// for: the task itself, or the youngest of the client that has the most.
func (e *Executor[R]) Submit(t *Task[R]) {
	t.executor = e
	e.mu.Lock()
	if e.running < e.cfg.AtOnce {
		e.running++
		e.add(t)
		e.mu.Unlock()
		go e.work(t)
		return
	}
	refused := t
	if !e.isHopeless(t.Client) {
		refused = e.enqueue(t)
	}
	e.mu.Unlock()
	if refused != nil {
		refused.Settle(e.cfg.Overloaded)
	}
}

// enqueue puts a task into the queue. If the queue is full, it returns the one that there is no
// room for. The caller holds e.mu.
func (e *Executor[R]) enqueue(t *Task[R]) (refused *Task[R]) {
	if e.queue.Len() >= e.cfg.MaxWaiting {
		youngest := e.queue.Youngest(t.Client)
		if youngest == nil {
			return t
		}
		refused = youngest.Value
	}
	e.add(t)
	t.waiting = e.queue.Push(t.Client, t)
	t.giveUp = time.AfterFunc(e.cfg.WaitLimit, func() { t.Settle(e.cfg.Overloaded) })
	return refused
}

// work runs tasks one after the other until none is waiting.
func (e *Executor[R]) work(t *Task[R]) {
	finished := false
	defer func() {
		if !finished { // Run has called runtime.Goexit: another goroutine goes on
			go e.work(e.next())
		}
	}()
	for t != nil {
		e.run(t)
		t = e.next()
	}
	finished = true
}

// next is the task whose turn it is. nil: there is none, and the goroutine's slot is free.
func (e *Executor[R]) next() *Task[R] {
	e.mu.Lock()
	defer e.mu.Unlock()
	t, ok := e.queue.Pop()
	if !ok {
		e.running--
		return nil
	}
	t.waiting = nil
	t.giveUp.Stop()
	return t
}

// took notes how long a task has taken.
func (e *Executor[R]) took(d time.Duration) {
	const weight = 16
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.average == 0 {
		e.average = d
	}
	e.average += (d - e.average) / weight
}

func (e *Executor[R]) run(t *Task[R]) {
	parent := t.Parent
	if parent == nil {
		parent = context.Background()
	}
	ctx, cancel := context.WithTimeout(parent, e.cfg.Timeout)
	defer cancel()
	e.mu.Lock()
	t.cancel = cancel
	settled := t.settled
	e.mu.Unlock()
	if settled {
		return
	}
	stop := context.AfterFunc(ctx, func() { t.Settle(e.cfg.Interrupted(ctx)) })
	result := t.Lost()
	begun := time.Now()
	defer func() {
		stop()
		e.took(time.Since(begun))
		t.Settle(result)
	}()
	result = t.Run(ctx)
}

// Settle gives a submitted task its result, unless it has one, and ends the context of its Run.
func (t *Task[R]) Settle(result R) {
	e := t.executor
	e.mu.Lock()
	if t.settled {
		e.mu.Unlock()
		return
	}
	t.settled = true
	e.remove(t)
	if t.waiting != nil {
		e.queue.Remove(t.waiting)
		t.waiting = nil
		t.giveUp.Stop()
	}
	cancel := t.cancel
	e.mu.Unlock()
	t.Done(result)
	if cancel != nil {
		cancel()
	}
}

// Open are the tasks without a result.
func (e *Executor[R]) Open() []*Task[R] {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Collect(maps.Keys(e.open))
}

// Pending is how many tasks have no result.
func (e *Executor[R]) Pending() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.open)
}

// Load is how many goroutines run tasks, and how many tasks wait for one of them.
func (e *Executor[R]) Load() (running, waiting int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.running, e.queue.Len()
}
