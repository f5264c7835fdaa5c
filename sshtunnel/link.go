package sshtunnel

import (
	"bufio"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// link is the connection that an SSH connection runs over. It records when the server was last
// heard, and the first error.
type link struct {
	net.Conn
	ahead     *bufio.Reader // what comes from the server
	began     time.Time
	lastHeard atomic.Int64          // nanoseconds after began
	broken    atomic.Pointer[error] // the first error

	mu      sync.Mutex
	reading bool          // a goroutine is in Read
	resumed chan struct{} // closed when a goroutine enters Read; nil: nobody waits for that
}

// readAhead is how many bytes from the server a link takes at once. x/crypto itself would take a
// packet in two or three reads.
const readAhead = 256 << 10

func newLink(conn net.Conn) *link {
	return &link{Conn: conn, ahead: bufio.NewReaderSize(conn, readAhead), began: time.Now()}
}

func (l *link) Read(p []byte) (int, error) {
	l.setReading(true)
	n, err := l.ahead.Read(p)
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
	if reading && l.resumed != nil {
		close(l.resumed)
		l.resumed = nil
	}
}

// readAgain returns a channel that is closed as soon as a goroutine is in Read. If that happens,
// the SSH connection did not end with what was read before.
func (l *link) readAgain() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.resumed == nil {
		l.resumed = make(chan struct{})
	}
	resumed := l.resumed
	if l.reading {
		close(l.resumed)
		l.resumed = nil
	}
	return resumed
}

// Write fails once nothing more can be read. Otherwise x/crypto could wait for ever: for the answer
// to a channel that it opens after the end of the connection, but before it has noticed the end.
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

// silence returns how long nothing has come from the server.
func (l *link) silence() time.Duration {
	return time.Since(l.began) - time.Duration(l.lastHeard.Load())
}

// err returns why nothing more can be read; nil: the link works.
func (l *link) err() error {
	if err := l.broken.Load(); err != nil {
		return *err
	}
	return nil
}
