package zmqauth

import (
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/acl"
	"github.com/zmqauth/zmqauth/internal/admission"
	"github.com/zmqauth/zmqauth/internal/follow"
	"github.com/zmqauth/zmqauth/internal/libzmq"
	"github.com/zmqauth/zmqauth/internal/observe"
	"github.com/zmqauth/zmqauth/internal/reactor"
	"github.com/zmqauth/zmqauth/internal/relay"
	"github.com/zmqauth/zmqauth/internal/zap"
)

// AnyDomain is the domain of the setup that serves every domain without one of its own, the empty
// domain included. As the domain of address rules it stands for the general ones.
const AnyDomain = "*"

// ZAPEndpoint is where libzmq looks for the ZAP handler of a context (RFC 27, "Architecture").
const ZAPEndpoint = zap.Endpoint

// Errors to be tested with errors.Is.
var (
	// ErrClosed says that the Authenticator has been closed, or that its context has been terminated.
	// Start, Attach, Apply and all methods that configure return it.
	ErrClosed = errors.New("zmqauth: the authenticator is closed")
	// ErrHandlerBound says that the context has a ZAP handler already: another Authenticator, or
	// zmq4's AuthStart. Start and Attach return it.
	ErrHandlerBound = errors.New("zmqauth: another ZAP handler is bound in this context")
)

// The defaults of Config.
const (
	defaultCallbackTimeout = 5 * time.Second
	defaultMaxConcurrent   = 1024
	defaultMaxPending      = 4096
)

// Config holds what stays the same for as long as an Authenticator lives. The zero value is good
// for use.
type Config struct {
	// Logger gets a refusal at Info, a callback's failure at Error, an acceptance at Debug. It never
	// gets a password or a secret key. A goroutine of its own calls it, so that a slow handler delays
	// neither clients nor OnDecision. What its backlog of 65,536 lines has no room for is not logged,
	// but counted in Stats.Unreported. nil: slog.Default().
	Logger *slog.Logger

	// CurveUserID names the user behind a CURVE key, where the identity does not. It is called only
	// for accepted keys, and like a callback: beside the loop, within CallbackTimeout, MaxConcurrent
	// calls at once. For keys that memory knows it has slots and a queue of its own; for a key that a
	// callback has accepted it runs in that callback's slot. nil or an empty result: the key in Z85.
	CurveUserID func(key PublicKey) string

	// CallbackTimeout is how long one callback may take. Then its client is told to try again (status
	// 300). 0: 5 s. A password hash has 10 s, whatever this is.
	CallbackTimeout time.Duration

	// MaxConcurrent is how many callbacks run at once. 0: 1024. Password hashes have slots of their
	// own: as many as there are processors but one, at least one.
	MaxConcurrent int

	// MaxPending is how many requests wait for a slot. 0: 4096. Callbacks, password hashes and
	// CurveUserID have a queue of that length each. In a queue client addresses take turns (IPv6: by
	// /64; IPC: by user). A client is told to try again (status 300) when it has waited for 10 s; at
	// once, when its turn cannot come before that, as far as can be known; and when the queue is
	// full. Where another address has at least two more in a full queue, the youngest request of the
	// address with the most is told so instead.
	MaxPending int

	// OnDecision is called once for each decision, after the reply is on its way, one call at a time,
	// by a goroutine of its own. It may call every method. It waits neither for the logger, nor the
	// logger for it. What its backlog of 65,536 decisions has no room for is not reported to it, but
	// counted in Stats.Unreported. nil: nobody is told.
	OnDecision func(Decision)

	// UnknownKey is asked where a CURVE key is not among those of the domain. true: the client is told
	// to try again (status 300, ReasonPending), because somebody may let it in meanwhile. The client
	// has proved that it holds the secret key. It must return at once: decisions wait for it. Package
	// enrol has one. nil: unknown keys are refused.
	UnknownKey func(domain string, key PublicKey, address string) bool

	// StaleLimit is how long a password file or a directory of certificates that cannot be read or
	// used any more, or a certificate in it that is broken, stays in force as it was. After that
	// nobody in it gets in, until it is mended. 0: for ever. The entry stale-limit of a policy that
	// is applied takes its place. (One that is gone lets nobody in at once.)
	StaleLimit time.Duration

	// OnSession is told of each session that opens or has ended (see [Authenticator.Guard]): one call
	// at a time, by a goroutine of its own. Its backlog is that of OnDecision. nil: nobody is told.
	OnSession func(s Session, open bool)

	// EndSessions has Stop and Close end the sessions of guarded sockets. Without it they go on.
	EndSessions bool

	// Properties are the message properties that the program relies on, "Role" for instance. Every
	// acceptance carries them all, empty where the identity has none, because a client may set what
	// the handler leaves out. nil: none.
	Properties []string
}

func (c *Config) check() error {
	if c.CallbackTimeout < 0 || c.MaxConcurrent < 0 || c.MaxPending < 0 || c.StaleLimit < 0 {
		return errors.New("zmqauth: CallbackTimeout, MaxConcurrent, MaxPending and StaleLimit " +
			"cannot be negative")
	}
	for _, name := range c.Properties {
		if err := zap.CheckProperty(name, ""); err != nil {
			return fmt.Errorf("zmqauth: Properties: %w", err)
		}
	}
	return nil
}

// state is where an Authenticator stands in its life.
type state int

const (
	stateNew     state = iota // judges what HandleZAPMessage is given; the endpoint is not bound
	stateServing              // judges
	stateStopped              // everyone is refused; the endpoint is bound, if it ever was
	stateFailed               // as stateStopped, after an error of libzmq's; only Close is left
	stateClosed               // the endpoint is free, everyone is refused
)

func (s state) refuses() bool { return s != stateNew && s != stateServing }

// Authenticator answers the ZAP requests of one libzmq context (RFC 27). Make one with [New]. All
// methods may be called by any goroutine at any time, from callbacks too.
type Authenticator struct {
	ctx       *zmq4.Context
	cfg       Config
	log       *slog.Logger
	callbacks *lane
	names     *lane // asks Config.CurveUserID, which strangers cannot keep busy
	hashes    *lane // verifies passwords
	reports   *reporter
	watcher   *follow.Watcher
	guard     guard
	relay     relay.Table
	counters  counters
	tally     observe.Tally

	bareMetadata  []byte   // of an acceptance whose identity has no metadata
	metadataNames []string // Config.Properties, without duplicates

	configuring sync.Mutex             // held while a new policy is made of the one in force
	policy      atomic.Pointer[policy] // in force; never changed, but replaced

	begun chan struct{} // closed: there is a loop
	over  chan struct{} // closed: there will be none

	mu      sync.RWMutex // guards all below
	state   state
	epoch   uint64 // counts the stops: what was decided before one is refused after it
	loop    *loop  // nil before the first Start
	failure error  // of stateFailed
}

// policy is what the methods configure.
type policy struct {
	addresses *acl.Rules
	plain     map[string]*plainSetup
	curve     map[string]*curveSetup
	gssapi    map[string]*gssapiSetup
	suspended map[string]func() bool // domains, and whether they are so now; nil: none

	staleLimit time.Duration // see Config.StaleLimit; 0: there is none
}

func newPolicy() *policy {
	return &policy{
		addresses: new(acl.Rules),
		plain:     make(map[string]*plainSetup),
		curve:     make(map[string]*curveSetup),
		gssapi:    make(map[string]*gssapiSetup),
	}
}

// sources are all that the policy follows.
func (p *policy) sources() iter.Seq[*follow.Source] {
	return func(yield func(*follow.Source) bool) {
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

// newSource is what is known of a file or directory that will be followed.
func (a *Authenticator) newSource(what, path string) *follow.Source {
	a.watcher.WatchSources(func() iter.Seq[*follow.Source] { return a.policy.Load().sources() })
	return a.watcher.NewSource(what, path, func() time.Duration { return a.policy.Load().staleLimit })
}

// New prepares an Authenticator for the sockets of ctx. A nil ctx means zmq4's default context (the
// one that zmq4.NewSocket uses); a nil cfg means the defaults. The Config is copied. Until Start,
// libzmq has nobody to ask.
func New(ctx *zmq4.Context, cfg *Config) (*Authenticator, error) {
	if ctx == nil {
		var err error
		if ctx, err = defaultContext(); err != nil {
			return nil, fmt.Errorf("zmqauth: zmq4's default context: %w", err)
		}
	}
	a := &Authenticator{ctx: ctx, begun: make(chan struct{}), over: make(chan struct{})}
	if cfg != nil {
		a.cfg = *cfg
	}
	if err := a.cfg.check(); err != nil {
		return nil, err
	}
	first := newPolicy()
	first.staleLimit = a.cfg.StaleLimit
	a.policy.Store(first)
	a.metadataNames = deduplicated(a.cfg.Properties)
	a.bareMetadata = zap.EncodeMetadata(nil, a.metadataNames)
	a.log = a.cfg.Logger
	if a.log == nil {
		a.log = slog.Default()
	}
	pending := orDefault(a.cfg.MaxPending, defaultMaxPending)
	timeout := orDefault(a.cfg.CallbackTimeout, defaultCallbackTimeout)
	atOnce := orDefault(a.cfg.MaxConcurrent, defaultMaxConcurrent)
	a.callbacks = newLane(atOnce, pending, timeout)
	a.names = newLane(atOnce, pending, timeout)
	// One processor stays free, if there are several, so that the loop need not wait for its turn.
	a.hashes = newLane(max(1, runtime.GOMAXPROCS(0)-1), pending, hashTime)
	a.reports = newReporter(a.log, a.cfg.OnDecision, &a.counters.unreported)
	a.reports.onSession = a.cfg.OnSession
	a.watcher = follow.New(a.say)
	a.tally.Begin(a.isKnown, reasons...)
	return a, nil
}

func orDefault[T int | time.Duration](value, fallback T) T {
	if value == 0 {
		return fallback
	}
	return value
}

func deduplicated(names []string) []string {
	seen := make(map[string]bool)
	var out []string
	for _, name := range names {
		if !seen[name] {
			seen[name] = true
			out = append(out, name)
		}
	}
	return out
}

// defaultContext is zmq4's default context. Only a socket tells which one that is.
func defaultContext() (*zmq4.Context, error) {
	socket, err := zmq4.NewSocket(zmq4.PAIR)
	if err != nil {
		return nil, err
	}
	defer func() { _ = socket.Close() }()
	return socket.Context()
}

// Context is the context whose sockets the Authenticator guards.
func (a *Authenticator) Context() *zmq4.Context { return a.ctx }

// Start binds the context's ZAP endpoint, has a goroutine of its own serve it, and returns. While
// that goroutine serves, Start does nothing. After Stop it resumes the service. The errors are
// ErrHandlerBound, ErrClosed, the failure that ended the service for good, and libzmq's.
func (a *Authenticator) Start() error { return a.start(nil) }

// start begins or resumes the service. If queue is not nil, a reactor's goroutine takes the
// requests from it and judges them.
func (a *Authenticator) start(queue *reactor.Queue[*ticket]) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.state == stateClosed:
		return ErrClosed
	case a.state == stateFailed:
		return fmt.Errorf("zmqauth: the service has failed: %w", a.failure)
	case queue != nil && a.loop != nil:
		return errors.New("zmqauth: Attach: started already")
	case a.loop == nil:
		handler, err := libzmq.Bind(a.ctx, ZAPEndpoint)
		switch {
		case errors.Is(err, zmq4.Errno(zmq4.EADDRINUSE)):
			return ErrHandlerBound
		case errors.Is(err, zmq4.ErrorContextClosed), errors.Is(err, zmq4.ETERM):
			a.close()
			return ErrClosed
		case err != nil:
			return fmt.Errorf("zmqauth: binding %s: %w", ZAPEndpoint, err)
		}
		a.begin(newLoop(a, handler, queue))
	}
	a.state = stateServing
	return nil
}

// begin has a loop serve. The caller holds a.mu.
func (a *Authenticator) begin(l *loop) {
	a.loop = l
	close(a.begun)
	go l.run()
}

// Stop refuses everyone from now on, what is pending included. The endpoint stays bound, because
// libzmq lets clients in where nobody answers. Stop cancels the contexts of callbacks, and does not
// wait for a callback that ignores its own. Start may follow at once. Before the first Start there
// is no endpoint, and HandleZAPMessage refuses. The error is always nil: Stop has one to fit
// interfaces.
func (a *Authenticator) Stop() error {
	a.mu.Lock()
	if !a.state.refuses() {
		a.state = stateStopped
		a.epoch++
	}
	open, l := a.openInquiries(), a.loop
	a.mu.Unlock()
	a.refuse(open)
	if l != nil {
		l.socket.Wake() // for what waits for a reactor
	}
	a.endSessions()
	return nil
}

// Close refuses what is pending and frees the ZAP endpoint, for another Authenticator or for none.
// From then on the sockets' own options decide who is let in: with the roles of this package nobody
// is, but GSSAPI clients are. Close returns when the endpoint is free, and so does a second call.
// Afterwards the methods that configure return ErrClosed. The error is libzmq's.
func (a *Authenticator) Close() error {
	a.mu.Lock()
	a.close()
	l := a.loop
	open := a.openInquiries()
	a.mu.Unlock()
	a.refuse(open)
	a.watcher.Close()
	if l == nil {
		return nil
	}
	return l.close()
}

// close is the state's part of Close. The caller holds a.mu.
func (a *Authenticator) close() {
	if a.state == stateClosed {
		return
	}
	a.state = stateClosed
	a.epoch++
	if a.loop == nil {
		close(a.over)
	}
}

// IsAlive tells whether requests are judged: between Start and Stop.
func (a *Authenticator) IsAlive() bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.state == stateServing
}

// Wait returns when the service has ended for good: nil after Close and after the end of the
// context, else why. Before the first Start it waits for the service to begin and to end, or for
// Close. A context that ends before the first Start does not end the wait: Start returns ErrClosed
// then, and so ends it. After a failure the endpoint stays bound, and everyone is refused, until
// Close.
func (a *Authenticator) Wait() error {
	select {
	case <-a.begun:
		return a.loop.wait() // which nobody replaces
	case <-a.over:
		return nil
	}
}

// fail ends the service after an error that leaves no way to go on.
func (a *Authenticator) fail(err error) {
	a.mu.Lock()
	if a.state == stateClosed {
		a.mu.Unlock()
		return
	}
	a.state = stateFailed
	a.epoch++
	a.failure = err
	open := a.openInquiries()
	a.mu.Unlock()
	a.refuse(open)
	a.say(func(log *slog.Logger) {
		log.Error("zmqauth: the service has failed, everyone is refused", "error", err)
	})
}

// ended is called by the loop when the endpoint is gone.
func (a *Authenticator) ended() {
	a.mu.Lock()
	a.close()
	open := a.openInquiries()
	a.mu.Unlock()
	a.refuse(open)
	a.watcher.Close()
}

// checkDomain refuses the empty domain. Who means all domains has to say so, by AnyDomain.
func checkDomain(domain string) error {
	if domain == "" {
		return errors.New(`zmqauth: the domain is empty; "*" is every domain without a setup of its own`)
	}
	return nil
}

// setupFor is a mechanism's setup for exactly this domain if there is one, else the one for
// AnyDomain, else nil.
func setupFor[T any](setups map[string]*T, domain []byte) *T {
	if setup := setups[string(domain)]; setup != nil {
		return setup
	}
	return setups[AnyDomain]
}

// change puts a changed copy of the policy in force. No decision waits for it: each one sees the
// policy from before or the one from after. change ends the following of files and directories that
// are no longer in force. The errors are ErrClosed and edit's; they change nothing.
func (a *Authenticator) change(edit func(next *policy) error) error {
	a.configuring.Lock()
	defer a.configuring.Unlock()
	if a.isClosed() {
		return ErrClosed
	}
	old := a.policy.Load()
	next := &policy{addresses: old.addresses, plain: maps.Clone(old.plain),
		curve: maps.Clone(old.curve), gssapi: maps.Clone(old.gssapi),
		suspended: maps.Clone(old.suspended), staleLimit: old.staleLimit}
	if err := edit(next); err != nil {
		return err
	}
	a.policy.Store(next)
	a.relay.SetRules(next.addresses)
	old.releaseBut(next)
	return nil
}

func (a *Authenticator) isClosed() bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.state == stateClosed
}

// Unconfigure takes away a domain's own setup for a mechanism: "PLAIN", "CURVE" or "GSSAPI", in
// capitals or not. Then the setup for AnyDomain holds. Of the domain AnyDomain it takes away the
// setup for all domains without one of their own. Address rules stay. A mechanism that cannot be
// configured is an error.
//
// Where no setup is left, PLAIN and CURVE refuse everyone, but GSSAPI lets every principal in. So
// Unconfigure may open a domain: to GSSAPI clients, and to those whom the setup for AnyDomain
// accepts. ConfigureGSSAPI without principals closes a domain to every GSSAPI client.
func (a *Authenticator) Unconfigure(domain, mechanism string) error {
	if err := checkDomain(domain); err != nil {
		return err
	}
	mechanism = strings.ToUpper(mechanism)
	return a.change(func(next *policy) error {
		switch mechanism {
		case zap.MechanismPlain:
			delete(next.plain, domain)
		case zap.MechanismCurve:
			delete(next.curve, domain)
		case zap.MechanismGSSAPI:
			delete(next.gssapi, domain)
		default:
			return fmt.Errorf("zmqauth: mechanism %.40q: none of PLAIN, CURVE, GSSAPI", mechanism)
		}
		return nil
	})
}

// Suspend has all new clients of a domain told to try again (status 300), whatever the mechanism,
// or ends that. The domain AnyDomain stands for all domains. Sessions go on. It is for a while in
// which nobody knows what holds, and it closes the domain whatever else is configured.
func (a *Authenticator) Suspend(domain string, suspended bool) error {
	if suspended {
		return a.SuspendWhile(domain, func() bool { return true })
	}
	return a.SuspendWhile(domain, nil)
}

// SuspendWhile is Suspend for as long as a function says so. It is asked at each decision about the
// domain, by any goroutine, and must return at once. nil ends that, as Suspend does.
func (a *Authenticator) SuspendWhile(domain string, is func() bool) error {
	if err := checkDomain(domain); err != nil {
		return err
	}
	return a.change(func(next *policy) error {
		if is == nil {
			delete(next.suspended, domain)
			return nil
		}
		if next.suspended == nil {
			next.suspended = make(map[string]func() bool)
		}
		next.suspended[domain] = is
		return nil
	})
}

// isSuspended tells whether all clients of a domain are to try again.
func (p *policy) isSuspended(domain []byte) bool {
	if p.suspended == nil {
		return false
	}
	all, one := p.suspended[AnyDomain], p.suspended[string(domain)]
	return all != nil && all() || one != nil && one()
}

// decide judges a request. A panic in it is a fault of zmqauth's own: it becomes status 500, and
// ends nothing. The caller holds a.mu, for reading at least. It keeps a.mu until the inquiry, if
// there is one, has been submitted.
func (a *Authenticator) decide(r *zap.Request, malformed error) (v verdict, in *inquiry) {
	defer func() {
		if p := recover(); p != nil {
			fault := &note{err: errors.New("a fault in zmqauth"), stack: debug.Stack()}
			v, in = verdict{status: zap.StatusError, reason: ReasonInternal, note: fault}, nil
		}
	}()
	if !a.locate(r) {
		return denied(ReasonAddressDenied).about("connection", "not made by the front"), nil
	}
	p := a.policy.Load()
	v, in = a.judge(p, r, malformed)
	v.policy = p
	if in != nil {
		in.client, in.policy = admission.ClientOf(string(r.Address)), p
	}
	return v, in
}

// judge decides on a request from memory, or returns the inquiry that has to be made beside the
// loop.
func (a *Authenticator) judge(p *policy, r *zap.Request, malformed error) (verdict, *inquiry) {
	switch {
	case a.state.refuses():
		return denied(ReasonStopped), nil
	case malformed != nil:
		return denied(ReasonMalformed), nil
	}
	if !p.addresses.Pass(r.Domain, r.Address) {
		return denied(ReasonAddressDenied), nil
	}
	if p.isSuspended(r.Domain) {
		return temporary(ReasonSuspended), nil
	}
	switch string(r.Mechanism) {
	case zap.MechanismNull:
		return a.accepted("", nil), nil
	case zap.MechanismPlain:
		return a.judgePlain(p, r)
	case zap.MechanismCurve:
		return a.judgeCurve(p, r)
	case zap.MechanismGSSAPI:
		return a.judgeGSSAPI(p, r)
	default:
		return denied(ReasonUnknownMechanism), nil
	}
}

// accepted is the acceptance of an identity from memory; metadata is encoded, nil for none.
func (a *Authenticator) accepted(userID string, metadata []byte) verdict {
	if metadata == nil {
		metadata = a.bareMetadata
	}
	return verdict{status: zap.StatusOK, reason: ReasonAccepted, userID: userID, metadata: metadata}
}

// current is a verdict as it holds now: an acceptance of before a stop is a refusal after it. epoch
// is that of the decision. The caller holds a.mu.
func (a *Authenticator) current(v verdict, epoch uint64) verdict {
	if v.status == zap.StatusOK && (a.state.refuses() || epoch != a.epoch) {
		return denied(ReasonStopped)
	}
	return v
}
