package zmqauth

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zmqauth/zmqauth/internal/admission"
	"github.com/zmqauth/zmqauth/internal/executor"
	"github.com/zmqauth/zmqauth/internal/zap"
)

// Identity is who a client has proved to be.
type Identity struct {
	// UserID is the user id on the server's messages. "": the mechanism's default: the user name, the
	// key in Z85 or what Config.CurveUserID says, the principal.
	UserID string
	// Metadata are further properties of the server's messages, "Role": "operator" for instance.
	Metadata map[string]string
}

// PlainCallback decides on a user name and a password. It must neither keep nor log the password.
// In the text of its error or panic the password is made unreadable, where it stands as it is or as
// %q quotes it. For what a callback returns see [ErrDenied]. Callbacks run beside the loop, many at
// once. ctx ends with the callback's time, and with the Authenticator's service.
type PlainCallback func(ctx context.Context, domain, username, password string) (*Identity, error)

// CurveCallback decides on a CURVE key. The client has proved that it holds the secret key. For
// what a callback returns see [ErrDenied]. Callbacks run beside the loop, many at once. ctx ends
// with the callback's time, and with the Authenticator's service.
type CurveCallback func(ctx context.Context, domain string, key PublicKey) (*Identity, error)

// GSSAPICallback decides on a principal ("alice@REALM") that Kerberos has proved. For what a
// callback returns see [ErrDenied]. Callbacks run beside the loop, many at once. ctx ends with the
// callback's time, and with the Authenticator's service.
type GSSAPICallback func(ctx context.Context, domain, principal string) (*Identity, error)

// What a callback returns. An Identity and a nil error are the only yes; a nil Identity with a nil
// error is a refusal. Any other error means that the callback has failed: it is logged, and the
// client gets status 500.
var (
	// ErrDenied refuses: status 400. The client does not come back by itself.
	ErrDenied = errors.New("zmqauth: access denied")
	// ErrTemporary is status 300. libzmq's client tries again after its handshake interval.
	ErrTemporary = errors.New("zmqauth: try again later")
)

// inquiry is a decision that takes a callback, or anything else that must not delay the loop.
type inquiry struct {
	ask       func(ctx context.Context) (*Identity, error)
	decide    func(ctx context.Context) verdict // in place of ask; nil: ask decides
	defaultID string                            // the user id where the identity names none
	secret    string                            // never to appear in a log
	about     [2]string                         // a log line's key and value on who is refused
	lane      *lane                             // which makes it; nil: the one for callbacks
	policy    *policy                           // that it is made for
	client    admission.Client

	parent context.Context // of the callback's context; nil: none
	answer func(verdict)   // called once, from any goroutine, without locks held
	task   executor.Task[verdict]
}

// inquire runs the callback of an inquiry and turns what it returns, or its panic, into a verdict.
func (a *Authenticator) inquire(ctx context.Context, in *inquiry) (v verdict) {
	defer func() {
		if p := recover(); p != nil {
			v = in.failed(ReasonCallbackPanic, fmt.Errorf("panic: %v", p))
			v.note.stack = debug.Stack()
		}
	}()
	if in.decide != nil {
		return in.decide(ctx)
	}
	identity, err := in.ask(ctx)
	switch {
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

// failed is the verdict on a callback that gave no answer. What it said goes to the log. The
// client's password is made unreadable there, as it is and as %q quotes it.
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

// waitLimit is how long an inquiry may wait for a slot. After the handshake interval of server
// sockets its client is gone, whatever the answer is.
const waitLimit = handshakeInterval

// hashTime is how long a password hash may take: as long as its client waits for it.
const hashTime = handshakeInterval

// lane is an executor of inquiries.
type lane = executor.Executor[verdict]

func newLane(atOnce, maxWaiting int, timeout time.Duration) *lane {
	return executor.New(executor.Config[verdict]{AtOnce: atOnce, MaxWaiting: maxWaiting,
		WaitLimit: waitLimit, Timeout: timeout, Overloaded: temporary(ReasonOverloaded),
		Interrupted: interrupted})
}

// submit hands an inquiry to its lane.
func (a *Authenticator) submit(in *inquiry) {
	if in.lane == nil {
		in.lane = a.callbacks
	}
	in.task = executor.Task[verdict]{
		Client: in.client,
		Parent: in.parent,
		Run:    func(ctx context.Context) verdict { return a.inquire(ctx, in) },
		Lost: func() verdict {
			return in.failed(ReasonCallbackPanic, errors.New("the callback's goroutine has ended"))
		},
		Done: func(v verdict) {
			if v.status != zap.StatusOK && v.note == nil && in.about[0] != "" {
				v = v.about(in.about[0], in.about[1])
			}
			in.answer(v)
		},
	}
	in.lane.Submit(&in.task)
}

// openInquiries are those without an answer. The caller holds a.mu, so that none of them belongs to
// the time after a later Start.
func (a *Authenticator) openInquiries() []*executor.Task[verdict] {
	return slices.Concat(a.callbacks.Open(), a.names.Open(), a.hashes.Open())
}

// refuse answers inquiries, because nobody is let in any more. The caller holds no lock.
func (a *Authenticator) refuse(open []*executor.Task[verdict]) {
	for _, task := range open {
		task.Settle(denied(ReasonStopped))
	}
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
