package zmqauth

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/acl"
	"github.com/zmqauth/zmqauth/internal/libzmq"
	"github.com/zmqauth/zmqauth/internal/zap"
)

// AnyDomain is the domain of the setup that serves every domain without one of its own, the empty
// domain included. As the domain of address rules it stands for the general ones.
const AnyDomain = "*"

// ZAPEndpoint is where libzmq looks for the ZAP handler of a context (RFC 27, "Architecture").
const ZAPEndpoint = zap.Endpoint

// What Start, Attach, Apply and the Configure methods that follow files return, to be tested with
// errors.Is.
var (
	// ErrClosed says that the Authenticator has been closed or its context terminated.
	ErrClosed = errors.New("zmqauth: the authenticator is closed")
	// ErrHandlerBound says that the context has a ZAP handler already: another Authenticator, or
	// zmq4's AuthStart.
	ErrHandlerBound = errors.New("zmqauth: another ZAP handler is bound in this context")
)

// The defaults of Config.
const (
	defaultCallbackTimeout = 5 * time.Second
	defaultMaxConcurrent   = 1024
	defaultMaxPending      = 4096
)

// Config holds what an Authenticator does not change while it lives. The zero value is good for
// use.
type Config struct {
	// Logger gets a refusal at Info, a callback's failure at Error, an acceptance at Debug: never a
	// password or a secret key. Decisions are logged by a goroutine of their own, so that a slow
	// handler delays nobody. nil: slog.Default().
	Logger *slog.Logger

	// CurveUserID names the user behind a CURVE key, where the identity does not. It is called only
	// for accepted keys, and like a callback: beside the loop, within CallbackTimeout, and as one of
	// MaxConcurrent. nil: the key in Z85.
	CurveUserID func(key PublicKey) string

	// CallbackTimeout is how long one callback may take; then its client is told to try again (status
	// 300). 0: 5 s.
	CallbackTimeout time.Duration

	// MaxConcurrent is how many callbacks run at once. 0: 1024. Password hashes are verified apart
	// from them, at most one for each processor at once.
	MaxConcurrent int

	// MaxPending is how many requests wait for one of those; the client of one more is told to try
	// again (status 300), and so is one that has waited for 10 s. 0: 4096.
	MaxPending int

	// OnDecision is called once for each decision, after the reply is on its way, one call at a time,
	// by a goroutine of its own. It may call every method. What it falls more than 65,536 decisions
	// behind is not reported, but counted in Stats.Unreported. nil: nobody is told.
	OnDecision func(Decision)

	// Properties are the message properties that the program relies on, "Role" for instance. Every
	// acceptance carries them all, empty where the identity has none, because a client may set what
	// the handler leaves out. nil: none.
	Properties []string
}

func (c *Config) check() error {
	if c.CallbackTimeout < 0 || c.MaxConcurrent < 0 || c.MaxPending < 0 {
		return errors.New("zmqauth: CallbackTimeout, MaxConcurrent and MaxPending cannot be negative")
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
	stateFailed               // so it is, after an error of libzmq's; only Close leads further
	stateClosed               // the endpoint is free, everyone is refused
)

func (s state) refuses() bool { return s != stateNew && s != stateServing }

// Authenticator answers the ZAP requests of one libzmq context (RFC 27). Make one with [New]. All
// methods may be called by any goroutine at any time, from callbacks too.
type Authenticator struct {
	ctx       *zmq4.Context
	cfg       Config
	log       *slog.Logger
	callbacks *executor
	hashes    *executor // verifies passwords
	reports   *reporter
	watcher   *watcher
	counters  counters

	passwordKey   [32]byte // of the digests of passwords in memory
	bareMetadata  []byte   // of an acceptance whose identity has no metadata
	metadataNames []string // Config.Properties, without duplicates

	mu      sync.RWMutex // guards all below
	state   state
	epoch   uint64 // counts the stops: what was decided before one is refused after it
	loop    *loop  // nil before the first Start
	policy  policy
	failure error // of stateFailed
}

// policy is what the methods configure.
type policy struct {
	addresses acl.Rules
	plain     map[string]*plainSetup
	curve     map[string]*curveSetup
	gssapi    map[string]*gssapiSetup
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
	a := &Authenticator{ctx: ctx}
	if cfg != nil {
		a.cfg = *cfg
	}
	if err := a.cfg.check(); err != nil {
		return nil, err
	}
	a.metadataNames = deduplicated(a.cfg.Properties)
	a.bareMetadata = zap.EncodeMetadata(nil, a.metadataNames)
	a.log = a.cfg.Logger
	if a.log == nil {
		a.log = slog.Default()
	}
	pending, timeout := orDefault(a.cfg.MaxPending, defaultMaxPending), orDefault(a.cfg.CallbackTimeout, defaultCallbackTimeout)
	a.callbacks = newExecutor(orDefault(a.cfg.MaxConcurrent, defaultMaxConcurrent), pending, timeout)
	// One processor stays free, if there are several, so that the loop need not wait for its turn.
	a.hashes = newExecutor(max(1, runtime.GOMAXPROCS(0)-1), pending, timeout)
	a.reports = newReporter(a.log, a.cfg.OnDecision, &a.counters.unreported)
	a.watcher = newWatcher(a.say)
	_, _ = rand.Read(a.passwordKey[:]) // never fails
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

// defaultContext asks a socket for it, since zmq4 does not tell.
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

// Start binds the context's ZAP endpoint, serves it by a goroutine of its own, and returns. It does
// nothing while that is so already, and takes up the service again after Stop. The errors:
// ErrHandlerBound, ErrClosed, the failure that ended the service for good, or libzmq's.
func (a *Authenticator) Start() error { return a.start(nil) }

// start serves. Where queue is not nil, a reactor's goroutine judges what it takes from that.
func (a *Authenticator) start(queue *reactorQueue) error {
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
			return ErrClosed
		case err != nil:
			return fmt.Errorf("zmqauth: binding %s: %w", ZAPEndpoint, err)
		}
		a.loop = newLoop(a, handler, queue)
		go a.loop.run()
	}
	a.state = stateServing
	return nil
}

// Stop refuses everyone from now on, what is pending included: the endpoint stays bound, because
// libzmq lets clients in where nobody answers. It cancels the contexts of callbacks and does not
// wait for one that ignores its own. Start may follow at once. Before the first Start there is no
// endpoint, but HandleZAPMessage refuses too. The error is always nil.
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
	return nil
}

// Close refuses what is pending and frees the ZAP endpoint, for another Authenticator or for none:
// from then on libzmq lets in whoever the sockets' own options do not keep out. It returns when
// that is done, a second call too. The error is libzmq's.
func (a *Authenticator) Close() error {
	a.mu.Lock()
	a.state = stateClosed
	a.epoch++
	l := a.loop
	open := a.openInquiries()
	a.mu.Unlock()
	a.refuse(open)
	a.watcher.close()
	if l == nil {
		return nil
	}
	return l.close()
}

// IsAlive tells whether requests are judged: between Start and Stop.
func (a *Authenticator) IsAlive() bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.state == stateServing
}

// Wait returns when the service has ended for good: nil after Close and after the context's end,
// else why. Before the first Start there is nothing to wait for. After a failure the endpoint stays
// bound, and everyone refused, until Close.
func (a *Authenticator) Wait() error {
	a.mu.RLock()
	l := a.loop
	a.mu.RUnlock()
	if l == nil {
		return nil
	}
	return l.wait()
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
	a.state = stateClosed
	a.epoch++
	open := a.openInquiries()
	a.mu.Unlock()
	a.refuse(open)
	a.watcher.close()
}

// Allow adds addresses to the general allow list: only what it names passes. Entries are IPv4 and
// IPv6 addresses, networks in CIDR notation, and for IPC peers "ipc" (all of them), "uid:N",
// "gid:N" and "pid:N"; ::ffff:a.b.c.d is a.b.c.d. Passing it replaces no credential. A bad entry,
// or a scope that has denied addresses, is an error that changes nothing. Without any entry the
// list names nobody.
func (a *Authenticator) Allow(addresses ...string) error {
	return a.addAddresses(acl.Allow, AnyDomain, addresses)
}

// Deny adds addresses to the general deny list: all but what it names pass. For entries and errors
// see [Allow].
//
// [Allow]: Authenticator.Allow
func (a *Authenticator) Deny(addresses ...string) error {
	return a.addAddresses(acl.Deny, AnyDomain, addresses)
}

// AllowDomain is Allow for the requests of one domain. They must pass the general rules besides.
func (a *Authenticator) AllowDomain(domain string, addresses ...string) error {
	return a.addAddresses(acl.Allow, domain, addresses)
}

// DenyDomain is Deny for the requests of one domain. They must pass the general rules besides.
func (a *Authenticator) DenyDomain(domain string, addresses ...string) error {
	return a.addAddresses(acl.Deny, domain, addresses)
}

func (a *Authenticator) addAddresses(kind acl.Kind, domain string, addresses []string) error {
	if err := checkDomain(domain); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.policy.addresses.Add(kind, domain, addresses); err != nil {
		return fmt.Errorf("zmqauth: %w", err)
	}
	return nil
}

// ResetAddresses removes the address rules of all scopes: every address passes.
func (a *Authenticator) ResetAddresses() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.policy.addresses = acl.Rules{}
}

// checkDomain refuses the empty domain: what is meant for all of them is AnyDomain, in so many
// words.
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

// configure puts a setup in force for a domain, in place of the one before it, which it returns.
func configure[T any](a *Authenticator, setups *map[string]*T, domain string, setup *T) (old *T) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if *setups == nil {
		*setups = make(map[string]*T)
	}
	old = (*setups)[domain]
	(*setups)[domain] = setup
	return old
}

// decide judges a request; a fault of our own in it is no acceptance, and ends nothing. The caller
// holds a.mu, for reading at least, and keeps it until the inquiry, if there is one, has been
// submitted.
func (a *Authenticator) decide(r *zap.Request, malformed error) (v verdict, in *inquiry) {
	defer func() {
		if p := recover(); p != nil {
			fault := &note{err: errors.New("a fault in zmqauth"), stack: debug.Stack()}
			v, in = verdict{status: zap.StatusError, reason: ReasonInternal, note: fault}, nil
		}
	}()
	return a.judge(r, malformed)
}

// judge decides on a request from memory, or returns the inquiry that has to be made beside the
// loop.
func (a *Authenticator) judge(r *zap.Request, malformed error) (verdict, *inquiry) {
	switch {
	case a.state.refuses():
		return denied(ReasonStopped), nil
	case malformed != nil:
		return denied(ReasonMalformed), nil
	case !a.policy.addresses.Pass(r.Domain, r.Address):
		return denied(ReasonAddressDenied), nil
	}
	switch string(r.Mechanism) {
	case zap.MechanismNull:
		return a.accepted("", nil), nil
	case zap.MechanismPlain:
		return a.judgePlain(r)
	case zap.MechanismCurve:
		return a.judgeCurve(r)
	case zap.MechanismGSSAPI:
		return a.judgeGSSAPI(r)
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

// current is a verdict as it holds now: nothing that was decided before a stop lets anybody in
// after it. The caller holds a.mu.
func (a *Authenticator) current(v verdict, epoch uint64) verdict {
	if v.status == zap.StatusOK && (a.state.refuses() || epoch != a.epoch) {
		return denied(ReasonStopped)
	}
	return v
}
