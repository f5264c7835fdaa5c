package zmqauth

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/zmqauth/zmqauth/internal/backlog"
	"github.com/zmqauth/zmqauth/internal/zap"
)

// maxReports is how many reports wait for OnDecision, and how many for the logger, behind those
// that it has been given. With libzmq's clients that takes some 20 MB for each.
const maxReports = 1 << 16

const (
	// levelPeriod is how long a change of the logger's level may go unnoticed by acceptances.
	levelPeriod = time.Second
	// levelWait is how long New waits for the logger to tell its level for the first time.
	levelWait = 100 * time.Millisecond
)

// reporter logs decisions and calls OnDecision. Each of the two has a goroutine, which lives while
// there is something to tell. Neither waits for the other, and the loop waits for none of them.
type reporter struct {
	log        *slog.Logger
	onDecision func(Decision)
	onSession  func(Session, bool)
	lines      backlog.Backlog[report] // for the logger
	decisions  backlog.Backlog[report] // for OnDecision

	debug   atomic.Bool  // whether acceptances are logged
	asking  atomic.Bool  // the logger is being asked for that
	begun   time.Time    // carries the monotonic clock, which nobody sets back
	checked atomic.Int64 // when the logger was asked, in nanoseconds since then
}

// report is a decision, or a line for the log alone.
type report struct {
	decision Decision
	verdict  verdict
	line     func(*slog.Logger) // nil: a decision
	session  *Session           // for OnSession; nil: a decision
	open     bool               // the session
}

func newReporter(log *slog.Logger, onDecision func(Decision), lost *atomic.Uint64) *reporter {
	r := &reporter{log: log, onDecision: onDecision, begun: time.Now()}
	r.lines.Tell, r.lines.Limit, r.lines.Lost = r.logReport, maxReports, lost
	r.decisions.Tell, r.decisions.Limit, r.decisions.Lost = r.callOnDecision, maxReports, lost
	asked := make(chan struct{})
	go func() { defer close(asked); r.askLevel() }()
	select {
	case <-asked:
	case <-time.After(levelWait):
	}
	return r
}

// wants tells whether anybody is to be told of a decision with that status. Acceptances are the
// most frequent, and often nobody reads them.
func (r *reporter) wants(status int) bool {
	return r.onDecision != nil || status != zap.StatusOK || r.debug.Load()
}

// keepUp has a goroutine ask the logger for its level again, once in a levelPeriod.
func (r *reporter) keepUp(now time.Time) {
	checked, elapsed := r.checked.Load(), int64(now.Sub(r.begun))
	if elapsed-checked > int64(levelPeriod) && r.checked.CompareAndSwap(checked, elapsed) {
		go r.askLevel()
	}
}

// askLevel asks the logger whether acceptances are logged. A logger that takes its time is not
// asked again meanwhile.
func (r *reporter) askLevel() {
	if !r.asking.CompareAndSwap(false, true) {
		return
	}
	defer r.asking.Store(false)
	defer r.recover()
	r.checked.Store(int64(time.Since(r.begun)))
	r.debug.Store(r.log.Enabled(context.Background(), slog.LevelDebug))
}

// say adds a line to the log's backlog.
func (a *Authenticator) say(line func(*slog.Logger)) { a.reports.lines.Add(report{line: line}) }

// add adds a decision to both backlogs. It never waits.
func (r *reporter) add(rep report) {
	r.lines.Add(rep)
	if r.onDecision != nil {
		r.decisions.Add(rep)
	}
}

func (r *reporter) logReport(rep report) {
	defer r.recover()
	if rep.line != nil {
		rep.line(r.log)
		return
	}
	r.write(rep)
}

func (r *reporter) callOnDecision(rep report) {
	defer func() {
		if p := recover(); p != nil {
			r.lines.Add(report{line: func(log *slog.Logger) {
				log.Error("zmqauth: OnDecision or the logger panicked", "panic", p)
			}})
		}
	}()
	if rep.session != nil {
		r.onSession(*rep.session, rep.open)
		return
	}
	r.onDecision(rep.decision)
}

// recover logs a panic of the logger. If the logger panics again, there is nobody left to tell.
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
	attrs := []slog.Attr{
		slog.String("reason", d.Reason), slog.Int("status", d.Status),
		slog.String("domain", d.Domain), slog.String("address", d.Address),
		slog.String("mechanism", d.Mechanism), slog.Duration("duration", d.Duration),
	}
	if d.UserID != "" {
		attrs = append(attrs, slog.String("user", d.UserID))
	}
	if n := rep.verdict.note; n != nil {
		attrs = append(attrs, n.attrs()...)
	}
	r.log.LogAttrs(ctx, level, message, attrs...)
}
