package admin

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/enrol"
	"github.com/zmqauth/zmqauth/fleet"
	"github.com/zmqauth/zmqauth/front"
)

// Program is what is shown of a program besides its Authenticator. The zero value is good for use:
// what is not there is not shown.
type Program struct {
	Name    string // as people know it: "zmqauth proxy"
	Version string

	// Ready tells why the program does not serve yet, or serves no more. It must not block. nil: it
	// serves while the Authenticator does.
	Ready func() error

	// Frontends names the sockets that a session may be at. It must not call methods of the
	// Authenticator. nil: sockets have no names.
	Frontends func(zmqauth.Session) []string

	// Fronts returns what the Fronts before the sockets have counted, by names that the configuration
	// gives. It must not block. nil: there are none.
	Fronts func() map[string]front.Stats

	// Followed is what the program follows besides the files of the Authenticator, for example a
	// fleet's store. It must not block. nil: nothing.
	Followed func() []Followed

	Fleet    *fleet.Member  // the program's membership in a fleet; nil: there is none
	Reloads  *Reloads       // of the program's configuration; nil: there are none
	Refusals *Refusals      // those of late; nil: they are not kept
	Level    *slog.LevelVar // of the program's log, to be changed; nil: it stays as it is

	// Desk has clients with unknown keys wait. CertificatesOf tells in which directory the
	// certificates of a domain's clients are; empty: in none. It must not block. nil: no client waits.
	Desk           *enrol.Desk
	CertificatesOf func(domain string) string

	// Reload reads the program's configuration again, and tells what is wrong with it. nil: it cannot.
	Reload func(context.Context) error
}

// Followed is something that is followed, in JSON.
type Followed struct {
	Kind    string    `json:"kind"`             // what it is, for people
	Path    string    `json:"path"`             // or another name that says where it is
	Domain  string    `json:"domain,omitempty"` // that it is for; empty: for all
	Changed time.Time `json:"changed,omitzero"` // when a change was put in force last
	Since   time.Time `json:"since,omitzero"`   // when it could be used no more; zero: it can be
	Error   string    `json:"error,omitempty"`  // why it cannot be used
}

// age is how old what is in force may be: zero while it can be used.
func (f Followed) age(now time.Time) time.Duration {
	if f.Since.IsZero() {
		return 0
	}
	return max(0, now.Sub(f.Since))
}

// The results of a reload.
const (
	ReloadOK     = "ok"
	ReloadPartly = "partly" // the policy is in force, but not all that it has was started
	ReloadFailed = "failed" // everything stays as it was
)

// Reloads counts reloads of a configuration. The zero value has seen none. Any goroutine may use
// it.
type Reloads struct {
	mu   sync.Mutex
	seen ReloadStatus
}

// ReloadStatus is what became of the reloads, in JSON.
type ReloadStatus struct {
	OK     uint64    `json:"ok"`
	Partly uint64    `json:"partly"`
	Failed uint64    `json:"failed"`
	Last   string    `json:"last,omitempty"`  // the result of the last one; empty: there was none
	At     time.Time `json:"at,omitzero"`     // of the last one
	Good   time.Time `json:"good,omitzero"`   // when a configuration was put in force last
	Error  string    `json:"error,omitempty"` // of the last one
}

// Began notes that the first configuration is in force.
func (r *Reloads) Began() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen.Good = time.Now()
}

// Done counts a reload: one of ReloadOK, ReloadPartly and ReloadFailed, and its error.
func (r *Reloads) Done(result string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &r.seen
	s.Last, s.At, s.Error = result, time.Now(), ""
	if err != nil {
		s.Error = err.Error()
	}
	switch result {
	case ReloadOK:
		s.OK++
	case ReloadPartly:
		s.Partly++
	default:
		s.Failed++
		return
	}
	s.Good = s.At
}

// Warning is what a status line says about the last reload: nothing, unless it has failed.
func (r *Reloads) Warning() string {
	switch r.Status().Last {
	case "", ReloadOK:
		return ""
	case ReloadPartly:
		return "; the last reload is in force in part"
	}
	return "; the last reload failed"
}

// Status is a copy of what was counted.
func (r *Reloads) Status() ReloadStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen
}

// Status is what a program does, in JSON.
type Status struct {
	Program string    `json:"program,omitempty"`
	Version string    `json:"version,omitempty"`
	Now     time.Time `json:"now"`
	Started time.Time `json:"started"` // of this process, or when it was first asked
	Ready   bool      `json:"ready"`
	Why     string    `json:"why,omitempty"`   // it is not ready
	Level   string    `json:"level,omitempty"` // of the log

	Requests   uint64 `json:"requests"`
	Pending    uint64 `json:"pending"`     // unanswered
	TurnedAway uint64 `json:"turned_away"` // connections that limits have ended
	Broken     uint64 `json:"broken"`      // entries of files and directories, left out
	Unreported uint64 `json:"unreported"`  // lines that a backlog had no room for

	Sessions  int           `json:"sessions"`
	SessionOf []Sessions    `json:"sessions_of"` // the domains that have any
	Decisions []Decisions   `json:"decisions"`   // since the start
	Queues    []Queue       `json:"queues"`
	Followed  []Followed    `json:"followed"`
	Reloads   *ReloadStatus `json:"reloads,omitempty"`
	Fleet     *Fleet        `json:"fleet,omitempty"`
}

// Sessions is how many sessions a domain has.
type Sessions struct {
	Domain string `json:"domain"`
	Count  int    `json:"count"`
}

// Decisions is how many decisions there were of one kind.
type Decisions struct {
	Domain    string `json:"domain"` // "other": it is not configured
	Mechanism string `json:"mechanism"`
	Status    int    `json:"status"` // as that of zmqauth.Decision
	Reason    string `json:"reason"`
	Count     uint64 `json:"count"`
}

// Queue is who waits for a decision.
type Queue struct {
	Queue   string `json:"queue"`   // callbacks, user-ids, hashes or held-refusals
	Running int    `json:"running"` // callbacks or hashes that run
	Waiting int    `json:"waiting"` // requests that wait for one of those to end
}

// begun is about when this process began.
var begun = time.Now()

// status makes the Status of a program.
func (p *Program) status(auth *zmqauth.Authenticator) Status {
	stats, state := auth.Stats(), auth.Observe()
	s := Status{Program: p.Name, Version: p.Version, Now: time.Now().UTC(), Started: begun.UTC(),
		Requests: stats.Requests, Pending: stats.Pending, TurnedAway: stats.TurnedAway,
		Broken: stats.BrokenEntries, Unreported: stats.Unreported,
		SessionOf: []Sessions{}, Decisions: []Decisions{}, Queues: []Queue{},
		Followed: p.followed(auth), Fleet: p.membership()}
	if _, err := p.ready(auth); err != nil {
		s.Why = err.Error()
	} else {
		s.Ready = true
	}
	if p.Level != nil {
		s.Level = p.Level.Level().String()
	}
	for domain, count := range state.Sessions {
		s.Sessions += count
		s.SessionOf = append(s.SessionOf, Sessions{domain, count})
	}
	slices.SortFunc(s.SessionOf, func(a, b Sessions) int { return cmp.Compare(a.Domain, b.Domain) })
	for _, c := range state.Decisions.Counts() {
		s.Decisions = append(s.Decisions, Decisions(c))
	}
	for _, q := range state.Queues {
		s.Queues = append(s.Queues, Queue{q.Name, q.Running, q.Waiting})
	}
	slices.SortFunc(s.Queues, func(a, b Queue) int { return cmp.Compare(a.Queue, b.Queue) })
	if p.Reloads != nil {
		r := p.Reloads.Status()
		s.Reloads = &r
	}
	return s
}

// ready tells why a program does not serve. warning is why it soon will not.
func (p *Program) ready(auth *zmqauth.Authenticator) (warning string, err error) {
	if !auth.IsAlive() {
		return "", errNotServing
	}
	if p.Ready != nil {
		if err := p.Ready(); err != nil {
			return "", err
		}
	}
	return p.membership().ready()
}

// followed is all that is followed, by domain and kind.
func (p *Program) followed(auth *zmqauth.Authenticator) []Followed {
	all := []Followed{}
	for _, f := range auth.Observe().Followed {
		shown := Followed{Kind: f.Kind, Path: f.Path, Domain: f.Domain, Changed: f.Taken.UTC()}
		if !f.Since.IsZero() {
			shown.Since = f.Since.UTC()
		}
		if f.Err != nil {
			shown.Error = f.Err.Error()
		}
		all = append(all, shown)
	}
	if p.Followed != nil {
		all = append(all, p.Followed()...)
	}
	slices.SortStableFunc(all, func(a, b Followed) int {
		return cmp.Or(cmp.Compare(a.Domain, b.Domain), cmp.Compare(a.Kind, b.Kind))
	})
	return all
}
