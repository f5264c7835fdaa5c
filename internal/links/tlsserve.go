package links

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"

	"github.com/zmqauth/zmqauth/internal/policyfile"
	"github.com/zmqauth/zmqauth/stream"
)

// tlsServe is a link that accepts TLS.
type tlsServe struct{ policyfile.TLSServe }

// TLSServe returns the link of a section tls-serve.
func TLSServe(s policyfile.TLSServe) Spec { return Spec{tlsServe{s}} }

func (s tlsServe) section() policyfile.Section { return s.Section }

func (s tlsServe) bare() any {
	s.File, s.Line = "", 0
	return s
}

func (s tlsServe) ports() []portSpec { return portsOf(s.Listener) }

func portsOf(l policyfile.Listener) []portSpec { return []portSpec{{l.Listen, l.Mode, l.Group}} }

func (s tlsServe) maxConns() int { return s.MaxConns }

func (s tlsServe) check() error { return s.authenticator(slog.New(slog.DiscardHandler)).Check() }

// authenticator returns what lets clients in. The parser has checked that either a CA or AllowAny
// says who may connect.
func (s tlsServe) authenticator(log *slog.Logger) *stream.TLSAuthenticator {
	return &stream.TLSAuthenticator{
		CertFile: s.Cert, KeyFile: s.Key, CAFile: s.CA, CRLFile: s.CRL,
		AllowedNames: s.Allow, AllowedFingerprints: s.Fingerprints,
		StaleLimit: s.StaleLimit, MinVersion: s.MinTLS, Logger: log,
	}
}

var errNobody = errors.New("nobody may connect")

func (s tlsServe) build(o Options, log *slog.Logger) (*link, error) {
	if (s.CA == "") != s.AllowAny {
		return nil, errNobody // the parser has checked it
	}
	log = slog.New(quieter{log.Handler()})
	authenticator := s.authenticator(log)
	if err := authenticator.Check(); err != nil {
		return nil, err
	}
	rules := &admission{authenticator: authenticator, minTLS: s.MinTLS}
	to := &target{log: log.With("target", s.Connect.String())}
	server := &stream.Server{
		Authenticator:    authenticator,
		HandshakeTimeout: s.HandshakeTimeout, MaxHandshakes: s.MaxHandshakes,
		MaxConns: o.limit(s.MaxConns), Logger: log,
		Handler: func(ctx context.Context, conn net.Conn, credentials any) {
			if err := rules.judge(conn); err != nil {
				log.Info(MessageRefused, "remote", conn.RemoteAddr().String(), "error", plain{err})
				resetTLS(conn)
				return
			}
			s.serve(ctx, log, to, conn, credentials)
		},
	}
	only := &service{spec: s.ports()[0], server: server, to: s.Connect.String()}
	return &link{services: []*service{only}, admission: rules}, nil
}

// serve carries the connection of a client that was let in.
func (s tlsServe) serve(
	ctx context.Context, log *slog.Logger, to *target, conn net.Conn, credentials any,
) {
	log = log.With("remote", conn.RemoteAddr().String())
	if chain, ok := credentials.([]*x509.Certificate); ok && len(chain) > 0 {
		log.Debug(MessageAccepted, certificateAttrs(chain[0])...)
	}
	err := stream.Forward(ctx, conn, s.Connect.Network(), s.Connect.String())
	if ctx.Err() != nil {
		return // the server logs why
	}
	if isDial(err) {
		to.report(err)
		return
	}
	to.report(nil)
	if err != nil {
		log.Info(MessageBroken, "error", plain{err})
	}
}

// isDial tells whether a connection could not be made.
func isDial(err error) bool {
	fault, ok := errors.AsType[*net.OpError](err)
	return ok && fault.Op == "dial"
}
