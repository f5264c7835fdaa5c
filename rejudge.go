package zmqauth

import (
	"log/slog"
	"maps"
	"time"

	"github.com/zmqauth/zmqauth/internal/follow"
	"github.com/zmqauth/zmqauth/internal/passwd"
	"github.com/zmqauth/zmqauth/internal/session"
	"github.com/zmqauth/zmqauth/internal/zap"
)

// proof is what a session rests on, besides its names.
type proof struct {
	key      PublicKey
	name     string                    // of the user, or the principal
	address  string                    // as ZAP has it
	user     *passwd.User[*credential] // whose password was right; nil: no table's
	callback any                       // the setup whose callback let it in; nil: none
}

// rejudgeInterval is the time between two looks whether the rules have changed.
const rejudgeInterval = 250 * time.Millisecond

// rejudge ends the sessions that would not be let in now, whenever the rules have changed.
func (a *Authenticator) rejudge() {
	table := a.guard.table.Load()
	defer table.Close()
	ticker := time.NewTicker(rejudgeInterval)
	defer ticker.Stop()
	var judged rules
	var next time.Time
	for {
		select {
		case <-a.watcher.Done():
			a.endSessions()
			return
		case now := <-ticker.C:
			state := a.policy.Load().rules()
			due := !next.IsZero() && !now.Before(next)
			if state.equal(judged) && !due {
				continue
			}
			judged = state
			count, expires := table.Rejudge()
			next = expires
			if count > 0 {
				a.say(func(log *slog.Logger) {
					log.Info("zmqauth: sessions have ended, their clients would be refused now",
						"sessions", count)
				})
			}
		}
	}
}

// rules tell whether what is let in may have changed.
type rules struct {
	number, changes uint64
	stale           map[*follow.Source]bool
}

func (r rules) equal(other rules) bool {
	return r.number == other.number && r.changes == other.changes && maps.Equal(r.stale, other.stale)
}

func (p *policy) rules() rules {
	r := rules{number: p.number}
	for _, s := range p.plain {
		r.changes += s.credentials.version()
	}
	for _, s := range p.curve {
		r.changes += s.credentials.version()
	}
	for _, s := range p.gssapi {
		r.changes += s.credentials.version()
	}
	for s := range p.sources() {
		if s.IsStale(p.staleLimit) {
			if r.stale == nil {
				r.stale = make(map[*follow.Source]bool)
			}
			r.stale[s] = true
		}
	}
	return r
}

// endSessions ends all sessions, if Config says so.
func (a *Authenticator) endSessions() {
	if table := a.guard.table.Load(); a.cfg.EndSessions && table != nil {
		table.CutAll()
	}
}

// newSession is the session that an acceptance opens.
func (a *Authenticator) newSession(id uint64, r *zap.Request, v verdict, since time.Time,
) *session.Session {
	p := &proof{address: string(r.Address), user: v.user}
	s := &session.Session{ID: id, Domain: string(r.Domain),
		Mechanism: string(r.Mechanism), UserID: v.userID, Since: since, Proof: p}
	switch s.Mechanism {
	case zap.MechanismPlain:
		p.name = string(r.Credentials[0])
		if setup := setupFor(v.policy.plain, r.Domain); setup != nil && setup.callback != nil {
			p.callback = setup
		}
	case zap.MechanismCurve:
		p.key = PublicKey(r.Credentials[0])
		if setup := setupFor(v.policy.curve, r.Domain); setup != nil && setup.callback != nil {
			p.callback = setup
		}
	case zap.MechanismGSSAPI:
		p.name = string(r.Credentials[0])
		if setup := setupFor(v.policy.gssapi, r.Domain); setup != nil && setup.callback != nil {
			p.callback = setup
		}
	}
	s.Expires, _ = p.judge(a.policy.Load(), *s)
	return s
}

// judgeSession tells whether the client of a session would be let in now, and until when.
func (a *Authenticator) judgeSession(s session.Session) (expires time.Time, ok bool) {
	if a.cfg.EndSessions && a.refuses() {
		return expires, false // one that was under way at a stop
	}
	return s.Proof.(*proof).judge(a.policy.Load(), s)
}

func (a *Authenticator) refuses() bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.state.refuses()
}

// judge is judgeSession for a policy.
func (by *proof) judge(p *policy, s session.Session) (expires time.Time, ok bool) {
	domain := []byte(s.Domain)
	if !p.addresses.Pass(domain, []byte(by.address)) {
		return expires, false
	}
	switch s.Mechanism {
	case zap.MechanismNull:
		return expires, true
	case zap.MechanismPlain:
		return by.judgePlain(p, setupFor(p.plain, domain))
	case zap.MechanismCurve:
		return by.judgeCurve(p, setupFor(p.curve, domain))
	case zap.MechanismGSSAPI:
		return by.judgeGSSAPI(setupFor(p.gssapi, domain))
	}
	return expires, false
}

func (by *proof) judgePlain(p *policy, setup *plainSetup) (expires time.Time, ok bool) {
	switch {
	case setup == nil:
		return expires, false
	case setup.callback != nil || by.callback != nil:
		return expires, by.callback == any(setup)
	}
	user := setup.credentials.set().users.Get(by.name)
	if setup.source.IsStale(p.staleLimit) || !by.user.SamePassword(user) {
		return expires, false
	}
	return user.Value.validUntil(time.Now())
}

func (by *proof) judgeCurve(p *policy, setup *curveSetup) (expires time.Time, ok bool) {
	switch {
	case setup == nil:
		return expires, false
	case setup.callback != nil || by.callback != nil:
		return expires, by.callback == any(setup)
	}
	known, ok := setup.find(by.key)
	if !ok || setup.source.IsStale(p.staleLimit) {
		return expires, false
	}
	return known.validUntil(time.Now())
}

func (by *proof) judgeGSSAPI(setup *gssapiSetup) (expires time.Time, ok bool) {
	switch {
	case setup == nil || setup.any:
		return expires, true
	case setup.callback != nil || by.callback != nil:
		return expires, by.callback == any(setup)
	case setup.credentials == nil:
		return expires, setup.principals.Has(by.name)
	}
	known, ok := setup.credentials.principal(by.name)
	if !ok {
		return expires, false
	}
	return known.validUntil(time.Now())
}
