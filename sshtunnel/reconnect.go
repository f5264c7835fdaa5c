package sshtunnel

import (
	"errors"
	"math/rand/v2"
	"time"
)

const (
	firstPause = 100 * time.Millisecond
	// A connection that has lasted so long was a good one: after it the pauses begin anew.
	goodConnection = 10 * time.Second
	// The longest pause before the next attempt, where the server cannot be reached…
	maxPause = 30 * time.Second
	// …and where it has refused the user, who may be locked out for asking again and again, or
	// cannot prove who it is.
	maxRefusedPause = 5 * time.Minute
)

// watch opens the connection again whenever it is lost, until Close.
func (t *Tunnel) watch() {
	conn, opened, tries := t.conn, time.Now(), 0
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
		t.logger.Warn("sshtunnel: the connection is lost, and is opened again", "host", t.last().String(), "error", conn.failure)
		if time.Since(opened) > goodConnection {
			tries = 0 // else a server that drops everybody at once would see this one all the time
		}
		if conn = t.reconnect(&tries); conn == nil {
			return
		}
		opened = time.Now()
		t.set(conn, nil)
		t.logger.Info("sshtunnel: the connection is back", "host", t.last().String())
	}
}

// reconnect tries until it has a connection; nil: the tunnel is closed.
func (t *Tunnel) reconnect(tries *int) *connection {
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
		t.logger.Warn("sshtunnel: the connection cannot be opened again yet",
			"host", t.last().String(), "attempt", *tries, "error", err)
	}
}

// longestPause is the one after an attempt that has failed with err: longer where another is of
// little use until somebody has changed something.
func longestPause(err error) time.Duration {
	var refused *AuthError
	var stranger *HostKeyError
	if errors.As(err, &refused) || errors.As(err, &stranger) {
		return maxRefusedPause
	}
	return maxPause
}

// pause is how long to wait before an attempt after so many others: twice as long each time, less
// up to half of it, so that many clients of a server that comes back do not all come at once.
func pause(tries int, longest time.Duration) time.Duration {
	d := longest
	if tries < 20 {
		d = min(firstPause<<tries, longest)
	}
	return d/2 + rand.N(d/2)
}
