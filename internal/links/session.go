package links

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/zmqauth/zmqauth/internal/policyfile"
	"github.com/zmqauth/zmqauth/internal/reminder"
	"github.com/zmqauth/zmqauth/sshtunnel"
)

// Login answers what SSH servers ask, as the fields of the same names of sshtunnel.Config do.
type Login struct {
	Password   func() (string, error)
	Passphrase func(keyFile string) (string, error)
	Prompt     ssh.KeyboardInteractiveChallenge
}

// session is the connection of a tunnel to its gateway. It is opened again whenever it is lost, by
// package sshtunnel; until the first login, by session itself.
type session struct {
	config   sshtunnel.Config
	reverses []policyfile.Pair
	log      *slog.Logger
	ctx      context.Context // ends with end
	cancel   context.CancelFunc
	work     sync.WaitGroup
	again    chan struct{} // wakes keep

	mu     sync.Mutex
	tunnel *sshtunnel.Tunnel // nil: there was no login yet
	done   bool              // the reverses have been set up by login
	ended  bool
}

func newSession(config sshtunnel.Config, reverses []policyfile.Pair, log *slog.Logger) *session {
	s := &session{config: config, reverses: reverses, log: log, again: make(chan struct{}, 1)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// The pauses between two attempts double, from firstPause to longPause, or to refusedPause while
// the gateway refuses the user or cannot prove who it is.
const (
	firstPause   = time.Second
	longPause    = 30 * time.Second
	refusedPause = 5 * time.Minute
)

// open logs in.
func (s *session) open(ctx context.Context) (*sshtunnel.Tunnel, error) {
	t, err := sshtunnel.Open(ctx, s.config)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	ended := s.ended
	if !ended {
		s.tunnel = t
	}
	s.mu.Unlock()
	if ended {
		return nil, errors.Join(sshtunnel.ErrClosed, t.Close())
	}
	s.log.Info(MessageLoggedIn, "host", s.config.Host)
	return t, nil
}

// login logs in, and has the gateway listen. An error means that the tunnel cannot be used.
func (s *session) login(ctx context.Context) error {
	t, err := s.open(ctx)
	if err != nil {
		return err
	}
	for _, p := range s.reverses {
		endpoint, err := t.Reverse(ctx, p.Listen.Endpoint(), p.Connect.Endpoint())
		if err != nil {
			return reverseError(p, err)
		}
		s.log.Info(MessageReverse, "listen", endpoint, "connect", p.Connect.String())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = true
	return nil
}

// run keeps the session until end, unless login has begun it.
func (s *session) run() {
	s.mu.Lock()
	done := s.done
	s.mu.Unlock()
	if !done {
		s.work.Go(s.keep)
	}
}

// keep tries to log in until that succeeds, and then has the gateway listen.
func (s *session) keep() {
	var failed reminder.Events
	for tries := 0; ; tries++ {
		_, err := s.open(s.ctx)
		if err == nil {
			break
		}
		if s.ctx.Err() != nil {
			return
		}
		if count, due := failed.Due(time.Now()); due {
			s.log.Warn(MessageNoLogin, "error", plain{err}, "times", count)
		} else {
			s.log.Debug(MessageNoLogin, "error", plain{err})
		}
		if !s.pause(tries, err) {
			return
		}
	}
	for _, p := range s.reverses {
		s.work.Go(func() { s.keepReverse(p) })
	}
}

// keepReverse asks the gateway to listen until it does. After that, package sshtunnel restores it
// whenever the connection is lost.
func (s *session) keepReverse(p policyfile.Pair) {
	var failed reminder.Events
	for tries := 0; ; tries++ {
		ctx, cancel := context.WithTimeout(s.ctx, streamTime)
		endpoint, err := s.tunnel.Reverse(ctx, p.Listen.Endpoint(), p.Connect.Endpoint())
		cancel()
		if s.ctx.Err() != nil {
			return
		}
		if err == nil {
			s.log.Info(MessageReverse, "listen", endpoint, "connect", p.Connect.String())
			return
		}
		if count, due := failed.Due(time.Now()); due {
			s.log.Warn(MessageNoReverse, "error", reverseError(p, err), "times", count)
		}
		if !s.pause(tries, err) {
			return
		}
	}
}

// pause waits before the next attempt, or until retry is called. It returns false after end.
func (s *session) pause(tries int, err error) bool {
	longest := longPause
	if isRefusal(err) {
		longest = refusedPause
	}
	d := min(firstPause<<min(tries, 20), longest)
	timer := time.NewTimer(d/2 + rand.N(d/2)) // tunnels to one gateway do not all try at once
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.again:
	case <-s.ctx.Done():
		return false
	}
	return true
}

// isRefusal tells whether another attempt is of little use before somebody changes something.
func isRefusal(err error) bool {
	_, auth := errors.AsType[*sshtunnel.AuthError](err)
	_, host := errors.AsType[*sshtunnel.HostKeyError](err)
	return auth || host
}

// retry ends the pause before the next attempt.
func (s *session) retry() {
	select {
	case s.again <- struct{}{}:
	default:
	}
}

// current returns the tunnel, or why nothing goes through it now.
func (s *session) current() (*sshtunnel.Tunnel, error) {
	s.mu.Lock()
	t := s.tunnel
	s.mu.Unlock()
	if t == nil {
		return nil, errNoLoginYet
	}
	return t, t.Err()
}

// end lets the connections through the tunnel end until ctx does, and then cuts them.
func (s *session) end(ctx context.Context) {
	s.mu.Lock()
	t := s.tunnel
	s.ended = true
	s.mu.Unlock()
	s.cancel()
	s.work.Wait()
	if t == nil {
		return
	}
	if err := t.Shutdown(ctx); err != nil && ctx.Err() == nil {
		s.log.Warn(MessageEnded, "error", plain{err})
	}
}
