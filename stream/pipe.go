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
	// pipeBuffer is the number of bytes read at once: two TLS records.
	pipeBuffer = 32 << 10
	// drainTime is how long a side may take to end its half after the other side is gone. It may first
	// have to read what the other side has sent before.
	drainTime = 30 * time.Second
)

// end is one side of a pipe.
type end struct {
	name string // for errors
	conn net.Conn
}

// closeWrite tells the peer that nothing will follow. A connection that cannot be half-closed is
// closed.
func (e end) closeWrite() {
	if closer, ok := e.conn.(interface{ CloseWrite() error }); ok {
		_ = closer.CloseWrite() // if this fails, reading fails, too
		return
	}
	_ = e.conn.Close()
}

// isComplete reports whether everything that the peer sent has been read although reading ended
// with err. If the peer of a Unix socket closes it before it has read everything, the system
// reports a reset.
func (e end) isComplete(err error) bool {
	_, ok := e.conn.(*net.UnixConn)
	return ok && errors.Is(err, syscall.ECONNRESET)
}

// reset ends the connection so that the peer can tell it from an orderly end: with a TCP reset, and
// under TLS without the close_notify alert that Close would send.
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

// sideError says which side of a pipe has failed.
type sideError struct {
	what, side string
	err        error
}

func (e *sideError) Error() string {
	return fmt.Sprintf("stream: %s %s: %v", e.what, e.side, e.err)
}
func (e *sideError) Unwrap() error { return e.err }

// pipe copies data between a and b until both directions have ended, and closes both. It returns
// the first error.
func pipe(ctx context.Context, a, b end) error { return newPipes(a, b, drainTime).copy(ctx) }

// pipes are both directions of a pipe.
type pipes struct {
	drainTime time.Duration

	mu     sync.Mutex
	halves [2]half
	err    error // the first one, which causes the others
}

// half is one direction. The mutex of pipes guards the fields that change.
type half struct {
	from, to end
	broken   bool // writes to "to" have failed
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
		group.Go(func() { p.run(ctx, &p.halves[i], &p.halves[1-i]) })
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

// run copies data until h.from ends or fails. If h.to fails, run still reads h.from to its end and
// discards the data. h.to may have sent something before it failed, which the other direction still
// delivers. If ctx has ended, both are reset: whoever has closed them, that is no orderly end.
func (p *pipes) run(ctx context.Context, h, other *half) {
	buffer := buffers.Get().(*[pipeBuffer]byte)
	defer buffers.Put(buffer)
	broken := false
	for {
		n, err := h.from.conn.Read(buffer[:])
		if n > 0 && !broken {
			if _, err := h.to.conn.Write(buffer[:n]); err != nil {
				broken = true
				p.fail(&sideError{"write to", h.to.name, err})
				p.mark(h, other, func() { h.broken = true })
			}
		}
		if err == nil {
			continue
		}
		if err != io.EOF {
			p.fail(&sideError{"read from", h.from.name, err})
		}
		if ctx.Err() == nil && (err == io.EOF || isClosed(err) || h.from.isComplete(err)) {
			h.to.closeWrite()
		} else {
			h.from.reset()
			h.to.reset()
		}
		p.mark(h, other, func() { h.ended = true })
		return
	}
}

// mark changes the state of h. If one direction is broken and the other has ended, the broken one
// gets drainTime to end.
func (p *pipes) mark(h, other *half, change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	for _, pair := range [][2]*half{{h, other}, {other, h}} {
		if pair[0].broken && pair[1].ended {
			// An error means that the connection is closed already.
			_ = pair[0].from.conn.SetReadDeadline(time.Now().Add(p.drainTime))
		}
	}
}

// fail records an error, unless an earlier error is its cause.
func (p *pipes) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil && !isClosed(err) {
		p.err = err
	}
}

// isClosed reports whether an error means that this process has closed the connection. The other
// direction does that if the connection cannot be half-closed.
func isClosed(err error) bool {
	return errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe)
}
