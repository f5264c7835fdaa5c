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

// proof is what a session rests on, besides its names. It is comparable: see session.Session.
type proof struct {
	key      PublicKey
	name     string                    // of the user, or the principal
	address  string                    // as ZAP has it
	dialled  string                    // by a front; empty: there is none
	user     *passwd.User[*credential] // whose password was right; nil: no table's
	callback any                       // the setup whose callback let it in; nil: none
}

// The time between two looks whether the rules have changed. It grows where to look, or to judge
// the sessions, takes more than a twentieth of it.
const (
	rejudgeInterval    = 20 * time.Millisecond
	maxRejudgeInterval = 250 * time.Millisecond
)

// rejudge ends the sessions that would not be let in now, whenever the rules have changed.
func (a *Authenticator) rejudge() {
	table := a.guard.table.Load()
	defer table.Close()
	timer := time.NewTimer(rejudgeInterval)
	defer timer.Stop()
	before := newPolicy().rules()
	for {
		select {
		case <-a.watcher.Done():
			a.endSessions()
			return
		case <-timer.C:
			clock := time.Now()
			now := a.policy.Load().rules()
			if table.IsDue(clock) || !now.equal(before) {
				a.tellEnded(table.Rejudge(rejudgment(before, now)))
				before = now
			}
			timer.Reset(min(max(rejudgeInterval, 20*time.Since(clock)), maxRejudgeInterval))
		}
	}
}

func (a *Authenticator) tellEnded(count int) {
	if count > 0 {
		a.say(func(log *slog.Logger) {
			log.Info("zmqauth: sessions have ended, their clients would be refused now",
				"sessions", count)
		})
	}
}

// rules are a policy at a moment. Its setups change while it is in force.
type rules struct {
	policy *policy
	setups map[any]version
}

// version is what a setup was at that moment.
type version struct {
	credentials credentialSet
	stale       bool
}

func (v version) equal(other version) bool {
	return v.sameKeys(other) && v.sameUsers(other) && v.samePrincipals(other)
}

// sameKeys tells whether the same keys get in. Like the two below it does not look into tables: one
// that is only alike is another.
func (v version) sameKeys(w version) bool {
	return v.stale == w.stale && v.credentials.keys == w.credentials.keys &&
		v.credentials.bulk == w.credentials.bulk
}

func (v version) sameUsers(w version) bool {
	return v.stale == w.stale && v.credentials.users.Is(w.credentials.users)
}

func (v version) samePrincipals(w version) bool {
	return v.credentials.principals == w.credentials.principals
}

func (r rules) equal(other rules) bool {
	return r.policy == other.policy && maps.EqualFunc(r.setups, other.setups, version.equal)
}

func (p *policy) rules() rules {
	r := rules{policy: p, setups: make(map[any]version)}
	add := func(setup any, c *Credentials, source *follow.Source) {
		v := version{stale: source.IsStale(p.staleLimit)}
		if c != nil {
			v.credentials = *c.set()
		}
		r.setups[setup] = v
	}
	for _, s := range p.plain {
		add(s, s.credentials, s.source)
	}
	for _, s := range p.curve {
		add(s, s.credentials, s.source)
	}
	for _, s := range p.gssapi {
		add(s, s.credentials, nil)
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
	p := proof{address: string(r.Address), dialled: string(r.Dialled), user: v.user}
	s := &session.Session{ID: id, Domain: string(r.Domain),
		Mechanism: string(r.Mechanism), UserID: v.userID, Since: since}
	if c, _ := a.relay.Find(r.Domain, r.Origin()); c != nil {
		s.Client, s.Peer = c.TCP, c.Peer
	}
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
	s.Proof = p
	return s
}

// judgeSession tells whether the client of a session would be let in now, and until when.
func (a *Authenticator) judgeSession(s session.Session) (expires time.Time, ok bool) {
	if a.cfg.EndSessions && a.refuses() {
		return expires, false // one that was under way at a stop
	}
	return s.Proof.(proof).judge(a.policy.Load(), s)
}

func (a *Authenticator) refuses() bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.state.refuses()
}

// judge is judgeSession for a policy.
func (by proof) judge(p *policy, s session.Session) (expires time.Time, ok bool) {
	if !p.addresses.Pass([]byte(s.Domain), []byte(by.address)) {
		return expires, false
	}
	return by.judgeCredentials(p, s)
}

// rejudgment judges by the rules of now those who have passed by the rules of before.
func rejudgment(before, now rules) func(session.Session, bool) (time.Time, bool) {
	return func(s session.Session, again bool) (time.Time, bool) {
		if again {
			return s.Proof.(proof).judgeAgain(s, before, now)
		}
		return s.Proof.(proof).judge(now.policy, s)
	}
}

// judgeAgain is judge for a session that has passed by the rules of before. It looks only at what
// has changed since.
func (by proof) judgeAgain(s session.Session, before, now rules) (expires time.Time, ok bool) {
	p, old := now.policy, before.policy
	if p.addresses != old.addresses && !p.addresses.Pass([]byte(s.Domain), []byte(by.address)) {
		return expires, false
	}
	domain, same := []byte(s.Domain), false
	switch s.Mechanism {
	case zap.MechanismPlain:
		was, is := setupFor(old.plain, domain), setupFor(p.plain, domain)
		same = was == is && before.setups[was].sameUsers(now.setups[is])
	case zap.MechanismCurve:
		was, is := setupFor(old.curve, domain), setupFor(p.curve, domain)
		same = was == is && before.setups[was].sameKeys(now.setups[is])
	case zap.MechanismGSSAPI:
		was, is := setupFor(old.gssapi, domain), setupFor(p.gssapi, domain)
		same = was == is && before.setups[was].samePrincipals(now.setups[is])
	}
	if same {
		return s.Expires, s.Expires.IsZero() || time.Now().Before(s.Expires)
	}
	return by.judgeCredentials(p, s)
}

func (by proof) judgeCredentials(p *policy, s session.Session) (expires time.Time, ok bool) {
	domain := []byte(s.Domain)
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

func (by proof) judgePlain(p *policy, setup *plainSetup) (expires time.Time, ok bool) {
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

func (by proof) judgeCurve(p *policy, setup *curveSetup) (expires time.Time, ok bool) {
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

func (by proof) judgeGSSAPI(setup *gssapiSetup) (expires time.Time, ok bool) {
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
