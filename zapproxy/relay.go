package zapproxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/backlog"
	"github.com/zmqauth/zmqauth/internal/backoff"
	"github.com/zmqauth/zmqauth/internal/endpoint"
	"github.com/zmqauth/zmqauth/internal/libzmq"
	"github.com/zmqauth/zmqauth/internal/privatedir"
	"github.com/zmqauth/zmqauth/internal/zap"
	"github.com/zmqauth/zmqauth/internal/zmtp"
)

// Relay has a service answer the questions of zctx's sockets; nil is zmq4's default context. It is
// [Dialer.Relay] of a Dialer without keys: endpoint is an ipc:///PATH.
func Relay(zctx *zmq4.Context, endpoint string) (*Link, error) {
	return new(Dialer).Relay(zctx, endpoint)
}

// Dialer says how a relay reaches its service.
type Dialer struct {
	// Server is the public key of a service that is reached by TCP, and Certificate has the keys of
	// this relay.
	Server      zmqauth.PublicKey
	Certificate *zmqauth.Certificate

	Logger *slog.Logger // nil: slog.Default()
}

// The limits of a relay.
const (
	// maxPending is how many questions are open at once. One more is answered 300.
	maxPending = 4096
	// silence is how long a service with open questions may give no sign of life.
	silence = 250 * time.Millisecond
	// tick is the time between two looks, and two pings.
	tick = 50 * time.Millisecond
	// patience is how long a question may be open while the service gives signs of life. libzmq's
	// clients give up after their handshake interval: 10 s, where a role of the root has set it.
	patience = 10 * time.Second
	// resetTime is after how long a silent connection is made anew.
	resetTime = 10 * time.Second
)

// Link is a relay at work. Make one with [Relay]. Any goroutine may call its methods.
type Link struct {
	log    *slog.Logger
	socket *libzmq.Handler
	dial   func(context.Context) (*zmtp.Conn, error)
	cache  cache

	ctx  context.Context
	stop context.CancelFunc
	done chan struct{} // closed: the goroutine of the socket has ended
	rest sync.WaitGroup
	err  error // of the socket, after done

	replies backlog.Inbox[reply]
	busy    chan struct{} // has a token while the watch has to look

	mu      sync.Mutex
	conn    *zmtp.Conn // nil: there is none
	silent  bool       // and may not be asked
	pending map[tag]*question
	tags    tagger
	stats   Stats
}

// Stats are what a Link has done so far.
type Stats struct {
	Connected bool   // there is a connection to the service, which gives signs of life
	Pending   int    // questions that are open
	Asked     uint64 // questions that were passed on
	Answered  uint64 // of these, the ones that were answered
	Away      uint64 // refused, because the service was away, silent or too slow
	Graced    uint64 // let in meanwhile, see Rules.Grace
	Dropped   uint64 // answers to no open question: late, sent again, or invented
}

// Stats returns the counters and the state.
func (l *Link) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	stats := l.stats
	stats.Connected, stats.Pending = l.conn != nil && !l.silent, len(l.pending)
	return stats
}

// question is a request that was passed on.
type question struct {
	envelope      [][]byte
	id, mechanism []byte
	client        digest
	since         time.Time
}

// reply is what is to be sent to libzmq.
type reply struct {
	envelope, body [][]byte
}

// Relay binds the ZAP endpoint of zctx, so that there is no Authenticator in that context, and
// passes on what libzmq asks to the service at endpoint. It does not wait for the service: until
// that is there everybody is refused. Call it before the first server socket is bound: earlier
// connections are never asked about.
//
// endpoint is ipc:///PATH; or tcp://HOST:PORT, which needs the keys of both sides. The process that
// listens at a path must be root's, this user's, or the owner's of the directory, in which nobody
// else may be able to write: others could let anybody in.
func (d *Dialer) Relay(zctx *zmq4.Context, endpoint string) (*Link, error) {
	dial, err := d.dialer(endpoint)
	if err != nil {
		return nil, fmt.Errorf("zmqauth: %s: %w", endpoint, err)
	}
	if zctx == nil {
		if zctx, err = defaultContext(); err != nil {
			return nil, fmt.Errorf("zmqauth: zmq4's default context: %w", err)
		}
	}
	socket, err := libzmq.Bind(zctx, zap.Endpoint)
	if errors.Is(err, zmq4.Errno(zmq4.EADDRINUSE)) {
		return nil, zmqauth.ErrHandlerBound
	}
	if err != nil {
		return nil, fmt.Errorf("zmqauth: a relay: %w", err)
	}
	l := &Link{log: d.Logger, socket: socket, dial: dial, done: make(chan struct{}),
		busy: make(chan struct{}, 1), pending: make(map[tag]*question)}
	if l.log == nil {
		l.log = slog.Default()
	}
	l.cache.init()
	l.ctx, l.stop = context.WithCancel(context.Background())
	l.rest.Go(l.connect)
	l.rest.Go(l.watch)
	go l.serve()
	return l, nil
}

// defaultContext is zmq4's default context. Only a socket tells which one that is.
func defaultContext() (*zmq4.Context, error) {
	socket, err := zmq4.NewSocket(zmq4.PAIR)
	if err != nil {
		return nil, err
	}
	zctx, err := socket.Context()
	return zctx, errors.Join(err, socket.Close())
}

// dialer is what connects to the service.
func (d *Dialer) dialer(at string) (func(context.Context) (*zmtp.Conn, error), error) {
	parsed, err := endpoint.ParseConnect(at)
	if err != nil {
		return nil, err
	}
	switch {
	case parsed.HasFile():
		return func(ctx context.Context) (*zmtp.Conn, error) { return dialFile(ctx, parsed.Path) }, nil
	case parsed.Transport != endpoint.TCP:
		return nil, errMode
	case d.Certificate == nil || d.Certificate.Secret == nil || d.Server == zmqauth.PublicKey{}:
		return nil, errors.New("TCP needs the service's public key, and a certificate with a secret " +
			"key: passwords never cross in clear")
	}
	curve := &zmtp.Curve{Public: d.Certificate.Public, Secret: *d.Certificate.Secret,
		Server: d.Server}
	address := net.JoinHostPort(parsed.Host, parsed.Port)
	return func(ctx context.Context) (*zmtp.Conn, error) {
		conn, err := (&net.Dialer{Timeout: handshakeTime}).DialContext(ctx, "tcp", address)
		if err != nil {
			return nil, err
		}
		return shake(ctx, conn, curve)
	}, nil
}

// dialFile connects to a service at a path, if that is one that may answer.
func dialFile(ctx context.Context, path string) (*zmtp.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	if err := privatedir.CheckServer(conn.(*net.UnixConn), path); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return shake(ctx, conn, nil)
}

// shake makes the handshake, until ctx ends.
func shake(ctx context.Context, conn net.Conn, curve *zmtp.Curve) (*zmtp.Conn, error) {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	return zmtp.Client(conn, relayConfig(curve))
}

// connect keeps a connection to the service.
func (l *Link) connect() {
	var turn backoff.Turn
	told := ""
	for turn.Await(l.ctx) {
		conn, err := l.dial(l.ctx)
		turn.Note(err != nil)
		if err != nil {
			if text := err.Error(); text != told && l.ctx.Err() == nil {
				told = text
				l.log.Warn("zmqauth: the authentication service cannot be reached, "+
					"everybody is refused", "error", err)
			}
			continue
		}
		told = ""
		l.log.Info("zmqauth: the authentication service is there")
		err = l.use(conn)
		turn.Note(true) // a service that ends each connection is not asked all the time
		if l.ctx.Err() == nil {
			l.log.Warn("zmqauth: the authentication service has gone, everybody is refused",
				"error", err)
		}
	}
}

// use asks by a connection until it ends.
func (l *Link) use(conn *zmtp.Conn) (err error) {
	stop := context.AfterFunc(l.ctx, conn.Close)
	defer stop()
	defer conn.Close()
	l.mu.Lock()
	l.conn, l.silent = conn, false
	l.tags.renew()
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		l.conn = nil
		l.mu.Unlock()
		l.giveUp(func(*question) bool { return true })
	}()
	for {
		frames, err := conn.Receive(l.heard)
		if err != nil {
			return err
		}
		l.take(frames)
	}
}

// heard ends a silence.
func (l *Link) heard() {
	l.mu.Lock()
	over := l.silent
	l.silent = false
	l.mu.Unlock()
	if over {
		l.log.Info("zmqauth: the authentication service answers again")
	}
}

// take takes an answer. One to a question that is not open is dropped.
func (l *Link) take(frames [][]byte) {
	envelope, body := split(frames)
	l.mu.Lock()
	defer l.mu.Unlock()
	var q *question
	if len(envelope) == 3 && len(envelope[0]) == len(tag{}) {
		q = l.pending[tag(envelope[0])]
	}
	if q == nil {
		l.stats.Dropped++
		return
	}
	a, ok := readAnswer(body, q.id)
	if !ok {
		l.stats.Dropped++
		return
	}
	delete(l.pending, tag(envelope[0]))
	l.stats.Answered++
	l.cache.note(q.client, a, graceOf(envelope[1]))
	l.put(reply{q.envelope, a.frames(q.id, q.mechanism)})
}

// put hands a reply to the goroutine of the socket.
func (l *Link) put(r reply) {
	if l.replies.Put(r) {
		l.socket.Wake()
	}
}

// watch looks after the questions that are open: for a service that gives no signs of life, and for
// one that takes too long.
func (l *Link) watch() {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-l.busy: // there was nothing to look after before
		}
		ticker.Reset(tick)
		for looked := time.Now(); l.look(looked); {
			looked = time.Now()
			select {
			case <-l.ctx.Done():
				return
			case <-ticker.C:
			}
		}
	}
}

// look returns whether to look again. looked is when it has looked before: where that is long ago,
// this process has stood still itself, and knows nothing about the service.
func (l *Link) look(looked time.Time) bool {
	now := time.Now()
	l.mu.Lock()
	conn, silent := l.conn, l.silent
	oldest := now
	for _, q := range l.pending {
		if q.since.Before(oldest) {
			oldest = q.since
		}
	}
	if conn == nil || len(l.pending) == 0 && !silent {
		l.mu.Unlock()
		return false
	}
	heard := conn.Heard()
	begins := !silent && now.Sub(oldest) > silence && now.Sub(heard) > silence &&
		now.Sub(looked) < silence/2 && !conn.Unread()
	if begins {
		l.silent = true
	}
	l.mu.Unlock()
	if begins {
		l.log.Warn("zmqauth: the authentication service gives no sign of life, everybody is refused",
			"for", now.Sub(heard).Round(time.Millisecond))
	}
	l.giveUp(func(q *question) bool { return begins || now.Sub(q.since) > patience })
	if now.Sub(heard) > resetTime && (silent || begins) {
		conn.Close() // use makes another
		return false
	}
	_ = conn.Ping()
	return true
}

// giveUp answers the questions of that kind without the service. Whatever it answers later is
// dropped.
func (l *Link) giveUp(which func(*question) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for t, q := range l.pending {
		if which(q) {
			delete(l.pending, t)
			l.put(reply{q.envelope, l.alone(q.client).frames(q.id, q.mechanism)})
		}
	}
}

// alone is the answer to a client without the service. The caller holds mu.
func (l *Link) alone(client digest) answer {
	if a, ok := l.cache.find(client); ok {
		l.stats.Graced++
		return a
	}
	l.stats.Away++
	return answer{status: zap.StatusTemporary}
}

// Close ends the relay, and frees the endpoint. Whoever waits for an answer is refused. Later calls
// do nothing. The error is that of the socket.
func (l *Link) Close() error {
	l.stop()
	l.socket.Wake()
	<-l.done
	l.rest.Wait()
	return l.err
}

// Wait waits until the relay has ended: by Close, or with its context. The error is that of the
// socket; nil after Close.
func (l *Link) Wait() error {
	<-l.done
	return l.err
}
