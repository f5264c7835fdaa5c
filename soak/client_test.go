package soak

import (
	"fmt"
	"strings"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/testrealm"
)

// client is a client of one server: its credentials, its address, and what the server must see.
type client struct {
	name     string // in reports
	server   *server
	source   string // the address that it connects from
	standing *standing
	changes  bool // the standing changes
	role     func(*zmq4.Socket) error
	// credentials are those of its ZAP requests; nil: the test sends no ZAP requests for it.
	credentials []string
	userID      string // of its messages
	title       string // the property "Role" of its messages
}

// The addresses of clients. All of 127.0.0.0/8 is loopback.
const (
	allowedAddress  = "127.1.0.1"     // gets in everywhere
	deniedNetwork   = "127.66.0.0/16" // is denied everywhere
	deniedAddress   = "127.66.0.1"    // in deniedNetwork
	unlistedAddress = "127.9.0.1"     // is in no list: domains with an allow list refuse it
)

// secretMark is part of every password. No line of the log may contain it.
const secretMark = "pa55word"

func nobodyRole(*zmq4.Socket) error { return nil }

// nullClient adds a NULL client, which has only an address.
func (h *server) nullClient(name, source string, s *standing) *client {
	return h.join(&client{
		name:        name,
		source:      source,
		standing:    s,
		role:        nobodyRole,
		credentials: []string{},
	})
}

// plainClient adds a PLAIN client.
func (h *server) plainClient(name, username, password string, s *standing) *client {
	return h.join(&client{
		name:        name,
		source:      allowedAddress,
		standing:    s,
		userID:      username,
		credentials: []string{username, password},
		role: func(socket *zmq4.Socket) error {
			return zmqauth.PlainClient(socket, username, password)
		},
	})
}

// curveClient adds a CURVE client.
func (h *server) curveClient(name string, c *zmqauth.Certificate, s *standing) *client {
	return h.join(&client{
		name:        name,
		source:      allowedAddress,
		standing:    s,
		userID:      c.Public.String(),
		title:       c.Metadata["Role"],
		credentials: []string{string(c.Public[:])},
		role: func(socket *zmq4.Socket) error {
			return zmqauth.CurveClient(socket, h.world.key.Public, c)
		},
	})
}

// gssapiClient adds a GSSAPI client. Its principal is given in the host-based form and in full. The
// test sends no ZAP requests for it, because the Authenticator delays refusals of a principal more
// and more.
func (h *server) gssapiClient(name, hostBased, full string, s *standing) *client {
	return h.join(&client{
		name:     name,
		source:   allowedAddress,
		standing: s,
		userID:   full,
		role: func(socket *zmq4.Socket) error {
			return zmqauth.GSSAPIClient(socket, hostBased, testrealm.Service)
		},
	})
}

// stranger adds a client that fails before libzmq sends a ZAP request: it uses another mechanism
// than the server or expects another server key.
func (h *server) stranger(name string, role func(*zmq4.Socket) error) *client {
	return h.join(&client{name: name, source: allowedAddress, standing: new(standing), role: role})
}

func (h *server) join(p *client) *client {
	p.changes = strings.HasPrefix(p.name, "changing") || p.name == "carol"
	p.name, p.server = h.domain+"/"+p.name, h
	if h.clients[p.name] != nil {
		panic("two clients are called " + p.name)
	}
	h.clients[p.name] = p
	return p
}

// addDenied adds the same client at an address that is denied everywhere. It must never get in,
// because rules for addresses override credentials.
func (p *client) addDenied() {
	other := *p
	other.name += ", denied"
	other.source, other.standing = deniedAddress, new(standing)
	p.server.clients[other.name] = &other
}

// request returns the ZAP request that libzmq sends for the client.
func (p *client) request() [][]byte {
	request := [][]byte{
		[]byte("1.0"),
		[]byte("1"),
		[]byte(p.server.domain),
		[]byte(p.source),
		nil,
		[]byte(p.server.mechanism),
	}
	for _, credential := range p.credentials {
		request = append(request, []byte(credential))
	}
	return request
}

// endpoint returns libzmq's form of the source address and the server's address.
func (p *client) endpoint() string {
	return fmt.Sprintf("tcp://%s:0;%s", p.source, p.server.address)
}
