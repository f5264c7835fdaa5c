package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/front"
	"github.com/zmqauth/zmqauth/internal/activation"
	"github.com/zmqauth/zmqauth/internal/endpoint"
	"github.com/zmqauth/zmqauth/internal/policyfile"
	"github.com/zmqauth/zmqauth/internal/privatedir"
)

// frontendSpec describes a frontend: the entry of the policy and its certificate.
type frontendSpec struct {
	policyfile.Frontend
	certificate *zmqauth.Certificate // of a CURVE frontend, with the secret key; else nil
	access      privatedir.Access    // to an ipc endpoint with a file
	inherited   *os.File             // listens at the endpoint already; nil: nothing does
}

// same tells whether two specs describe the same frontend. Where the entry stands in the file does
// not matter, nor which file has the certificate. A frontend can change its limits and the settings
// of its front while it runs.
func (s frontendSpec) same(other frontendSpec) bool {
	a, b := s.Frontend, other.Frontend
	if (a.Front == nil) != (b.Front == nil) {
		return false
	}
	a.File, a.Line, a.Certificate, a.Limits, a.Front = b.File, b.Line, b.Certificate, b.Limits, b.Front
	if a != b || (s.certificate == nil) != (other.certificate == nil) {
		return false
	}
	return s.certificate == nil || s.certificate.Secret.Equal(*other.certificate.Secret)
}

// clashes tells whether two frontends might be unable to bind their endpoints at the same time. TCP
// endpoints with the same port always clash here, whatever their hosts are.
func (s frontendSpec) clashes(other frontendSpec) bool {
	a, isTCP := strings.CutPrefix(s.Bind, "tcp://")
	b, otherIsTCP := strings.CutPrefix(other.Bind, "tcp://")
	if !isTCP || !otherIsTCP {
		return s.Bind == other.Bind
	}
	port := a[strings.LastIndex(a, ":"):] // ParsePolicy has checked that there is one
	return port != ":*" && port != ":0" && strings.HasSuffix(b, port)
}

// open makes the sockets of a frontend. back is not connected yet. front has its security role and
// is not bound yet.
func (s frontendSpec) open(zctx *zmq4.Context) (front, back *zmq4.Socket, err error) {
	kinds, ok := patterns[s.Type]
	if !ok {
		return nil, nil, fmt.Errorf("type %q", s.Type)
	}
	if front, err = zctx.NewSocket(kinds.front); err != nil {
		return nil, nil, err
	}
	if back, err = zctx.NewSocket(kinds.back); err != nil {
		_ = front.Close()
		return nil, nil, err
	}
	err = errors.Join(front.SetIpv6(isIPv6(s.Bind)), back.SetIpv6(reachesByIPv6(s.Backend)),
		front.SetLinger(0), back.SetLinger(0), front.SetMaxmsgsize(s.maxMessage()))
	if err == nil && s.Identity != "" {
		err = back.SetIdentity(s.Identity)
	}
	if err == nil {
		err = kinds.prepare(front, back)
	}
	if err == nil {
		err = s.setRole(front)
	}
	if err != nil {
		_, _ = front.Close(), back.Close()
		return nil, nil, err
	}
	return front, back, nil
}

// inherit finds the socket that listens at the endpoint already, if there is one.
func (s *frontendSpec) inherit(from *activation.Sockets) {
	switch at, err := endpoint.ParseBind(s.Bind); {
	case err != nil: // which bind reports
	case at.Transport == endpoint.IPC:
		s.inherited = from.At(activation.Unix, at.Path)
	default:
		s.inherited = from.At(activation.TCP, net.JoinHostPort(at.Addr().String(), at.Port))
	}
}

// limits are what strangers may cost; nil: there are none.
func (s frontendSpec) limits() *zmqauth.Limits { return (*zmqauth.Limits)(s.Limits) }

// frontConfig is the settings of the front, which there is.
func (s frontendSpec) frontConfig(log *slog.Logger) *front.Config {
	return &front.Config{Limits: s.limits(), ProxyProtocol: s.Front.ProxyProtocol, Logger: log,
		Mode: s.access.Mode, Group: s.access.Group, Listener: s.inherited}
}

// maxMessage is the size in bytes of the largest message that a client may send.
func (s frontendSpec) maxMessage() int64 {
	if s.Type == "xpub" {
		return min(s.MaxMessage, policyfile.MaxSubscription)
	}
	return s.MaxMessage
}

// setRole gives the frontend's socket its security role.
func (s frontendSpec) setRole(socket *zmq4.Socket) error {
	switch s.Mechanism {
	case "null":
		return zmqauth.NullServer(socket, s.Domain)
	case "plain":
		return zmqauth.PlainServer(socket, s.Domain)
	case "curve":
		return zmqauth.CurveServer(socket, s.Domain, s.certificate)
	case "gssapi":
		return zmqauth.GSSAPIServer(socket, s.Domain, s.Principal)
	}
	return fmt.Errorf("mechanism %q", s.Mechanism)
}

// isIPv6 tells whether an endpoint to bind has an IPv6 address.
func isIPv6(bind string) bool {
	e, err := endpoint.ParseBind(bind)
	return err == nil && e.IsIPv6()
}

// lookupTime limits how long it takes to find out which addresses a backend's name has.
const lookupTime = 2 * time.Second

// reachesByIPv6 tells whether a backend is reached by IPv6: its host is such an address, or a name
// that has none of IPv4, or somebody listens at its IPv6 address and nobody at the other.
func reachesByIPv6(backend string) bool {
	e, err := endpoint.ParseConnect(backend)
	if err != nil {
		return false // the policy has been checked
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookupTime)
	defer cancel()
	ipv6, _, _ := e.Family(ctx) // without an answer it is IPv4
	return ipv6
}
