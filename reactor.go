package zmqauth

import (
	"errors"
	"fmt"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/reactor"
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
