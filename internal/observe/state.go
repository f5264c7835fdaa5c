package observe

import (
	"time"

	"github.com/zmqauth/zmqauth/internal/follow"
)

// State is what an Authenticator shows at a moment.
type State struct {
	Decisions *Tally // goes on counting
	Queues    []Queue
	Followed  []Followed
	Sessions  map[string]int // of each domain that has any
}

// Queue is who waits for a decision, and why.
type Queue struct {
	Name    string // callbacks, user-ids, hashes, or held-refusals
	Running int    // that run now
	Waiting int    // that wait for one of those to end
}

// Followed is a file or directory that is followed for a domain.
type Followed struct {
	Kind   string // what it is, for people
	Path   string
	Domain string
	Taken  time.Time // when a change was put in force last
	Since  time.Time // when it has become impossible to use; zero: it can be used
	Err    error     // why it cannot be used; nil: it can
}

// Follow adds what a domain's setup follows; nil: nothing.
func (s *State) Follow(domain string, source *follow.Source) {
	if source == nil {
		return
	}
	f := Followed{Domain: domain}
	f.Kind, f.Path, f.Taken = source.Describe()
	f.Since, f.Err = source.Failing()
	s.Followed = append(s.Followed, f)
}
