package soak

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/front"
	"github.com/zmqauth/zmqauth/internal/must"
)

// server is a server's socket, its domain and its clients.
type server struct {
	world             *world
	domain, mechanism string
	address           string // HOST:PORT
	socket            *zmq4.Socket
	clients           map[string]*client

	guarded, fronted bool         // it is guarded; with a front
	front            *front.Front // of a server that is fronted
}

// handshakeTime is how long servers wait for a handshake. It is short, because a client that is
// told to try again does so after this time.
const handshakeTime = 2 * time.Second

// server adds a server. Its socket is not open yet.
func (w *world) server(domain, mechanism string) *server {
	h := &server{world: w, domain: domain, mechanism: mechanism, clients: make(map[string]*client)}
	w.servers[domain] = h
	return h
}

func (h *server) open(t *testing.T) {
	t.Helper()
	var err error
	h.socket, err = h.world.zctx.NewSocket(zmq4.PULL)
	must.OK(t, err)
	must.OK(t, errors.Join(
		h.socket.SetLinger(0),
		h.socket.SetRcvtimeo(50*time.Millisecond),
		h.socket.SetHandshakeIvl(handshakeTime),
		h.setRole(),
	))
	endpoint := ""
	if h.guarded {
		endpoint, err = h.guard()
	} else {
		must.OK(t, h.socket.Bind("tcp://127.0.0.1:*"))
		endpoint, err = h.socket.GetLastEndpoint()
	}
	must.OK(t, err)
	h.address = strings.TrimPrefix(endpoint, "tcp://")
}

func (h *server) setRole() error {
	switch h.mechanism {
	case "NULL":
		return zmqauth.NullServer(h.socket, h.domain)
	case "PLAIN":
		return zmqauth.PlainServer(h.socket, h.domain)
	case "CURVE":
		return zmqauth.CurveServer(h.socket, h.domain, h.world.key)
	default:
		return zmqauth.GSSAPIServer(h.socket, h.domain, "")
	}
}

// serve receives messages and checks them.
func (h *server) serve() {
	for {
		select {
		case <-h.world.end:
			return
		default:
		}
		text, properties, err := h.socket.RecvWithMetadata(0, "User-Id", "Peer-Address", "Role",
			"Session-Id", "Client-Address")
		switch {
		case err == nil:
			h.received(text, properties)
		case errors.Is(err, zmq4.Errno(syscall.EAGAIN)), errors.Is(err, zmq4.Errno(syscall.EINTR)):
		default:
			h.world.fault("%s: receiving: %v", h.domain, err)
			return
		}
	}
}

// received checks a message. Its text has the number of the visit.
func (h *server) received(text string, properties map[string]string) {
	if strings.HasPrefix(text, "member ") {
		h.fromMember(text, properties["Session-Id"])
		return
	}
	var number uint64
	if _, err := fmt.Sscanf(text, "visit %d", &number); err != nil {
		h.world.fault("%s: received %.100q of %q", h.domain, text, properties)
		return
	}
	known, ok := h.world.visits.LoadAndDelete(number)
	if !ok {
		h.world.fault("%s: received %q of %q twice, or from nobody", h.domain, text, properties)
		return
	}
	v := known.(*visit)
	p := v.client
	source := properties["Peer-Address"]
	if h.fronted {
		source = properties["Client-Address"]
	}
	if p.server != h || properties["User-Id"] != p.userID || source != p.source ||
		properties["Role"] != p.title || (properties["Session-Id"] != "") != h.guarded {
		h.world.fault("%s: a message of %s has the properties %q", h.domain, p.name, properties)
	}
	v.check("its message was received")
	close(v.arrived)
}
