package soak

import (
	"fmt"
	"strings"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/testrealm"
)

// person is a client: what it proves, from where, and what the server must make of it.
type person struct {
	name     string // as its messages have it
	house    *house
	source   string // the address that it comes from
	standing *standing
	changes  bool // its standing does
	role     func(*zmq4.Socket) error
	// credentials are what a ZAP request about it has; nil: it never gets so far as to be asked about.
	credentials []string
	userID      string
	title       string // the property "Role" that its messages have
}

// Addresses: all of 127.0.0.0/8 is loopback.
const (
	welcome = "127.1.0.1"     // is let in everywhere
	banned  = "127.66.0.0/16" // is denied everywhere
	outlaw  = "127.66.0.1"
	unnamed = "127.9.0.1" // in no list: kept out where there is an allow list
)

// secretMark is in every password: no line of the log may have it.
const secretMark = "pa55word"

func nobodyRole(*zmq4.Socket) error { return nil }

// visitor is a NULL client, known by its address alone.
func (h *house) visitor(name, source string, s *standing) *person {
	return h.join(&person{name: name, source: source, standing: s, role: nobodyRole, credentials: []string{}})
}

// user is a PLAIN client.
func (h *house) user(name, username, password string, s *standing) *person {
	return h.join(&person{name: name, source: welcome, standing: s, userID: username, credentials: []string{username, password},
		role: func(socket *zmq4.Socket) error { return zmqauth.PlainClient(socket, username, password) }})
}

// holder is a CURVE client.
func (h *house) holder(name string, c *zmqauth.Certificate, s *standing) *person {
	return h.join(&person{name: name, source: welcome, standing: s, userID: c.Public.String(), title: c.Metadata["Role"],
		credentials: []string{string(c.Public[:])},
		role:        func(socket *zmq4.Socket) error { return zmqauth.CurveClient(socket, h.world.key.Public, c) }})
}

// principal is a GSSAPI client; name is host-based, full what Kerberos makes of it.
func (h *house) principal(name, hostBased, full string, s *standing) *person {
	return h.join(&person{name: name, source: welcome, standing: s, userID: full, // who is refused would be held back, were it asked about otherwise
		role: func(socket *zmq4.Socket) error { return zmqauth.GSSAPIClient(socket, hostBased, testrealm.Service) }})
}

// stranger is somebody who comes to the wrong door, or cannot open it: it never gets so far as to
// be asked about.
func (h *house) stranger(name string, role func(*zmq4.Socket) error) *person {
	return h.join(&person{name: name, source: welcome, standing: new(standing), role: role})
}

func (h *house) join(p *person) *person {
	p.changes = strings.HasPrefix(p.name, "changing") || p.name == "carol"
	p.name, p.house = h.domain+"/"+p.name, h
	if h.people[p.name] != nil {
		panic("two of the name " + p.name)
	}
	h.people[p.name] = p
	return p
}

// outlawed is the same client from an address that is denied everywhere: an address beats every
// credential.
func (p *person) outlawed() {
	other := *p
	other.name += ", outlawed"
	other.source, other.standing = outlaw, new(standing)
	p.house.people[other.name] = &other
}

// request is what libzmq asks about the person.
func (p *person) request() [][]byte {
	request := [][]byte{[]byte("1.0"), []byte("1"), []byte(p.house.domain), []byte(p.source), nil, []byte(p.house.mechanism)}
	for _, credential := range p.credentials {
		request = append(request, []byte(credential))
	}
	return request
}

// endpoint is where it connects to, and from where.
func (p *person) endpoint() string { return fmt.Sprintf("tcp://%s:0;%s", p.source, p.house.address) }
