package follow

import (
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zmqauth/zmqauth/internal/files"
	"github.com/zmqauth/zmqauth/internal/reminder"
)

// Source is what is followed, as those see it who rely on it: whether it can be used. Make one with
// [Watcher.NewSource]. Any goroutine may call its methods.
type Source struct {
	say   func(line func(*slog.Logger))
	limit func() time.Duration
	what  string
	path  string

	// reads is what the follower knows: since when it cannot read the source. nil: it is not followed
	// yet.
	reads   atomic.Pointer[func() (since time.Time, err error)]
	refused atomic.Pointer[failure] // what was read cannot be used; nil: it can
	taken   atomic.Int64            // when what was read was put in force last, in nanoseconds

	mu    sync.Mutex // for what has been logged
	said  reminder.Condition
	stale bool
}

// NewSource makes a Source for a File or Directory that will be followed. what says in the log what
// it is. limit is how long it stays in force when it cannot be used any more; 0: for ever. limit
// must not block.
func (w *Watcher) NewSource(what, path string, limit func() time.Duration) *Source {
	s := &Source{say: w.say, limit: limit, what: what, path: path}
	s.Took()
	return s
}

// Took notes that a change was put in force.
func (s *Source) Took() { s.taken.Store(time.Now().UnixNano()) }

// Describe says what the source is, where, and when a change was put in force last.
func (s *Source) Describe() (what, path string, taken time.Time) {
	return s.what, s.path, time.Unix(0, s.taken.Load())
}

// Follows says what follows the source: the Failing of a File or a Directory.
func (s *Source) Follows(failing func() (since time.Time, err error)) { s.reads.Store(&failing) }

// Refuse notes that what was read cannot be used, and logs it if the source is followed. It reports
// whether that is new.
func (s *Source) Refuse(err error) bool {
	before := s.refused.Load()
	now := &failure{since: time.Now(), err: err}
	if before != nil {
		now.since = before.since
	}
	s.refused.Store(now)
	if s.reads.Load() != nil { // otherwise the caller of what follows it gets the error
		s.look(time.Now())
	}
	return before == nil || before.err.Error() != err.Error()
}

// Accept notes that what was read is in force. That ends what was logged, also where the source
// could not be read for a moment in between.
func (s *Source) Accept() {
	s.refused.Store(nil)
	s.Took()
	s.look(time.Now())
}

// Failing is since when the source cannot be used, and why. The zero time means that it can.
func (s *Source) Failing() (since time.Time, err error) {
	if reads := s.reads.Load(); reads != nil {
		if since, err = (*reads)(); err != nil {
			err = fmt.Errorf("zmqauth: %s: %w", s.path, files.Bare(err))
		}
	}
	if r := s.refused.Load(); r != nil && (since.IsZero() || r.since.Before(since)) {
		return r.since, r.err
	}
	return since, err
}

// IsStale tells whether the source could not be used for so long that it is out of force. s may be
// nil.
func (s *Source) IsStale(limit time.Duration) bool {
	if s == nil || limit == 0 {
		return false
	}
	since, _ := s.Failing()
	return !since.IsZero() && time.Since(since) >= limit
}

const (
	// sourceInterval is the time between two looks at the sources.
	sourceInterval = 500 * time.Millisecond
	// sourcePatience is how long a source must be unreadable until that is logged: somebody may be
	// replacing it.
	sourcePatience = 2 * time.Second
)

// WatchSources logs which sources cannot be used, until the Watcher is closed. sources are those in
// force. Only the first call of a Watcher does something.
func (w *Watcher) WatchSources(sources func() iter.Seq[*Source]) {
	w.watchSources.Do(func() { go w.lookAt(sources) })
}

func (w *Watcher) lookAt(sources func() iter.Seq[*Source]) {
	ticker := time.NewTicker(sourceInterval)
	defer ticker.Stop()
	for {
		select {
		case <-w.done:
			return
		case now := <-ticker.C:
			for s := range sources() {
				s.look(now)
			}
		}
	}
}

// look logs what there is to say of a source.
func (s *Source) look(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	since, err := s.Failing()
	limit, refused := s.limit(), s.refused.Load() != nil
	switch {
	case since.IsZero():
		if s.said.Over() {
			s.stale = false
			s.say(func(log *slog.Logger) {
				log.Info("zmqauth: a "+s.what+" can be used again", "path", s.path)
			})
		}
	case !refused && now.Sub(since) < sourcePatience, files.IsGone(err):
		// One that is gone is out of force, which has been logged.
	case limit > 0 && now.Sub(since) >= limit && !s.stale:
		s.stale = true
		s.said.Due(err.Error(), now, reminder.First)
		s.say(func(log *slog.Logger) {
			log.Error("zmqauth: a "+s.what+" could not be used for too long, and nobody in it gets in",
				"path", s.path, "error", err, "since", since, "limit", limit)
		})
	case s.said.Due(err.Error(), now, reminder.First) && !s.stale:
		s.say(func(log *slog.Logger) {
			log.Error("zmqauth: a "+s.what+" cannot be used, what was in force stays",
				"path", s.path, "error", err, "since", since, "limit", limit)
		})
	}
}
