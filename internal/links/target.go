package links

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/zmqauth/zmqauth/internal/reminder"
	"github.com/zmqauth/zmqauth/stream"
)

// target is where connections are carried. It logs that they cannot be, at once and at growing
// intervals, and that they can be again.
type target struct {
	log *slog.Logger

	mu       sync.Mutex
	reminder reminder.Events
	away     bool // the log's last word is that they cannot be
}

func (t *target) report(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		if t.away {
			t.away = false
			t.log.Info(MessageBack)
		}
		return
	}
	if count, due := t.reminder.Due(time.Now()); due {
		t.away = true
		t.log.Warn(MessageAway, "error", plain{err}, "times", count)
		return
	}
	t.log.Debug(MessageAway, "error", plain{err})
}

// turn delays the connections to a server that cannot be used. A ZeroMQ socket alone would try ten
// times a second. The zero value is ready.
type turn struct {
	mu     sync.Mutex
	failed int       // failures in a row
	at     time.Time // when the next connection may be tried
}

// After a failure the next connection waits for minDelay, twice as long after each further failure,
// and for maxDelay at most.
const (
	minDelay = 50 * time.Millisecond
	maxDelay = time.Second
)

// await waits until the server may be tried. It returns false if ctx ends first.
func (t *turn) await(ctx context.Context) bool {
	t.mu.Lock()
	wait := time.Until(t.at)
	t.mu.Unlock()
	if wait <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// note records whether the server could be used.
func (t *turn) note(failed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !failed {
		t.failed, t.at = 0, time.Time{}
		return
	}
	t.at = time.Now().Add(min(minDelay<<min(t.failed, 10), maxDelay))
	t.failed++
}

// reset ends a connection so that the peer does not take it for an orderly end. A Unix socket is
// closed, because it has no reset.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// resetTLS is reset for a connection with TLS.
func resetTLS(conn net.Conn) {
	if wrapper, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = wrapper.NetConn()
	}
	reset(conn)
}

// certificateAttrs describe a certificate for the log.
func certificateAttrs(c *x509.Certificate) []any {
	return []any{
		"subject", c.Subject.String(), "serial", fmt.Sprintf("%x", c.SerialNumber),
		"sha256", fmt.Sprintf("%x", sha256.Sum256(c.Raw)),
	}
}

// quieter logs for debugging what is information elsewhere: that a client has hung up before it was
// let in or refused. So does whoever looks whether somebody listens, every few seconds.
type quieter struct{ slog.Handler }

// Handle implements slog.Handler.
func (q quieter) Handle(ctx context.Context, r slog.Record) error {
	if r.Level == slog.LevelInfo && isHangUp(r) {
		r.Level = slog.LevelDebug
		if !q.Handler.Enabled(ctx, r.Level) {
			return nil
		}
	}
	return q.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (q quieter) WithAttrs(attrs []slog.Attr) slog.Handler {
	return quieter{q.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (q quieter) WithGroup(name string) slog.Handler { return quieter{q.Handler.WithGroup(name)} }

// isHangUp tells whether a line says that a client is not let in because it has gone.
func isHangUp(r slog.Record) (is bool) {
	r.Attrs(func(attr slog.Attr) bool {
		err, _ := attr.Value.Any().(error)
		refused, ok := errors.AsType[*stream.AuthenticationError](err)
		is = is || ok && (errors.Is(refused, io.EOF) || errors.Is(refused, syscall.ECONNRESET))
		return !is
	})
	return is
}
