package sshtunnel

import (
	"net"
	"sync/atomic"
	"time"
)

// link is what an SSH connection runs over. It takes note of when the server was last heard, and of how that ended.
type link struct {
	net.Conn
	began     time.Time
	lastHeard atomic.Int64          // nanoseconds after began
	broken    atomic.Pointer[error] // the first error of Read
}

func newLink(conn net.Conn) *link { return &link{Conn: conn, began: time.Now()} }

func (l *link) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	if n > 0 {
		l.lastHeard.Store(int64(time.Since(l.began)))
	}
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
