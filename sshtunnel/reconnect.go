package sshtunnel

import (
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/zmqauth/zmqauth/internal/reminder"
)

const (
	// firstPause is the pause before the first attempt.
	firstPause = 100 * time.Millisecond
	// After a connection that lasted this long, the pauses start over.
	goodConnection = 10 * time.Second
	// maxPause is the longest pause while the server cannot be reached.
	maxPause = 30 * time.Second
	// maxRefusedPause is the longest pause while the server refuses the user or cannot prove its
	// identity. A user who tries too often may be locked out.
	maxRefusedPause = 5 * time.Minute
)

// watch opens the connection again whenever it is lost, until Close.
func (t *Tunnel) watch() {
	conn, opened, tries := t.conn, time.Now(), 0
	var failed reminder.Events
	for {
		select {
		case <-conn.done:
		case <-t.ctx.Done():
			return
		}
		t.set(nil, conn.failure)
		if t.ctx.Err() != nil {
			return
		}
		t.logger.Warn("sshtunnel: the connection is lost, and is opened again",
			"host", t.last().String(), "error", conn.failure)
		if time.Since(opened) > goodConnection {
			tries = 0 // only now, to spare a server that drops each connection at once
		}
		if conn = t.reconnect(&tries, &failed); conn == nil {
			return
		}
		opened = time.Now()
		t.serveIncoming(conn)
		t.set(conn, nil)
		t.logger.Info("sshtunnel: the connection is back", "host", t.last().String())
	}
}

// reconnect tries until it has a connection. It returns nil if the tunnel is closed first. An
// attempt that fails is logged as a warning when failed says so, and else for debugging.
func (t *Tunnel) reconnect(tries *int, failed *reminder.Events) *connection {
	var err error
	for {
		timer := time.NewTimer(pause(*tries, longestPause(err)))
		select {
		case <-timer.C:
		case <-t.ctx.Done():
			timer.Stop()
			return nil
		}
		*tries++
		var conn *connection
		conn, err = connect(t.ctx, t.targets, t.secrets)
		if t.ctx.Err() != nil {
			if conn != nil {
				conn.end(ErrClosed)
				<-conn.done
			}
			return nil
		}
		if err == nil {
			return conn
		}
		t.set(nil, err)
		level := slog.LevelDebug
		if _, due := failed.Due(time.Now()); due {
			level = slog.LevelWarn
		}
		t.logger.Log(t.ctx, level, "sshtunnel: the connection cannot be opened again yet",
			"host", t.last().String(), "attempt", *tries, "error", err)
	}
}

// longestPause returns the longest pause after an attempt that failed with err. It is longer if
// another attempt is of little use before somebody changes something.
func longestPause(err error) time.Duration {
	var refused *AuthError
	var hostKey *HostKeyError
	if errors.As(err, &refused) || errors.As(err, &hostKey) {
		return maxRefusedPause
	}
	return maxPause
}

// pause returns how long to wait before the next attempt. It doubles with each attempt. A random
// part of up to half is subtracted, so that the clients of a server that comes back do not all
// connect at once.
func pause(tries int, longest time.Duration) time.Duration {
	d := longest
	if tries < 20 {
		d = min(firstPause<<tries, longest)
	}
	return d/2 + rand.N(d/2)
}
