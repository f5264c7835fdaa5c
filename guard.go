package zmqauth

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/libzmq"
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
	// that can only be ended together: always so with IPC and GSSAPI, but for clients of a front.
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
	begin sync.Once
	table atomic.Pointer[session.Table] // nil before the first guarded socket

	mu      sync.Mutex
	sockets map[*zmq4.Socket]guardedSocket
}

// guardedSocket is a guarded socket.
type guardedSocket struct {
	monitor *libzmq.Monitor
	conns   *session.Socket
}

var (
	errGuarded    = errors.New("the socket is guarded already")
	errNotGuarded = errors.New("the socket is not guarded")
)

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
	limits, err := l.checked()
	if err != nil {
		return err
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
	mechanism := map[zmq4.Mechanism]string{zmq4.NULL: zap.MechanismNull,
		zmq4.PLAIN: zap.MechanismPlain, zmq4.CURVE: zap.MechanismCurve,
		zmq4.GSSAPI: zap.MechanismGSSAPI}[kind]
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
	conns := a.guard.table.Load().Guard(domain, mechanism, limits)
	a.guard.sockets[s] = guardedSocket{monitor, conns}
	go func() {
		monitor.Run(conns.Tell, conns.Rest)
		conns.Close()
		a.guard.mu.Lock()
		defer a.guard.mu.Unlock()
		delete(a.guard.sockets, s)
	}()
	return nil
}

// checked is the limits as package session has them. It is an error if they mean nothing.
func (l *Limits) checked() (*session.Limits, error) {
	if l == nil {
		return nil, nil
	}
	limits := (*session.Limits)(l)
	return limits, limits.Check()
}

// SetLimits puts other limits in force for a guarded socket. nil limits are none. Connections that
// are open stay, also where there are more of them than the limits let in.
func (a *Authenticator) SetLimits(s *zmq4.Socket, l *Limits) error {
	limits, err := l.checked()
	if err == nil {
		var known guardedSocket
		if known, err = a.guard.find(s); err == nil {
			known.conns.SetLimits(limits)
		}
	}
	if err != nil {
		return fmt.Errorf("zmqauth: SetLimits: %w", err)
	}
	return nil
}

// find returns what is known of a guarded socket.
func (g *guard) find(s *zmq4.Socket) (guardedSocket, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if known, ok := g.sockets[s]; ok {
		return known, nil
	}
	return guardedSocket{}, errNotGuarded
}

// beginGuard starts what all guarded sockets share.
func (a *Authenticator) beginGuard() {
	a.guard.sockets = make(map[*zmq4.Socket]guardedSocket)
	a.guard.table.Store(session.New(session.Config{Judge: a.judgeSession,
		Changed: a.sessionChanged, Refused: a.turnedAway}))
	go a.rejudge()
}

// turnedAway logs connections that limits have ended.
func (a *Authenticator) turnedAway(r session.Refusal, times int) {
	if times > 0 {
		a.say(func(log *slog.Logger) {
			log.Warn("zmqauth: connections are turned away", "reason", r.Reason, "times", times,
				"address", r.Address)
		})
	}
}

// Monitor is Socket.Monitor for a guarded socket, whose own monitor the Authenticator has: it makes
// a PAIR socket at an inproc endpoint that gets the events, in the same form. An empty endpoint
// ends it. Events that nobody reads are dropped beyond 100,000.
func (a *Authenticator) Monitor(s *zmq4.Socket, endpoint string, events zmq4.Event) error {
	known, err := a.guard.find(s)
	if err == nil {
		err = known.monitor.PassTo(endpoint, events)
	}
	if err != nil {
		return fmt.Errorf("zmqauth: Monitor: %w", err)
	}
	return nil
}

// sessionChanged tells OnSession, and the front that there may be.
func (a *Authenticator) sessionChanged(s session.Session, open bool) {
	if by := s.Proof.(proof); !open && by.dialled != "" {
		if c, _ := a.relay.Find([]byte(s.Domain), []byte(by.dialled)); c != nil {
			c.Ended()
		}
	}
	if a.cfg.OnSession == nil {
		return
	}
	shown := shownSession(s)
	a.reports.decisions.Add(report{session: &shown, open: open})
}

func shownSession(s session.Session) Session {
	return Session{ID: s.ID, Domain: s.Domain, Mechanism: s.Mechanism, UserID: s.UserID,
		Key: s.Proof.(proof).key, Client: s.Client, Peer: s.Peer, Since: s.Since, Expires: s.Expires,
		Exact: s.Exact}
}

// Sessions returns the sessions of all guarded sockets, the oldest first. Those of other sockets
// are not known: without [Authenticator.Guard] the result is empty, however many clients there are.
func (a *Authenticator) Sessions() (all []Session) {
	if table := a.guard.table.Load(); table != nil {
		for _, s := range table.Sessions() {
			all = append(all, shownSession(s))
		}
	}
	return all
}

// Disconnect ends the sessions that match, with their connections. It returns how many sessions
// have ended: with one of a group all of the group. libzmq's clients connect again by themselves,
// and get in if the rules let them. A session that opens meanwhile may go on.
func (a *Authenticator) Disconnect(match func(Session) bool) int {
	table := a.guard.table.Load()
	if table == nil {
		return 0
	}
	return table.Cut(func(s session.Session) bool { return match(shownSession(s)) })
}

// Alive tells whether a session is open. The ID is the property "Session-Id" of a message.
func (a *Authenticator) Alive(id uint64) bool {
	table := a.guard.table.Load()
	return table != nil && table.Alive(id)
}

// offer gives the reply to a guarded socket's client its turn. It returns false where the socket is
// not guarded.
func (l *loop) offer(envelope [][]byte, r *zap.Request, arrived time.Time, v verdict) bool {
	table := l.a.guard.table.Load()
	if table == nil || !table.Guards(string(r.Domain)) {
		return false
	}
	o := outgoing{ticket: newTicket(envelope, r, nil, arrived), verdict: v, epoch: l.a.epoch}
	o.reply = &session.Reply{Domain: string(r.Domain), Mechanism: string(r.Mechanism),
		Address: string(r.Origin()), Refused: v.status == zap.StatusDenied,
		Silent: v.status == zap.StatusTemporary}
	if c, _ := l.a.relay.Find(r.Domain, r.Origin()); c != nil {
		o.reply.Port = c.Port
	}
	if v.status == zap.StatusOK {
		s := l.a.newSession(table.NextID(), r, v, arrived)
		o.reply.Session = s
		o.verdict.metadata = zap.AppendProperty(v.metadata[:len(v.metadata):len(v.metadata)],
			sessionProperty, strconv.FormatUint(s.ID, 10))
	}
	o.reply.Send = func() { l.post(o) }
	if table.Offer(o.reply) {
		l.sendGuarded(o)
	}
	return true
}

// post has the loop send a reply. Any goroutine may call it.
func (l *loop) post(o outgoing) {
	if l.outbox.Put(o) {
		l.socket.Wake()
	}
}

// sendGuarded puts a guarded socket's reply among those to send. After a stop it lets nobody in.
func (l *loop) sendGuarded(o outgoing) {
	if !l.sending {
		l.a.guard.table.Load().Withdraw(o.reply)
		return
	}
	v := l.a.current(o.verdict, o.epoch)
	if v.status != o.verdict.status {
		l.a.guard.table.Load().Withdraw(o.reply)
	}
	l.reply(o.ticket.envelope, &o.ticket.request, v, o.reply)
}
