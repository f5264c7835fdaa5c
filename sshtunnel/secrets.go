package sshtunnel

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"
)

// secrets calls the program's callbacks and remembers their answers until the tunnel is closed. It
// does not ask a question twice at a time: further callers wait for the same answer.
type secrets struct {
	logger *slog.Logger
	mu     sync.Mutex
	known  map[string]*answer
}

type answer struct {
	done  chan struct{} // closed when values and err are set
	value []string
	err   error
}

func newSecrets(logger *slog.Logger) *secrets {
	return &secrets{logger: logger, known: map[string]*answer{}}
}

// ask returns the remembered answer for the purpose, or calls the callback. It returns when ctx
// ends. The callback then goes on, and the next caller gets its answer.
func (s *secrets) ask(
	ctx context.Context, purpose string, callback func() ([]string, error),
) ([]string, error) {
	s.mu.Lock()
	a := s.known[purpose]
	if a == nil {
		a = &answer{done: make(chan struct{})}
		s.known[purpose] = a
		go s.call(a, purpose, callback)
	}
	s.mu.Unlock()
	select {
	case <-a.done:
		return a.value, a.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// call runs a callback. If it fails, it is called again next time.
func (s *secrets) call(a *answer, purpose string, callback func() ([]string, error)) {
	defer close(a.done)
	defer func() {
		if value := recover(); value != nil {
			a.err = fmt.Errorf("the callback has panicked: %v", value)
			s.logger.Error("sshtunnel: a callback of Config has panicked",
				"panic", value, "stack", string(debug.Stack()))
		}
		if a.err != nil {
			s.forget(purpose)
		}
	}()
	a.value, a.err = callback()
}

// forget drops an answer that was of no use.
func (s *secrets) forget(purpose string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, purpose)
}

// forgetFor drops the answers that a server has refused.
func (s *secrets) forgetFor(t *target) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for purpose := range s.known {
		if strings.HasPrefix(purpose, loginPurpose(t)) {
			delete(s.known, purpose)
		}
	}
}

// forgetAll drops all answers.
func (s *secrets) forgetAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.known)
}

// loginPurpose returns the prefix of the purposes for one server. It contains the target's pointer,
// because two servers on the way may have the same name, such as localhost.
func loginPurpose(t *target) string { return fmt.Sprintf("login\x00%p\x00", t) }
