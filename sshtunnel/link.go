package sshtunnel

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// link is what an SSH connection runs over. It takes note of when the server was last heard, and of
// how that ended.
type link struct {
	net.Conn
	began     time.Time
	lastHeard atomic.Int64          // nanoseconds after began
	broken    atomic.Pointer[error] // the first error

	mu      sync.Mutex
	reading bool          // somebody is in Read
	entered chan struct{} // closed when somebody is again; nil: nobody waits for that
}

func newLink(conn net.Conn) *link { return &link{Conn: conn, began: time.Now()} }

func (l *link) Read(p []byte) (int, error) {
	l.setReading(true)
	n, err := l.Conn.Read(p)
	if n > 0 {
		l.lastHeard.Store(int64(time.Since(l.began)))
	}
	if err != nil {
		l.broken.CompareAndSwap(nil, &err)
	}
	l.setReading(false)
	return n, err
}

func (l *link) setReading(reading bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reading = reading
	if reading && l.entered != nil {
		close(l.entered)
		l.entered = nil
	}
}

// readOn is closed as soon as somebody wants to read: the SSH connection has not come to an end by
// what was read before.
func (l *link) readOn() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.entered == nil {
		l.entered = make(chan struct{})
	}
	entered := l.entered
	if l.reading {
		close(l.entered)
		l.entered = nil
	}
	return entered
}

// Write fails once nothing can come any more: x/crypto would wait for ever for the answer to a
// channel that it opens between the end of the connection and the moment when it knows of it.
func (l *link) Write(p []byte) (int, error) {
	if err := l.err(); err != nil {
		return 0, err
	}
	n, err := l.Conn.Write(p)
	if err != nil {
		l.broken.CompareAndSwap(nil, &err)
	}
	return n, err
}

// silence is how long nothing has come.
func (l *link) silence() time.Duration {
	return time.Since(l.began) - time.Duration(l.lastHeard.Load())
}

// err is why nothing can come any more; nil: something can.
func (l *link) err() error {
	if err := l.broken.Load(); err != nil {
		return *err
	}
	return nil
}
