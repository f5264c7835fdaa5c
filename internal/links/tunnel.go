package links

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/zmqauth/zmqauth/internal/policyfile"
	"github.com/zmqauth/zmqauth/sshtunnel"
	"github.com/zmqauth/zmqauth/stream"
)

// streamTime is how long the gateway may take to connect to what is behind it.
const streamTime = 30 * time.Second

// tunnel is a link through a gateway.
type tunnel struct{ policyfile.Tunnel }

// Tunnel returns the link of a section tunnel.
func Tunnel(t policyfile.Tunnel) Spec { return Spec{tunnel{t}} }

func (t tunnel) section() policyfile.Section { return t.Section }

func (t tunnel) bare() any {
	t.File, t.Line = "", 0
	return t
}

func (t tunnel) ports() (all []portSpec) {
	for _, p := range t.Forwards {
		all = append(all, t.port(p.Listen))
	}
	for _, at := range t.SOCKS {
		all = append(all, t.port(at))
	}
	return all
}

func (t tunnel) maxConns() int { return t.MaxConns }

// port returns the port at an address. Mode and group are for those with a file.
func (t tunnel) port(at policyfile.Address) portSpec {
	if !at.HasFile() {
		return portSpec{at: at}
	}
	return portSpec{at, t.Mode, t.Group}
}

// check looks at the files that the section names. Those that ssh_config names are read at each
// login.
func (t tunnel) check() error {
	err := checkFile(t.Identity, !strings.HasSuffix(t.Identity, ".pub"))
	if err != nil && checkFile(t.Identity+".pub", false) == nil && errors.Is(err, fs.ErrNotExist) {
		err = nil // the agent has the private half
	}
	known := checkFile(t.KnownHosts, false)
	if t.AcceptNew && errors.Is(known, fs.ErrNotExist) {
		known = nil // it is made with the first key
	}
	return errors.Join(err, known, checkFile(t.SSHConfig, false))
}

func (t tunnel) build(o Options, log *slog.Logger) (*link, error) {
	s := newSession(t.config(o.Login, log), t.Reverses, log)
	l, conns := &link{session: s}, o.limit(t.MaxConns)
	for _, p := range t.Forwards {
		f := &forward{session: s, to: p.Connect, log: log,
			target: &target{log: log.With("target", p.Connect.String())}}
		l.services = append(l.services, t.service(p.Listen, p.Connect.String(), conns, f.serve, log))
	}
	for _, at := range t.SOCKS {
		l.services = append(l.services, t.service(at, "SOCKS", conns, s.serveSOCKS, log))
	}
	return l, nil
}

func (t tunnel) service(
	at policyfile.Address, to string, conns int, handler func(context.Context, net.Conn, any),
	log *slog.Logger,
) *service {
	server := &stream.Server{
		Authenticator: stream.AllowAny, MaxConns: conns, Handler: handler, Logger: log,
	}
	return &service{spec: t.port(at), server: server, to: to + " through " + t.Host}
}

func (t tunnel) config(login *Login, log *slog.Logger) sshtunnel.Config {
	c := sshtunnel.Config{
		Host: t.Host, ConfigFile: t.SSHConfig, KeyFile: t.Identity, KnownHosts: t.KnownHosts,
		Agent: t.Agent, AcceptNewHostKeys: t.AcceptNew, Logger: log,
	}
	if login != nil {
		c.Password, c.Passphrase, c.Prompt = login.Password, login.Passphrase, login.Prompt
	}
	return c
}

// forward carries connections to what is behind the gateway.
type forward struct {
	session *session
	to      policyfile.Address
	log     *slog.Logger
	target  *target
}

func (f *forward) serve(ctx context.Context, conn net.Conn, _ any) {
	tunnel, err := f.session.current()
	if err != nil {
		f.log.Debug(MessageNoGateway, "error", plain{err})
		reset(conn)
		return
	}
	dialling, cancel := context.WithTimeout(ctx, streamTime)
	far, err := tunnel.Dial(dialling, f.to.Network(), f.to.String())
	cancel()
	if ctx.Err() == nil {
		f.target.report(err)
	}
	if err != nil {
		reset(conn)
		return
	}
	if err := stream.Join(ctx, conn, far); err != nil && ctx.Err() == nil {
		f.log.Info(MessageBroken, "target", f.to.String(), "error", plain{err})
	}
}

// serveSOCKS serves a client that says itself where it wants to be connected to.
func (s *session) serveSOCKS(ctx context.Context, conn net.Conn, _ any) {
	tunnel, err := s.current()
	if err == nil {
		stop := context.AfterFunc(ctx, func() { reset(conn) })
		defer stop()
		err = tunnel.ServeSOCKS(conn)
	}
	if err != nil {
		s.log.Debug(MessageSOCKSEnded, "error", plain{err})
		reset(conn)
	}
}

var errNoLoginYet = errors.New("the gateway has not let this user in yet")

// reverseError says which reverse the gateway does not serve.
func reverseError(p policyfile.Pair, err error) error {
	return fmt.Errorf("reverse %s: %w", p.Listen, plain{err})
}
