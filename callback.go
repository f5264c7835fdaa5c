package zmqauth

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/zmqauth/zmqauth/internal/zap"
)

// Identity is who a client has proved to be.
type Identity struct {
	UserID   string            // "": the mechanism's default (user name, Z85 key or Config.CurveUserID, principal)
	Metadata map[string]string // further properties for the server's messages, "Role": "operator" for instance
}

// PlainCallback decides on a user name and password. The password must not be kept or logged; in the text of an error or
// a panic it is made unreadable as long as it stands there as it is, or quoted by %q. For what it returns see
// [ErrDenied]; it runs beside the loop, many at once, and ctx ends with its time or the Authenticator's service.
type PlainCallback func(ctx context.Context, domain, username, password string) (*Identity, error)

// CurveCallback decides on a CURVE key; the client has proved that it holds the secret key. For what it returns see
// [ErrDenied]; it runs beside the loop, many at once, and ctx ends with its time or the Authenticator's service.
type CurveCallback func(ctx context.Context, domain string, key PublicKey) (*Identity, error)

// GSSAPICallback decides on a principal ("alice@REALM") that Kerberos has proved. For what it returns see [ErrDenied]; it
// runs beside the loop, many at once, and ctx ends with its time or the Authenticator's service.
type GSSAPICallback func(ctx context.Context, domain, principal string) (*Identity, error)

// What a callback returns. An Identity and a nil error are the only yes; a nil Identity with a nil error is a refusal.
// Any other error means that the callback has failed: it is logged, and the client gets status 500.
var (
	ErrDenied    = errors.New("zmqauth: access denied")   // refuse: status 400, the client does not come back by itself
	ErrTemporary = errors.New("zmqauth: try again later") // status 300: libzmq's client tries again after its handshake interval
)

// inquiry is a decision that takes a callback, or anything else that must not delay the loop.
type inquiry struct {
	ask       func(ctx context.Context) (*Identity, error)
	defaultID string    // the user id where the identity names none
	secret    string    // never to appear in a log, whatever the callback returns
	about     [2]string // a log line's key and value on who is refused
	refusal   *verdict  // in place of a callback's, nil: none
	lane      *executor // that makes it, nil: the one for callbacks

	parent context.Context // of the callback's context; nil: none
	answer func(verdict)   // called once, from any goroutine, without locks held

	// Guarded by the executor's mutex.
	waiting  *list.Element
	giveUp   *time.Timer // while it waits
	cancel   context.CancelFunc
	answered bool
}

// waitLimit is how long an inquiry may wait to be begun: after the handshake interval of server sockets the client is
// gone, whatever we say.
const waitLimit = handshakeInterval

// executor makes inquiries beside the loop: a bounded number at once, a bounded number waiting, each with a bounded time.
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

// openInquiries are those without an answer. The caller holds a.mu, so that none of them came after a later Start.
func (a *Authenticator) openInquiries() []*inquiry {
	return append(a.callbacks.unanswered(), a.hashes.unanswered()...)
}

// refuse answers inquiries, because nobody is let in any more. The caller holds no lock.
func (a *Authenticator) refuse(open []*inquiry) {
	for _, in := range open {
		in.lane.settle(in, denied(ReasonStopped))
	}
}

// submit has an inquiry made. It never blocks; where there is no room, the answer comes before it returns.
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

// isLate tells whether a context's time is over: on a busy machine that may be long before it says so itself.
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

// inquire runs the callback of an inquiry and turns what it returns, or its panic, into a verdict.
func (a *Authenticator) inquire(ctx context.Context, in *inquiry) (v verdict) {
	defer func() {
		if p := recover(); p != nil {
			v = in.failed(ReasonCallbackPanic, fmt.Errorf("panic: %v", p))
			v.note.stack = debug.Stack()
		}
	}()
	identity, err := in.ask(ctx)
	switch {
	case errors.Is(err, ErrDenied) && in.refusal != nil:
		return *in.refusal
	case errors.Is(err, ErrDenied):
		return denied(ReasonCallbackDenied)
	case errors.Is(err, ErrTemporary):
		return temporary(ReasonTryAgain)
	case ctx.Err() != nil || isLate(ctx): // whatever it says: its time was over first
		return interrupted(ctx)
	case err != nil:
		return in.failed(ReasonCallbackError, err)
	case identity == nil:
		return denied(ReasonCallbackDenied)
	}
	return a.identified(in, identity)
}

// identified is the acceptance of the identity that a callback has returned.
func (a *Authenticator) identified(in *inquiry, identity *Identity) verdict {
	userID, metadata := identity.UserID, maps.Clone(identity.Metadata)
	if userID == "" {
		userID = in.defaultID
	}
	if err := errors.Join(zap.CheckUserID(userID), zap.CheckMetadata(metadata)); err != nil {
		return in.failed(ReasonCallbackError, err)
	}
	return a.accepted(userID, zap.EncodeMetadata(metadata, a.metadataNames))
}

// failed is the verdict on a callback that gave no answer. What it said goes to the log, but for the client's password,
// as it is or as %q shows it.
func (in *inquiry) failed(reason string, err error) verdict {
	text := err.Error()
	if in.secret != "" {
		quoted := strconv.Quote(in.secret)
		text = strings.ReplaceAll(text, quoted[1:len(quoted)-1], redacted)
		text = strings.ReplaceAll(text, in.secret, redacted)
	}
	n := &note{key: in.about[0], value: in.about[1], err: errors.New(text)}
	return verdict{status: zap.StatusError, reason: reason, note: n}
}
