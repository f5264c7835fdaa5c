package sshtunnel

import (
	"sync"
	"time"
)

// warnInterval is the least time between two warnings about a remote that cannot be reached.
const warnInterval = time.Minute

// reachability logs that something cannot be reached, once a minute at most, and that it can be
// reached again.
type reachability struct {
	tunnel *Tunnel
	name   string

	mu     sync.Mutex
	warned time.Time // when a warning was logged last; zero: it can be reached
}

func (r *reachability) report(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	logger := r.tunnel.logger.With("remote", r.name)
	switch {
	case r.tunnel.ctx.Err() != nil:
	case err == nil && !r.warned.IsZero():
		r.warned = time.Time{}
		logger.Info("sshtunnel: the remote can be reached again")
	case err != nil && time.Since(r.warned) >= warnInterval:
		r.warned = time.Now()
		logger.Warn("sshtunnel: the remote cannot be reached", "error", err)
	case err != nil:
		logger.Debug("sshtunnel: the remote cannot be reached", "error", err)
	}
}
