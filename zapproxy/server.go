package zapproxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/endpoint"
	"github.com/zmqauth/zmqauth/internal/privatedir"
	"github.com/zmqauth/zmqauth/internal/reminder"
	"github.com/zmqauth/zmqauth/internal/zmtp"
)

// Handler judges requests. A [zmqauth.Authenticator] is one. It is called by many goroutines. ctx
// ends when nobody waits for the reply any more; [PeerFrom] has who asks. request and reply are
// those of [zmqauth.Authenticator.HandleZAPMessage]. A panic becomes the status 500.
type Handler interface {
	HandleZAPMessage(ctx context.Context, request [][]byte) (reply [][]byte)
}

// HandlerFunc is a function that is a Handler.
type HandlerFunc func(ctx context.Context, request [][]byte) (reply [][]byte)

// HandleZAPMessage calls f.
func (f HandlerFunc) HandleZAPMessage(ctx context.Context, request [][]byte) (reply [][]byte) {
	return f(ctx, request)
}

// Serve answers for other processes until ctx ends: then it returns nil. It is [Server.Serve] of a
// Server that has a Handler alone: endpoint is an ipc:///PATH, and the processes of root and of
// this user may ask for every domain.
func Serve(ctx context.Context, handler Handler, endpoint string) error {
	return (&Server{Handler: handler}).Serve(ctx, endpoint)
}

// Server is a service for relays. Set its fields before the first call, and do not copy it. One
// Server may serve many endpoints.
type Server struct {
	Handler Handler // never nil

	// Group is the id of a group whose members may connect to a Unix socket, besides root and the
	// user of this process. nil: nobody else may. Programs that Rules name need it to reach the
	// socket.
	Group *int

	// Certificate has the keys of the service, for endpoints of TCP. nil: they are an error.
	Certificate *zmqauth.Certificate

	Logger *slog.Logger // nil: slog.Default()

	rules   atomic.Pointer[Rules] // nil: the zero Rules
	tenants tenants
	refused refusals
}

// The limits of a server.
const (
	// maxLinks is how many connections there are at once, at one endpoint; maxLinksOf is how many of
	// them one user, or one key, may have, and all those whose key is not known yet.
	maxLinks   = 1024
	maxLinksOf = 256
	// maxOpen is how many questions of one user, or one key, may be open. One more is answered 300.
	maxOpen = 4096
	// answerTime is how long a handler may take: libzmq's clients give up after the handshake
	// interval, which is 30 s unless a program sets another.
	answerTime = 30 * time.Second
	// idleTime is after how long without a sign of life a link is cut. A peer is asked for one.
	idleTime  = 90 * time.Second
	idlePings = 20 * time.Second
)

var errMode = errors.New("zmqauth: the endpoint is neither ipc:///PATH nor tcp://HOST:PORT")

// SetRules puts other rules in force, also for those who are connected: who may not ask any more is
// cut off. The error is about a value of the rules, and changes nothing. Any goroutine may call it.
func (s *Server) SetRules(r Rules) error {
	if err := r.check(); err != nil {
		return err
	}
	s.rules.Store(r.clone())
	s.tenants.cut(func(p *Peer) bool { return !s.mayConnect(p) })
	return nil
}

func (s *Server) currentRules() *Rules {
	if rules := s.rules.Load(); rules != nil {
		return rules
	}
	return &Rules{}
}

func (s *Server) log() *slog.Logger {
	if s.Logger != nil {
		return s.Logger
	}
	return slog.Default()
}

// mayConnect tells whether a peer may have a link, and sets its program.
func (s *Server) mayConnect(p *Peer) bool {
	rules := s.currentRules()
	program, ok := rules.admits(p)
	if !ok {
		return false
	}
	p.Program = program
	return rules.Programs != nil || p.UID == 0 || p.UID == os.Geteuid() ||
		s.Group != nil && p.in(*s.Group)
}

// Serve answers at an endpoint until ctx ends: then it returns nil. It is Listen, then Serve of the
// Listener. An endpoint of TCP needs Certificate, and rules with the relays' keys.
func (s *Server) Serve(ctx context.Context, endpoint string) error {
	l, err := s.Listen(ctx, endpoint)
	if err != nil {
		return err
	}
	return l.Serve(ctx)
}

// Listener is a bound endpoint. Make one with [Server.Listen].
type Listener struct {
	s      *Server
	l      net.Listener
	unix   bool
	file   *privatedir.Socket // of a Unix socket
	curve  *zmtp.Curve        // of TCP
	closed chan struct{}
	links  sync.WaitGroup
	close  func() error // once
}

// Listen binds an endpoint: ipc:///PATH or tcp://HOST:PORT.
//
// The directory of a Unix socket is made if it is missing (its parent must be there): with mode
// 0710 and the Group, or 0700. One that is there must not let anybody in but its user and group,
// and nobody else may be able to replace the socket. The socket has mode 0660 and the Group, or
// 0600. It takes the place of one on which nobody listens any more; another file, or a live socket,
// is an error.
func (s *Server) Listen(ctx context.Context, at string) (*Listener, error) {
	if s.Handler == nil {
		return nil, errors.New("zmqauth: zapproxy: the Server has no Handler")
	}
	parsed, err := endpoint.ParseBind(at)
	if err != nil {
		return nil, fmt.Errorf("zmqauth: %s: %w", at, err)
	}
	l := &Listener{s: s, closed: make(chan struct{})}
	switch {
	case parsed.HasFile():
		l.unix = true
		err = l.listenFile(ctx, parsed.Path)
	case parsed.Transport == endpoint.TCP:
		err = l.listenTCP(ctx, parsed)
	default:
		err = errMode
	}
	if err != nil {
		return nil, fmt.Errorf("zmqauth: %s: %w", at, err)
	}
	l.close = sync.OnceValue(l.end)
	return l, nil
}

// listenFile listens at a path.
func (l *Listener) listenFile(ctx context.Context, path string) error {
	if err := prepareDirectory(filepath.Dir(path), l.s.Group); err != nil {
		return err
	}
	access := privatedir.Access{Mode: 0o600, Group: l.s.Group}
	if l.s.Group != nil {
		access.Mode = 0o660
	}
	file, socket, err := privatedir.ListenFile(ctx, path, access)
	if errors.Is(err, unix.EADDRINUSE) {
		return errors.New("another program listens there, or a file is there that is no socket")
	}
	if err != nil {
		return err
	}
	defer file.Close() // the listener has a descriptor of its own
	inherited, err := net.FileListener(file)
	if err != nil {
		return errors.Join(err, socket.Remove())
	}
	l.l, l.file = inherited, socket
	return nil
}

func (l *Listener) listenTCP(ctx context.Context, at endpoint.Endpoint) (err error) {
	cert := l.s.Certificate
	if cert == nil || cert.Secret == nil {
		return errors.New("TCP needs a certificate with a secret key: passwords never cross in clear")
	}
	host := at.Host
	if host == "*" {
		host = ""
	}
	l.curve = &zmtp.Curve{Public: cert.Public, Secret: *cert.Secret, Accept: l.s.acceptKey}
	l.l, err = new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(host, at.Port))
	return err
}

var errKey = errors.New("no program has this key")

// acceptKey tells in a handshake whether anybody with that key may ask.
func (s *Server) acceptKey(key [32]byte) error {
	peer := Peer{UID: -1, GID: -1, PID: -1, Key: key, Address: "unknown yet"}
	if !s.mayConnect(&peer) {
		return errKey
	}
	return nil
}

// Endpoint is the endpoint that is bound, with the port that the system has chosen for port 0.
func (l *Listener) Endpoint() string {
	if l.unix {
		return "ipc://" + l.l.Addr().String()
	}
	return "tcp://" + l.l.Addr().String()
}

// Serve answers until ctx ends or Close is called: then it returns nil. It ends all links and
// removes the socket's file.
func (l *Listener) Serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	err := l.accept()
	return errors.Join(err, l.Close())
}

// Close ends the Listener: its links, and those who wait for an answer. Later calls do nothing.
func (l *Listener) Close() error { return l.close() }

func (l *Listener) end() (err error) {
	close(l.closed)
	if l.file != nil {
		err = l.file.Remove() // while it listens: afterwards the path may be somebody else's
	}
	_ = l.l.Close()
	l.s.tenants.cutListener(l)
	l.links.Wait()
	return err
}

// acceptPause keeps a listener without descriptors from taking a whole processor.
const acceptPause = 50 * time.Millisecond

// accept takes connections until the Listener is closed.
func (l *Listener) accept() error {
	var failing reminder.Condition
	for {
		conn, err := l.l.Accept()
		select {
		case <-l.closed:
			if err == nil {
				_ = conn.Close()
			}
			return nil
		default:
		}
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return err
			}
			if failing.Due(err.Error(), time.Now(), reminder.First) {
				l.s.log().Error("zmqauth: a relay could not be accepted", "error", err)
			}
			time.Sleep(acceptPause)
			continue
		}
		l.admit(conn)
	}
}

// refusals logs at growing intervals who was refused.
type refusals struct {
	mu     sync.Mutex
	events reminder.Events
}

// refuse logs that a peer was refused.
func (s *Server) refuse(message string, p *Peer, more ...any) {
	s.refused.mu.Lock()
	count, due := s.refused.events.Due(time.Now())
	s.refused.mu.Unlock()
	if due {
		s.log().Warn(message, append([]any{"peer", *p, "times", count}, more...)...)
	}
}
