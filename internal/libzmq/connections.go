package libzmq

import (
	"context"
	"runtime"
	"sync"
	"time"
	"weak"

	"github.com/pebbe/zmq4"
)

// Connections remembers connections for as long as their sockets are in use. libzmq can end all of
// a socket's connections to one endpoint, and not one of them. So whoever makes another has to know
// of a live one. The zero value is ready.
type Connections struct {
	mu       sync.Mutex
	bySocket map[weak.Pointer[zmq4.Socket]]map[string]Descriptor
}

// Add remembers a connection to an endpoint by its descriptor.
func (t *Connections) Add(s *zmq4.Socket, endpoint string, fd int) {
	descriptor, err := Identify(fd)
	if err != nil { // it has ended
		return
	}
	key := weak.Make(s)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.bySocket == nil {
		t.bySocket = make(map[weak.Pointer[zmq4.Socket]]map[string]Descriptor)
	}
	if t.bySocket[key] == nil {
		t.bySocket[key] = make(map[string]Descriptor)
		runtime.AddCleanup(s, t.forget, key)
	}
	t.bySocket[key][endpoint] = descriptor
}

func (t *Connections) forget(key weak.Pointer[zmq4.Socket]) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.bySocket, key)
}

// closeTime is how long libzmq may take to close a connection that the program has disconnected.
const closeTime = 500 * time.Millisecond

// IsAlive tells whether the connection that was remembered last is still open. One that has just
// been disconnected gets closeTime to end, within ctx.
func (t *Connections) IsAlive(ctx context.Context, s *zmq4.Socket, endpoint string) bool {
	key := weak.Make(s)
	t.mu.Lock()
	descriptor, known := t.bySocket[key][endpoint]
	t.mu.Unlock()
	if !known {
		return false
	}
	if kind, err := s.GetType(); err != nil || isSingleConnect(kind) {
		return false // libzmq itself makes no second one
	}
	ctx, cancel := context.WithTimeout(ctx, closeTime)
	defer cancel()
	for look := time.NewTicker(closeTime / 100); ; {
		_, _ = s.GetEvents() // has libzmq go on with what it does for this socket
		if now, err := Identify(descriptor.FD); err != nil || now != descriptor {
			look.Stop()
			return false
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			look.Stop()
			return true
		}
	}
}

// isSingleConnect tells whether sockets of a type have one connection to an endpoint at most.
func isSingleConnect(kind zmq4.Type) bool {
	return kind == zmq4.REQ || kind == zmq4.DEALER || kind == zmq4.SUB || kind == zmq4.PUB
}
