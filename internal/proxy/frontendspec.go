package proxy

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/policyfile"
)

// frontendSpec is what a frontend is to be.
type frontendSpec struct {
	policyfile.Frontend
	certificate *zmqauth.Certificate // of a CURVE frontend, with the secret key
}

// same tells whether a frontend is to be what it is, wherever it stands in the file.
func (s frontendSpec) same(other frontendSpec) bool {
	a, b := s.Frontend, other.Frontend
	a.File, a.Line, a.Certificate = b.File, b.Line, b.Certificate
	if a != b || (s.certificate == nil) != (other.certificate == nil) {
		return false
	}
	return s.certificate == nil || s.certificate.Secret.Equal(*other.certificate.Secret)
}

// clashes tells whether two frontends cannot be bound at once, or perhaps cannot.
func (s frontendSpec) clashes(other frontendSpec) bool {
	a, isTCP := strings.CutPrefix(s.Bind, "tcp://")
	b, otherIsTCP := strings.CutPrefix(other.Bind, "tcp://")
	if !isTCP || !otherIsTCP {
		return s.Bind == other.Bind
	}
	number := a[strings.LastIndex(a, ":"):] // LoadPolicy has found one
	return number != ":*" && number != ":0" && strings.HasSuffix(b, number)
}

// pattern is what passes between the clients and the service of a type of frontends.
type pattern struct {
	front, back zmq4.Type
	down        bool // something goes to the clients, too
	replies     bool // namely an answer to each message, mostly
}

// For xsub the clients publish, and for xpub they subscribe; subscriptions go the other way.
var patterns = map[string]pattern{
	"router": {front: zmq4.ROUTER, back: zmq4.DEALER, down: true, replies: true},
	"xsub":   {front: zmq4.XSUB, back: zmq4.XPUB, down: true},
	"xpub":   {front: zmq4.XPUB, back: zmq4.XSUB, down: true},
	"pull":   {front: zmq4.PULL, back: zmq4.PUSH},
}

// role gives the frontend's socket its security role.
func (s frontendSpec) role(socket *zmq4.Socket) error {
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

// open makes the sockets of a frontend, connected to its service and not bound yet.
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
	err = errors.Join(front.SetIpv6(isIPv6(s.Bind)), back.SetIpv6(isIPv6(s.Backend)),
		front.SetLinger(0), back.SetLinger(0), front.SetMaxmsgsize(s.MaxMessage))
	if err == nil && kinds.back == zmq4.XPUB {
		err = back.SetXpubNodrop(true) // the publishers wait for a slow service, which is one, and not one of many
	}
	if err == nil {
		err = s.role(front)
	}
	if err == nil {
		err = back.Connect(s.Backend)
	}
	if err != nil {
		_, _ = front.Close(), back.Close()
		return nil, nil, err
	}
	return front, back, nil
}

func isIPv6(endpoint string) bool { return strings.Contains(endpoint, "[") }
