package links

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/zmqauth/zmqauth/internal/backoff"
	"github.com/zmqauth/zmqauth/internal/policyfile"
	"github.com/zmqauth/zmqauth/stream"
)

const (
	// dialTime is how long a server may take to accept a connection and to finish the handshake.
	dialTime = 10 * time.Second
	// refusalTime tells a refusal from a later break. With TLS 1.3 the server refuses a certificate
	// after the handshake, so a connection that it breaks sooner than this counts as refused.
	refusalTime = 2 * time.Second
)

// tlsConnect is a link that connects with TLS.
type tlsConnect struct{ policyfile.TLSConnect }

// TLSConnect returns the link of a section tls-connect.
func TLSConnect(c policyfile.TLSConnect) Spec { return Spec{tlsConnect{c}} }

func (c tlsConnect) section() policyfile.Section { return c.Section }

func (c tlsConnect) bare() any {
	c.File, c.Line = "", 0
	return c
}

func (c tlsConnect) ports() []portSpec { return portsOf(c.Listener) }

func (c tlsConnect) maxConns() int { return c.MaxConns }

func (c tlsConnect) check() error { return c.client().Check(c.Connect.String()) }

func (c tlsConnect) client() stream.TLSClient {
	return stream.TLSClient{
		CertFile: c.Cert, KeyFile: c.Key, CAFile: c.CA, CRLFile: c.CRL,
		ServerName: c.ServerName, MinVersion: c.MinTLS,
	}
}

func (c tlsConnect) build(o Options, log *slog.Logger) (*link, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	d := &dialler{address: c.Connect.String(), client: c.client(), log: log,
		to: &target{log: log.With("target", c.Connect.String())}}
	server := &stream.Server{
		Authenticator: stream.AllowAny, MaxConns: o.limit(c.MaxConns), Handler: d.serve,
		Logger: log,
	}
	only := &service{spec: c.ports()[0], server: server, to: c.Connect.String()}
	return &link{services: []*service{only}}, nil
}

// dialler carries each connection over one with TLS.
type dialler struct {
	address string
	client  stream.TLSClient
	log     *slog.Logger
	to      *target
	turn    backoff.Turn
}

// serve carries one local connection.
func (d *dialler) serve(ctx context.Context, conn net.Conn, _ any) {
	if !d.turn.Await(ctx) {
		return
	}
	dialling, cancel := context.WithTimeout(ctx, dialTime)
	far, err := stream.DialTLS(dialling, d.address, d.client)
	cancel()
	if err != nil {
		reset(conn)
		if ctx.Err() == nil {
			d.turn.Note(true)
			d.to.report(err)
		}
		return
	}
	server := &serverSide{Conn: far.(*tls.Conn)} // it is one, because client has no Handshake
	if chain := server.ConnectionState().PeerCertificates; len(chain) > 0 {
		d.log.Debug(MessageConnected, certificateAttrs(chain[0])...)
	}
	begun := time.Now()
	err = stream.Join(ctx, conn, server)
	if ctx.Err() != nil {
		return
	}
	refused := err != nil && server.broken.Load() && time.Since(begun) < refusalTime
	d.turn.Note(refused)
	if refused {
		d.to.report(err)
		return
	}
	d.to.report(nil)
	if err != nil {
		d.log.Info(MessageBroken, "error", plain{err})
	}
}

// serverSide is a connection to a server. It notes whether the server has broken it.
type serverSide struct {
	*tls.Conn
	broken atomic.Bool
}

func (s *serverSide) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if err != nil && err != io.EOF && !errors.Is(err, net.ErrClosed) {
		s.broken.Store(true)
	}
	return n, err
}
