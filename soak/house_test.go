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
	"github.com/zmqauth/zmqauth/internal/must"
)

// house is a server's socket.
type house struct {
	world             *world
	domain, mechanism string
	address           string // HOST:PORT
	socket            *zmq4.Socket
	people            map[string]*person
}

// handshakeTime is what the houses give a client: short, because one that is told to try again
// comes back after it.
const handshakeTime = 2 * time.Second

// house makes one that has not been opened.
func (w *world) house(domain, mechanism string) *house {
	h := &house{world: w, domain: domain, mechanism: mechanism, people: make(map[string]*person)}
	w.houses[domain] = h
	return h
}

func (h *house) open(t *testing.T) {
	t.Helper()
	var err error
	h.socket, err = h.world.zctx.NewSocket(zmq4.PULL)
	must.OK(t, err)
	must.OK(t, errors.Join(h.socket.SetLinger(0), h.socket.SetRcvtimeo(50*time.Millisecond), h.socket.SetHandshakeIvl(handshakeTime), h.giveRole()))
	must.OK(t, h.socket.Bind("tcp://127.0.0.1:*"))
	endpoint, err := h.socket.GetLastEndpoint()
	must.OK(t, err)
	h.address = strings.TrimPrefix(endpoint, "tcp://")
}

func (h *house) giveRole() error {
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

// serve looks at all that gets in.
func (h *house) serve() {
	for {
		select {
		case <-h.world.end:
			return
		default:
		}
		text, properties, err := h.socket.RecvWithMetadata(0, "User-Id", "Peer-Address", "Role")
		if err == nil {
			h.received(text, properties)
		} else if !errors.Is(err, zmq4.Errno(syscall.EAGAIN)) && !errors.Is(err, zmq4.Errno(syscall.EINTR)) {
			h.world.fault("%s: receiving: %v", h.domain, err)
			return
		}
	}
}

// received judges a message, which says whose visit it is of.
func (h *house) received(text string, properties map[string]string) {
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
	p := v.person
	if p.house != h || properties["User-Id"] != p.userID || properties["Peer-Address"] != p.source || properties["Role"] != p.title {
		h.world.fault("%s: a message of %s has the properties %q", h.domain, p.name, properties)
	}
	v.check("its message was received")
	close(v.arrived)
}
