package zmqauth

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zmqauth/zmqauth/internal/zap"
)

// maxReports is how far OnDecision and the logger may fall behind. For clients of libzmq's that is
// some 40 MB.
const maxReports = 1 << 16

// levelPeriod is how long a change of the logger's level may go unnoticed by acceptances.
const levelPeriod = time.Second

// reporter logs decisions and calls OnDecision, one after the other, by a goroutine that lives
// while there are any. The loop never runs any of the program's code, and never waits for it.
type reporter struct {
	log        *slog.Logger
	onDecision func(Decision)
	lost       *atomic.Uint64 // counts what there was no room for

	mu      sync.Mutex
	queue   []report
	running bool

	debug   atomic.Bool  // whether acceptances are logged
	begun   time.Time    // carries the monotonic clock, which nobody sets back
	checked atomic.Int64 // when the logger was asked, in nanoseconds since then
}

// report is a decision, or a line for the log alone.
type report struct {
	decision Decision
	verdict  verdict
	line     func(*slog.Logger) // nil: a decision
}

func newReporter(log *slog.Logger, onDecision func(Decision), lost *atomic.Uint64) *reporter {
	r := &reporter{log: log, onDecision: onDecision, lost: lost, begun: time.Now()}
	r.askLevel()
	return r
}

// wants tells whether anybody wants to know of a decision with that status: of acceptances, the
// many, not everybody does.
func (r *reporter) wants(status int) bool {
	return r.onDecision != nil || status != zap.StatusOK || r.debug.Load()
}

// keepUp has the logger asked for its level again, from time to time.
func (r *reporter) keepUp(now time.Time) {
	checked, elapsed := r.checked.Load(), int64(now.Sub(r.begun))
	if elapsed-checked > int64(levelPeriod) && r.checked.CompareAndSwap(checked, elapsed) {
		go r.askLevel()
	}
}

// askLevel asks the logger, which may take its time, whether acceptances are logged.
func (r *reporter) askLevel() {
	defer r.recover()
	r.checked.Store(int64(time.Since(r.begun)))
	r.debug.Store(r.log.Enabled(context.Background(), slog.LevelDebug))
}

// say has a line logged by the reporter's goroutine.
func (a *Authenticator) say(line func(*slog.Logger)) { a.reports.add(report{line: line}) }

// add never waits.
func (r *reporter) add(rep report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) >= maxReports {
		r.lost.Add(1)
		return
	}
	r.queue = append(r.queue, rep)
	if !r.running {
		r.running = true
		go r.run(nil)
	}
}

// run makes the reports of a batch, and then of all that has been added meanwhile.
func (r *reporter) run(batch []report) {
	finished := false
	defer func() {
		if !finished { // OnDecision or the logger has called runtime.Goexit: another goroutine goes on
			go r.run(batch)
		}
	}()
	for {
		for len(batch) > 0 {
			rep := batch[0]
			batch = batch[1:]
			r.report(rep)
		}
		r.mu.Lock()
		batch, r.queue = r.queue, nil
		r.running = len(batch) > 0
		r.mu.Unlock()
		if len(batch) == 0 {
			finished = true
			return
		}
	}
}

func (r *reporter) report(rep report) {
	defer r.recover()
	if rep.line != nil {
		rep.line(r.log)
		return
	}
	r.write(rep)
	if r.onDecision != nil {
		r.onDecision(rep.decision)
	}
}

// recover logs the panic of OnDecision or the logger; if the logger panics again, there is nobody
// left to tell.
func (r *reporter) recover() {
	if p := recover(); p != nil {
		defer func() { _ = recover() }()
		r.log.Error("zmqauth: OnDecision or the logger panicked", "panic", p)
	}
}

func (n *note) attrs() (attrs []slog.Attr) {
	if n.key != "" {
		attrs = append(attrs, slog.String(n.key, n.value))
	}
	if n.err != nil {
		attrs = append(attrs, slog.String("error", n.err.Error()))
	}
	if n.stack != nil {
		attrs = append(attrs, slog.String("stack", string(n.stack)))
	}
	return attrs
}

func levelOf(status int) slog.Level {
	switch status {
	case zap.StatusOK:
		return slog.LevelDebug
	case zap.StatusError:
		return slog.LevelError
	default:
		return slog.LevelInfo
	}
}

func (r *reporter) write(rep report) {
	level, ctx := levelOf(rep.decision.Status), context.Background()
	if !r.log.Enabled(ctx, level) {
		return
	}
	d, message := rep.decision, "zmqauth: refused"
	if d.Status == zap.StatusOK {
		message = "zmqauth: accepted"
	}
	attrs := []slog.Attr{slog.String("reason", d.Reason), slog.Int("status", d.Status), slog.String("domain", d.Domain),
		slog.String("address", d.Address), slog.String("mechanism", d.Mechanism), slog.Duration("duration", d.Duration)}
	if d.UserID != "" {
		attrs = append(attrs, slog.String("user", d.UserID))
	}
	if n := rep.verdict.note; n != nil {
		attrs = append(attrs, n.attrs()...)
	}
	r.log.LogAttrs(ctx, level, message, attrs...)
}
