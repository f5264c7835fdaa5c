package zmqauth

import (
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/zmqauth/zmqauth/internal/observe"
	"github.com/zmqauth/zmqauth/internal/passwd"
	"github.com/zmqauth/zmqauth/internal/zap"
)

// Decision is one answer, for an audit trail.
type Decision struct {
	Domain    string // as the server's socket has it
	Mechanism string // NULL, PLAIN, CURVE, GSSAPI, or what the request says

	// Address is the client's as libzmq reports it: an IP address without a port, or
	// localhost:uid:gid:pid for IPC.
	Address string

	UserID string // of an acceptance, else empty

	// Status is 200 for accepted, 300 for try again later, 400 for refused, 500 where a callback
	// failed (RFC 27, "Message Format").
	Status int

	Reason string // one of the Reason constants

	// Duration is the time from the request's arrival until the decision. That of a GSSAPI refusal
	// includes its delay.
	Duration time.Duration
}

// The reasons of decisions: stable codes for programs and people.
const (
	ReasonAccepted         = "accepted"
	ReasonMalformed        = "malformed"         // the request breaks RFC 27
	ReasonStopped          = "stopped"           // the Authenticator does not serve
	ReasonAddressDenied    = "address-denied"    // by the general rules or the domain's
	ReasonUnknownMechanism = "unknown-mechanism" // none of NULL, PLAIN, CURVE, GSSAPI
	ReasonNotConfigured    = "not-configured"    // nothing is set up for the mechanism in this domain
	ReasonUnknownUser      = "unknown-user"
	ReasonWrongPassword    = "wrong-password"
	ReasonUnknownKey       = "unknown-key"
	ReasonKeyExpired       = "key-expired"
	ReasonKeyNotYetValid   = "key-not-yet-valid"
	ReasonUnknownPrincipal = "unknown-principal"

	// ReasonStale says that the domain's password file or directory of certificates could not be used
	// for longer than Config.StaleLimit.
	ReasonStale = "stale"

	ReasonUserExpired          = "user-expired" // of Credentials, as those below
	ReasonUserNotYetValid      = "user-not-yet-valid"
	ReasonPrincipalExpired     = "principal-expired"
	ReasonPrincipalNotYetValid = "principal-not-yet-valid"

	// ReasonPending says that Config.UnknownKey has an unknown key wait.
	ReasonPending = "pending-key"

	// ReasonSuspended says that the domain or the client's Entry is suspended.
	ReasonSuspended = "suspended"

	ReasonCallbackDenied  = "callback-denied"    // ErrDenied, or neither an identity nor an error
	ReasonTryAgain        = "callback-try-again" // ErrTemporary
	ReasonCallbackTimeout = "callback-timeout"
	ReasonCallbackError   = "callback-error"
	ReasonCallbackPanic   = "callback-panic"
	ReasonOverloaded      = "overloaded" // MaxPending is reached, or no callback became free in time
	ReasonCanceled        = "canceled"   // the context of HandleZAPMessage ended
	ReasonInternal        = "internal"   // a fault of zmqauth's own
)

// reasons are all of them. Those that are not here count as the first one.
var reasons = []string{ReasonInternal, ReasonAccepted, ReasonMalformed, ReasonStopped,
	ReasonAddressDenied, ReasonUnknownMechanism, ReasonNotConfigured, ReasonUnknownUser,
	ReasonWrongPassword, ReasonUnknownKey, ReasonKeyExpired, ReasonKeyNotYetValid,
	ReasonUnknownPrincipal, ReasonStale, ReasonUserExpired, ReasonUserNotYetValid,
	ReasonPrincipalExpired, ReasonPrincipalNotYetValid, ReasonPending, ReasonSuspended,
	ReasonCallbackDenied, ReasonTryAgain, ReasonCallbackTimeout, ReasonCallbackError,
	ReasonCallbackPanic, ReasonOverloaded, ReasonCanceled}

// verdict is a decision before it is told to anybody.
type verdict struct {
	status   int
	reason   string
	userID   string
	metadata []byte // encoded, of an acceptance
	note     *note  // for the log, nil: nothing

	// What an acceptance rests on, for sessions.
	policy *policy                   // in force when it was made
	user   *passwd.User[*credential] // of PLAIN, from memory; nil: none
}

// note is what a log line says in addition. It never has a secret.
type note struct {
	key, value string // about who was refused; "": nothing
	err        error  // what a callback returned, or the panic
	stack      []byte // of a panic
}

func denied(reason string) verdict {
	return verdict{status: zap.StatusDenied, reason: reason}
}

func temporary(reason string) verdict {
	return verdict{status: zap.StatusTemporary, reason: reason}
}

func (v verdict) about(key, value string) verdict {
	v.note = &note{key: key, value: value}
	return v
}

// Stats are counters since New. Requests is the sum of Allowed, Denied, Temporary, Errors and
// Pending, give or take what is just being decided.
type Stats struct {
	Requests      uint64 // that were received or given to HandleZAPMessage
	Allowed       uint64 // status 200
	Denied        uint64 // status 400, and requests too short to be answered
	Temporary     uint64 // status 300
	Errors        uint64 // status 500
	Pending       uint64 // unanswered: a callback or hash runs or waits, or a refusal is held back
	Unusable      uint64 // files and directories that are followed and cannot be used at the moment
	BrokenEntries uint64 // of directories and files, left out and logged
	TurnedAway    uint64 // connections that Limits have ended

	// Unreported counts what was dropped because a backlog was full: that of Config.OnDecision, or
	// that of the log. A decision that both have missed counts twice. Log lines that are about no
	// decision count, too.
	Unreported uint64
}

type counters struct {
	requests, allowed, denied, temporary, errors, broken, unreported atomic.Uint64
	held                                                             atomic.Int64 // refusals
}

// Stats returns the counters.
func (a *Authenticator) Stats() Stats {
	stats := Stats{
		Requests:      a.counters.requests.Load(),
		Allowed:       a.counters.allowed.Load(),
		Denied:        a.counters.denied.Load(),
		Temporary:     a.counters.temporary.Load(),
		Errors:        a.counters.errors.Load(),
		Pending:       a.pending(),
		Unusable:      a.policy.Load().unusable(),
		BrokenEntries: a.counters.broken.Load(),
		Unreported:    a.counters.unreported.Load(),
	}
	if table := a.guard.table.Load(); table != nil {
		stats.TurnedAway = table.Refused()
	}
	return stats
}

// Observe is for package admin: what there is to show besides Stats and Sessions.
func (a *Authenticator) Observe() observe.State {
	p, s := a.policy.Load(), observe.State{Decisions: &a.tally}
	for name, l := range map[string]*lane{
		"callbacks": a.callbacks, "user-ids": a.names, "hashes": a.hashes} {
		running, waiting := l.Load()
		s.Queues = append(s.Queues, observe.Queue{Name: name, Running: running, Waiting: waiting})
	}
	s.Queues = append(s.Queues, observe.Queue{Name: "held-refusals",
		Waiting: int(a.counters.held.Load())})
	for domain, setup := range p.plain {
		s.Follow(domain, setup.source)
	}
	for domain, setup := range p.curve {
		s.Follow(domain, setup.source)
	}
	if table := a.guard.table.Load(); table != nil {
		s.Sessions = table.Counts()
	}
	return s
}

// isKnown tells whether a domain is configured, or has guarded sockets.
func (a *Authenticator) isKnown(domain []byte) bool {
	p, table := a.policy.Load(), a.guard.table.Load()
	return p.plain[string(domain)] != nil || p.curve[string(domain)] != nil ||
		p.gssapi[string(domain)] != nil || p.addresses.HasDomain(domain) ||
		table != nil && table.Guards(string(domain))
}

// unusable counts the sources that cannot be used at the moment.
func (p *policy) unusable() (count uint64) {
	for s := range p.sources() {
		if since, _ := s.Failing(); !since.IsZero() {
			count++
		}
	}
	return count
}

// pending counts the requests that are not answered yet.
func (a *Authenticator) pending() uint64 {
	running := a.callbacks.Pending() + a.hashes.Pending() + a.names.Pending()
	return uint64(running) + uint64(a.counters.held.Load())
}

func (c *counters) count(status int) {
	switch status {
	case zap.StatusOK:
		c.allowed.Add(1)
	case zap.StatusTemporary:
		c.temporary.Add(1)
	case zap.StatusError:
		c.errors.Add(1)
	default:
		c.denied.Add(1)
	}
}

// subject is what a report says about the request.
type subject struct {
	domain, address, mechanism []byte
	arrived                    time.Time
}

func subjectOf(r *zap.Request, arrived time.Time) subject {
	return subject{r.Domain, r.Address, r.Mechanism, arrived}
}

// tell reports a verdict.
func (a *Authenticator) tell(s subject, v verdict) {
	a.reports.add(report{verdict: v, decision: Decision{
		Domain:    string(s.domain),
		Mechanism: string(s.mechanism),
		Address:   string(s.address),
		UserID:    v.userID,
		Status:    v.status,
		Reason:    v.reason,
		Duration:  time.Since(s.arrived),
	}})
}

// drop counts a message that cannot be answered.
func (a *Authenticator) drop() {
	a.counters.count(zap.StatusDenied)
	a.say(func(log *slog.Logger) {
		log.Info("zmqauth: dropped a message that is too short for a ZAP request")
	})
}
