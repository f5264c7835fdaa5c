package sshtunnel

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"
)

// secrets asks the program's callbacks and remembers what they said, for as long as the tunnel
// lives. A question that is being answered is not asked a second time: who waits for it later gets
// the same answer.
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

// ask returns what is remembered for the purpose, or what the callback says. It does not wait
// longer than ctx; the callback goes on then, and what it says is there for the next one who asks.
func (s *secrets) ask(ctx context.Context, purpose string, callback func() ([]string, error)) ([]string, error) {
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

// call runs a callback; one that fails is asked again next time.
func (s *secrets) call(a *answer, purpose string, callback func() ([]string, error)) {
	defer close(a.done)
	defer func() {
		if panicked := recover(); panicked != nil {
			a.err = fmt.Errorf("the callback has panicked: %v", panicked)
			s.logger.Error("sshtunnel: a callback of Config has panicked", "panic", panicked, "stack", string(debug.Stack()))
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

// forgetFor drops the answers to a server that has refused them.
func (s *secrets) forgetFor(t *target) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for purpose := range s.known {
		if strings.HasPrefix(purpose, loginPurpose(t)) {
			delete(s.known, purpose)
		}
	}
}

// forgetAll drops everything.
func (s *secrets) forgetAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.known)
}

// loginPurpose begins the purposes of all that is sent to a server: to this one alone, as two on
// the way may have the same name, such as localhost.
func loginPurpose(t *target) string { return fmt.Sprintf("login\x00%p\x00", t) }
