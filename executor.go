package zmqauth

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/zmqauth/zmqauth/internal/executor"
	"github.com/zmqauth/zmqauth/internal/zap"
)

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
