package zmqauth

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/follow"
	"github.com/zmqauth/zmqauth/internal/libzmq"
	"github.com/zmqauth/zmqauth/internal/passwd"
	"github.com/zmqauth/zmqauth/internal/reminder"
	"github.com/zmqauth/zmqauth/internal/session"
	"github.com/zmqauth/zmqauth/internal/zap"
)

// Session is a client that was let in to a guarded socket, and its connection.
type Session struct {
	ID                        uint64 // also the property "Session-Id" of its messages, in decimal
	Domain, Mechanism, UserID string
	Key                       PublicKey      // of CURVE, else zero
	Client                    netip.AddrPort // of TCP; without a port where Exact is false
	Peer                      string         // of IPC: "uid:gid:pid", else empty
	Since                     time.Time
	Expires                   time.Time // when it ends by itself; zero: never

	// Exact says that the connection is known. Otherwise it is one of a group from the same address
	// that can only be ended together: always so with IPC and GSSAPI.
	Exact bool
}

// Limits are what the strangers of a guarded socket may cost. They hold before the handshake. The
// zero value of a field is no limit.
type Limits struct {
	MaxConns   int     // connections of the socket
	PerAddress int     // connections of one address (IPv6: of one /64)
	Rate       float64 // new connections a second of one address
	Burst      int     // how many of them may come at once; 0: 1

	// Deadline is how long a handshake may take.
	Deadline time.Duration

	// Penalty is how long an address has to wait after its second failed handshake in a row. It
	// doubles with each further one, up to 64 times as long. The connections of an address that
	// somebody good has are spared while less than half of MaxConns is used.
	Penalty time.Duration

	// Exempt are networks for whose connections only MaxConns holds.
	Exempt []netip.Prefix
}

// sessionProperty is the property that has the ID of a session.
const sessionProperty = "Session-Id"

// guard is what an Authenticator knows of guarded sockets.
type guard struct {
	begin      sync.Once
	table      *session.Table // nil before the first guarded socket
	any        atomic.Bool    // there is one
	turnedAway atomic.Uint64

	turning sync.Mutex
	reasons map[string]*reminder.Events // of connections that were turned away

	mu      sync.Mutex
	domains map[string]int // of guarded sockets, with how many there are
	sockets map[*zmq4.Socket]*libzmq.Monitor
}

// proof is what a session rests on, besides its names.
type proof struct {
	key      PublicKey
	name     string                    // of the user, or the principal
	address  string                    // as ZAP has it
	dialled  []byte                    // by a front; nil: there is none
	user     *passwd.User[*credential] // whose password was right; nil: no table's
	callback any                       // the setup whose callback let it in; nil: none
}

var errGuarded = errors.New("the socket is guarded already")

// Guard has the Authenticator know the sessions of a server socket, and end those who would not be
// let in any more. Call it after the socket's role and before Bind (or Connect). It takes the
// socket's monitor. nil limits are none.
//
// A session ends, with its connection, within a second after a change that refuses its client: of
// addresses, passwords, keys, principals, Credentials, a followed file or directory, a policy, or
// because its key expires. What a callback has let in stays until another setup takes the
// callback's place. What has arrived before the end may still be delivered: a program that must not
// read it asks Alive.
//
// All sockets of a domain should be guarded: a request says from which address it comes, and not
// for which socket it is.
func (a *Authenticator) Guard(s *zmq4.Socket, l *Limits) error {
	if s == nil {
		return errors.New("zmqauth: Guard: the socket is nil")
	}
	if err := a.guardSocket(s, l); err != nil {
		return fmt.Errorf("zmqauth: Guard: %w", err)
	}
	return nil
}

func (a *Authenticator) guardSocket(s *zmq4.Socket, l *Limits) error {
	if a.isClosed() {
		return ErrClosed
	}
	domain, err := s.GetZapDomain()
	if err != nil {
		return err
	}
	if domain == "" {
		return errors.New("the socket has no domain: give it its role first")
	}
	if endpoint, err := s.GetLastEndpoint(); err != nil || endpoint != "" {
		return errors.Join(err, errSocketInUse)
	}
	kind, err := s.GetMechanism()
	if err != nil {
		return err
	}
	mechanism := map[zmq4.Mechanism]string{zmq4.NULL: zap.MechanismNull, zmq4.PLAIN: zap.MechanismPlain,
		zmq4.CURVE: zap.MechanismCurve, zmq4.GSSAPI: zap.MechanismGSSAPI}[kind]
	a.guard.begin.Do(a.beginGuard)
	a.guard.mu.Lock()
	defer a.guard.mu.Unlock()
	if _, known := a.guard.sockets[s]; known {
		return errGuarded
	}
	monitor, err := libzmq.NewMonitor(s)
	if err != nil {
		return err
	}
	a.guard.sockets[s] = monitor
	a.guard.domains[domain]++
	a.guard.any.Store(true)
	table := a.guard.table.Guard(domain, mechanism, (*session.Limits)(l), a.turnAway)
	go func() {
		monitor.Run(table.Tell)
		table.Close()
		a.guard.mu.Lock()
		defer a.guard.mu.Unlock()
		delete(a.guard.sockets, s)
		if a.guard.domains[domain]--; a.guard.domains[domain] == 0 {
			delete(a.guard.domains, domain)
		}
	}()
	return nil
}

// turnAway counts and logs a connection that the limits have ended.
func (a *Authenticator) turnAway(r session.Refusal) {
	g := &a.guard
	g.turning.Lock()
	defer g.turning.Unlock()
	g.turnedAway.Add(1)
	if g.reasons == nil {
		g.reasons = make(map[string]*reminder.Events)
	}
	if g.reasons[r.Reason] == nil {
		g.reasons[r.Reason] = new(reminder.Events)
	}
	if count, due := g.reasons[r.Reason].Due(time.Now()); due {
		a.say(func(log *slog.Logger) {
			log.Warn("zmqauth: connections are turned away", "reason", r.Reason, "times", count,
				"address", r.Address)
		})
	}
}

// Monitor is Socket.Monitor for a guarded socket, whose own monitor the Authenticator has: it makes
// a PAIR socket at an inproc endpoint that gets the events, in the same form. An empty endpoint ends
// it. Events that nobody reads are dropped beyond 1,000.
func (a *Authenticator) Monitor(s *zmq4.Socket, endpoint string, events zmq4.Event) error {
	a.guard.mu.Lock()
	monitor := a.guard.sockets[s]
	a.guard.mu.Unlock()
	if monitor == nil {
		return errors.New("zmqauth: Monitor: the socket is not guarded")
	}
	if err := monitor.PassTo(endpoint, events); err != nil {
		return fmt.Errorf("zmqauth: Monitor: %w", err)
	}
	return nil
}

// rejudgeInterval is the time between two looks whether the rules have changed.
const rejudgeInterval = 250 * time.Millisecond

// beginGuard starts what all guarded sockets share.
func (a *Authenticator) beginGuard() {
	a.guard.domains = make(map[string]int)
	a.guard.sockets = make(map[*zmq4.Socket]*libzmq.Monitor)
	a.guard.table = session.New(session.Config{Judge: a.judgeSession, Changed: a.sessionChanged})
	go a.rejudge()
}

// rejudge ends the sessions that would not be let in now, whenever the rules have changed.
func (a *Authenticator) rejudge() {
	defer a.guard.table.Close()
	ticker := time.NewTicker(rejudgeInterval)
	defer ticker.Stop()
	var judged uint64
	var next time.Time
	for {
		select {
		case <-a.watcher.Done():
			a.endSessions()
			return
		case now := <-ticker.C:
			state := a.policy.Load().version()
			due := !next.IsZero() && !now.Before(next)
			if state == judged && !due {
				continue
			}
			judged = state
			count, expires := a.guard.table.Rejudge()
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

// version changes whenever what the policy lets in may have changed.
func (p *policy) version() (sum uint64) {
	sum = p.number
	for _, s := range p.plain {
		sum += s.credentials.version() + stale(s.source, p.staleLimit)
	}
	for _, s := range p.curve {
		sum += s.credentials.version() + stale(s.source, p.staleLimit)
	}
	for _, s := range p.gssapi {
		sum += s.credentials.version()
	}
	return sum
}

// endSessions ends all sessions, if Config says so.
func (a *Authenticator) endSessions() {
	if a.cfg.EndSessions && a.guard.any.Load() {
		a.guard.table.Cut(func(session.Session) bool { return true })
	}
}

// sessionChanged tells OnSession, and the front that there may be.
func (a *Authenticator) sessionChanged(s session.Session, open bool) {
	if by := s.Proof.(*proof); !open && by.dialled != nil {
		if c, _ := a.relay.Find([]byte(s.Domain), by.dialled); c != nil {
			c.Ended()
		}
	}
	if a.cfg.OnSession == nil {
		return
	}
	shown := shownSession(s)
	a.reports.decisions.add(report{session: &shown, open: open})
}

func shownSession(s session.Session) Session {
	return Session{ID: s.ID, Domain: s.Domain, Mechanism: s.Mechanism, UserID: s.UserID,
		Key: s.Proof.(*proof).key, Client: s.Client, Peer: s.Peer, Since: s.Since, Expires: s.Expires,
		Exact: s.Exact}
}

// Sessions returns the sessions of all guarded sockets, the oldest first. Without a guarded socket
// there are none: see Guard.
func (a *Authenticator) Sessions() []Session {
	if !a.guard.any.Load() {
		return nil
	}
	var all []Session
	for _, s := range a.guard.table.Sessions() {
		all = append(all, shownSession(s))
	}
	return all
}

// Disconnect ends the sessions that match, with their connections. It returns how many sessions
// have ended: with one of a group all of the group. libzmq's clients connect again by themselves,
// and get in if the rules let them. match must not call methods of a.
func (a *Authenticator) Disconnect(match func(Session) bool) int {
	if !a.guard.any.Load() {
		return 0
	}
	return a.guard.table.Cut(func(s session.Session) bool { return match(shownSession(s)) })
}

// Alive tells whether a session is open. The ID is the property "Session-Id" of a message.
func (a *Authenticator) Alive(id uint64) bool {
	return a.guard.any.Load() && a.guard.table.Alive(id)
}

// offer gives the reply to a guarded socket's client its turn. It returns false where the socket is
// not guarded.
func (l *loop) offer(envelope [][]byte, r *zap.Request, arrived time.Time, v verdict) bool {
	g := &l.a.guard
	if !g.any.Load() || !g.guards(string(r.Domain)) {
		return false
	}
	o := outgoing{ticket: newTicket(envelope, r, nil, arrived), verdict: v, epoch: l.a.epoch}
	o.reply = &session.Reply{Domain: string(r.Domain), Mechanism: string(r.Mechanism),
		Address: string(r.Origin()), Refused: v.status == zap.StatusDenied}
	if v.status == zap.StatusOK {
		s := l.a.newSession(r, v, arrived)
		o.reply.Session = s
		o.verdict.metadata = zap.AppendProperty(v.metadata[:len(v.metadata):len(v.metadata)],
			sessionProperty, strconv.FormatUint(s.ID, 10))
	}
	o.reply.Send = func() { l.post(o) }
	if g.table.Offer(o.reply) {
		l.sendGuarded(o)
	}
	return true
}

// stale is 1 for a source that is stale.
func stale(s *follow.Source, limit time.Duration) uint64 {
	if s.IsStale(limit) {
		return 1
	}
	return 0
}

func (g *guard) guards(domain string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.domains[domain] > 0
}

// post has the loop send a reply. Any goroutine may call it.
func (l *loop) post(o outgoing) {
	l.mu.Lock()
	l.outbox = append(l.outbox, o)
	first := len(l.outbox) == 1
	l.mu.Unlock()
	if first {
		l.socket.Wake()
	}
}

func (l *loop) takeOutbox() []outgoing {
	l.mu.Lock()
	defer l.mu.Unlock()
	outbox := l.outbox
	l.outbox = nil
	return outbox
}

// sendGuarded puts a reply to a guarded socket among the replies to send. It does not let in anybody
// after a stop.
func (l *loop) sendGuarded(o outgoing) {
	v := l.a.current(o.verdict, o.epoch)
	if v.status != o.verdict.status {
		l.a.guard.table.Withdraw(o.reply)
	}
	l.reply(o.ticket.envelope, &o.ticket.request, v)
	if n := len(l.offered); n > 0 {
		l.offered[n-1] = o.reply
	}
}

// newSession is the session that an acceptance opens.
func (a *Authenticator) newSession(r *zap.Request, v verdict, since time.Time) *session.Session {
	p := &proof{address: string(r.Address), dialled: slices.Clone(r.Dialled), user: v.user}
	s := &session.Session{ID: a.guard.table.NextID(), Domain: string(r.Domain),
		Mechanism: string(r.Mechanism), UserID: v.userID, Since: since, Proof: p}
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
	s.Expires, _ = a.judgeSession(*s)
	return s
}

// judgeSession tells whether the client of a session would be let in now, and until when.
func (a *Authenticator) judgeSession(s session.Session) (expires time.Time, ok bool) {
	p, by := a.policy.Load(), s.Proof.(*proof)
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
