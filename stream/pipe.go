package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

const (
	// pipeBuffer is what is read at once: two records of TLS.
	pipeBuffer = 32 << 10
	// drainTime is how long a side has to end its half when the other side is gone and it has been
	// told so. It may first have to read what the other has sent before.
	drainTime = 30 * time.Second
)

// end is one side of a pipe.
type end struct {
	name string // for errors
	conn net.Conn
}

// closeWrite tells the peer that nothing will follow. A connection that has no halves is closed.
func (e end) closeWrite() {
	if closer, ok := e.conn.(interface{ CloseWrite() error }); ok {
		_ = closer.CloseWrite() // an error: then reading fails, too
		return
	}
	_ = e.conn.Close()
}

// isComplete tells whether all that the peer has sent was read, although reading has ended with an
// error: the peer of a Unix socket that is closed before it has read everything is said to have
// reset the connection.
func (e end) isComplete(err error) bool {
	_, ok := e.conn.(*net.UnixConn)
	return ok && errors.Is(err, syscall.ECONNRESET)
}

// reset ends the connection so that the peer can tell it from an orderly end: by TCP's reset, and
// with TLS without its notice, which Close would send.
func (e end) reset() {
	conn := e.conn
	for {
		wrapper, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		conn = wrapper.NetConn()
	}
	if tcp, ok := conn.(interface{ SetLinger(seconds int) error }); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
	_ = e.conn.Close()
}

// sideError tells which side of a pipe has failed.
type sideError struct {
	what, side string
	err        error
}

func (e *sideError) Error() string { return fmt.Sprintf("stream: %s %s: %v", e.what, e.side, e.err) }
func (e *sideError) Unwrap() error { return e.err }

// pipe copies what comes from each side to the other until both have ended, and closes both. The
// error is the first.
func pipe(ctx context.Context, a, b end) error { return newPipes(a, b, drainTime).copy(ctx) }

// pipes is both directions of a pipe.
type pipes struct {
	drainTime time.Duration

	mu     sync.Mutex
	halves [2]half
	err    error // the first; others follow from it
}

// half is one direction. What changes is guarded by the mutex of pipes.
type half struct {
	from, to end
	useless  bool // to takes nothing any more
	ended    bool
}

func newPipes(a, b end, drainTime time.Duration) *pipes {
	return &pipes{drainTime: drainTime, halves: [2]half{{from: a, to: b}, {from: b, to: a}}}
}

func (p *pipes) copy(ctx context.Context) error {
	a, b := p.halves[0].from, p.halves[1].from
	stop := context.AfterFunc(ctx, func() {
		a.reset()
		b.reset()
	})
	var group sync.WaitGroup
	for i := range p.halves {
		group.Go(func() { p.run(&p.halves[i], &p.halves[1-i]) })
	}
	group.Wait()
	if !stop() {
		return fmt.Errorf("stream: forwarding was ended: %w", context.Cause(ctx))
	}
	_ = a.conn.Close()
	_ = b.conn.Close()
	return p.err
}

var buffers = sync.Pool{New: func() any { return new([pipeBuffer]byte) }}

// run copies until h.from ends or fails. When h.to fails, what comes is dropped until then: h.to
// may have sent something before it went, which the other direction still delivers.
func (p *pipes) run(h, other *half) {
	buffer := buffers.Get().(*[pipeBuffer]byte)
	defer buffers.Put(buffer)
	useless := false
	for {
		n, err := h.from.conn.Read(buffer[:])
		if n > 0 && !useless {
			if _, err := h.to.conn.Write(buffer[:n]); err != nil {
				useless = true
				p.fail(&sideError{"write to", h.to.name, err})
				p.mark(h, other, func() { h.useless = true })
			}
		}
		if err == nil {
			continue
		}
		if err != io.EOF {
			p.fail(&sideError{"read from", h.from.name, err})
		}
		if err == io.EOF || isClosed(err) || h.from.isComplete(err) {
			h.to.closeWrite()
		} else {
			h.from.reset()
			h.to.reset()
		}
		p.mark(h, other, func() { h.ended = true })
		return
	}
}

// mark notes what has become of h. A direction that is useless has only the drain time left once
// the other has ended.
func (p *pipes) mark(h, other *half, change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	for _, pair := range [][2]*half{{h, other}, {other, h}} {
		if pair[0].useless && pair[1].ended {
			_ = pair[0].from.conn.SetReadDeadline(time.Now().Add(p.drainTime)) // an error: it is closed
		}
	}
}

// fail notes an error, unless it follows from another.
func (p *pipes) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil && !isClosed(err) {
		p.err = err
	}
}

// isClosed tells whether an error means that this end has closed the connection, as the other
// direction does where there are no halves to close.
func isClosed(err error) bool {
	return errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe)
}
