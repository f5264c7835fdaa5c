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
