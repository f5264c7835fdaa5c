package zmqauth

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zmqauth/zmqauth/internal/files"
	"github.com/zmqauth/zmqauth/internal/reminder"
)

// source is a file or directory that is followed, as decisions see it: whether what it says can be
// used.
type source struct {
	a    *Authenticator
	what string // "password file" or "directory"
	path string

	// reads is what the follower knows: since when it cannot read the source. The zero time means
	// that it can.
	reads   func() (since time.Time, err error)
	refused atomic.Pointer[refusedContent] // what was read cannot be used; nil: it can

	mu    sync.Mutex // for what has been logged
	said  reminder.Condition
	stale bool
}

// refusedContent is why the content of a source is not taken over.
type refusedContent struct {
	since time.Time
	err   error
}

// refuse notes and logs that what was read cannot be used. It reports whether that is new.
func (s *source) refuse(err error) bool {
	before := s.refused.Load()
	now := &refusedContent{since: time.Now(), err: err}
	if before != nil {
		now.since = before.since
	}
	s.refused.Store(now)
	s.look(time.Now())
	return before == nil || before.err.Error() != err.Error()
}

// accept notes that what was read is in force.
func (s *source) accept() {
	if s.refused.Swap(nil) != nil {
		s.look(time.Now())
	}
}

// failing is since when the source cannot be used, and why. The zero time means that it can.
func (s *source) failing() (since time.Time, err error) {
	if s.reads != nil { // it is nil until the source is followed
		since, err = s.reads()
	}
	if r := s.refused.Load(); r != nil && (since.IsZero() || r.since.Before(since)) {
		return r.since, r.err
	}
	return since, err
}

// isStale tells whether the source could not be used for so long that nobody in it is let in. s may
// be nil.
func (s *source) isStale(limit time.Duration) bool {
	if s == nil || limit == 0 {
		return false
	}
	since, _ := s.failing()
	return !since.IsZero() && time.Since(since) >= limit
}

const (
	// sourceInterval is the time between two looks at the sources.
	sourceInterval = 500 * time.Millisecond
	// sourcePatience is how long a source must be unreadable until that is logged: somebody may be
	// replacing it.
	sourcePatience = 2 * time.Second
)

// watchSources logs the sources that cannot be used, until the Authenticator is closed.
func (a *Authenticator) watchSources() {
	ticker := time.NewTicker(sourceInterval)
	defer ticker.Stop()
	for {
		select {
		case <-a.watcher.Done():
			return
		case now := <-ticker.C:
			for s := range a.policy.Load().sources() {
				s.look(now)
			}
		}
	}
}

// look logs what there is to say of a source.
func (s *source) look(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, limit := s.a, s.a.policy.Load().staleLimit
	since, err := s.failing()
	refused := s.refused.Load() != nil
	switch {
	case since.IsZero():
		if s.said.Over() {
			s.stale = false
			a.say(func(log *slog.Logger) {
				log.Info("zmqauth: a "+s.what+" can be used again", "path", s.path)
			})
		}
	case !refused && now.Sub(since) < sourcePatience, files.IsGone(err):
		// One that is gone lets nobody in, which has been logged.
	case limit > 0 && now.Sub(since) >= limit && !s.stale:
		s.stale = true
		s.said.Due(err.Error(), now, reminder.First)
		a.say(func(log *slog.Logger) {
			log.Error("zmqauth: a "+s.what+" could not be used for too long, and nobody in it gets in",
				"path", s.path, "error", err, "since", since, "limit", limit)
		})
	case s.said.Due(err.Error(), now, reminder.First) && !s.stale:
		a.say(func(log *slog.Logger) {
			log.Error("zmqauth: a "+s.what+" cannot be used, what was in force stays",
				"path", s.path, "error", err, "since", since, "limit", limit)
		})
	}
}

// sources are all that the policy follows.
func (p *policy) sources() func(yield func(*source) bool) {
	return func(yield func(*source) bool) {
		for _, setup := range p.plain {
			if setup.source != nil && !yield(setup.source) {
				return
			}
		}
		for _, setup := range p.curve {
			if setup.source != nil && !yield(setup.source) {
				return
			}
		}
	}
}

// unusable counts the sources that cannot be used at the moment.
func (a *Authenticator) unusable() (count uint64) {
	for s := range a.policy.Load().sources() {
		if since, _ := s.failing(); !since.IsZero() {
			count++
		}
	}
	return count
}
