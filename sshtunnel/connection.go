package sshtunnel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// errSilent ends a connection whose server does not answer.
var errSilent = errors.New("the server does not answer any more")

// connection is one SSH connection, through all the hosts on the way. When it has ended it does not come back: the Tunnel
// makes another.
type connection struct {
	clients []*ssh.Client // one for each host; streams go through the last
	base    *link         // the TCP connection to the first host
	last    *link         // what the last host's SSH runs over
	done    chan struct{} // closed when it has ended
	failure error         // why; set before done is closed

	mu     sync.Mutex
	reason error      // why this side has ended it
	next   *roundTrip // one that has not gone out yet
	asking sync.Mutex // held by the one that is out
}

// client is the one that streams go through.
func (c *connection) client() *ssh.Client { return c.clients[len(c.clients)-1] }

// start watches over a connection until it ends.
func (c *connection) start(t *target) {
	c.done = make(chan struct{})
	go func() {
		err := c.client().Wait()
		c.mu.Lock()
		if c.reason != nil {
			err = c.reason
		} else if errors.Is(err, io.EOF) {
			err = errors.New("the server has closed the connection")
		}
		c.mu.Unlock()
		c.closeAll()
		c.failure = fmt.Errorf("sshtunnel: %s: %w", t, err)
		close(c.done)
	}()
	if t.keepAlive > 0 {
		go c.keepAlive(t.keepAlive, t.aliveCount)
	}
}

// end closes the connection from this side.
func (c *connection) end(reason error) {
	c.mu.Lock()
	if c.reason == nil {
		c.reason = reason
	}
	c.mu.Unlock()
	c.closeAll()
}

// closeAll closes the hosts' connections, the last one first. The TCP connection goes before that: nothing may wait for a
// host that does not answer.
func (c *connection) closeAll() {
	if c.base != nil {
		_ = c.base.Close()
	}
	for i := len(c.clients) - 1; i >= 0; i-- {
		_ = c.clients[i].Close()
	}
}

func (c *connection) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// keepAlive asks a server that has been silent for an interval whether it is there, and ends the connection after count
// more without a sound.
func (c *connection) keepAlive(interval time.Duration, count int) {
	timer := time.NewTimer(interval)
	defer timer.Stop()
	var asking atomic.Bool
	for {
		select {
		case <-c.done:
			return
		case <-timer.C:
		}
		silence := c.last.silence()
		if silence >= interval*time.Duration(count+1) {
			c.end(fmt.Errorf("%w: nothing has come for %s", errSilent, silence.Round(time.Millisecond)))
			return
		}
		if silence < interval {
			timer.Reset(interval - silence)
			continue
		}
		if asking.CompareAndSwap(false, true) {
			go func() {
				_, _, _ = c.client().SendRequest("keepalive@openssh.com", true, nil) // until the connection ends at the latest
				asking.Store(false)
			}()
		}
		timer.Reset(interval)
	}
}

// roundTrip is a question to the server that many may wait for.
type roundTrip struct {
	done chan struct{}
	err  error
}

// confirm returns nil once the server has answered something that went out after the call, and an error when the
// connection has ended or ctx has. Calls share what is asked.
func (c *connection) confirm(ctx context.Context) error {
	if c.last.err() == nil && c.base.err() == nil {
		trip := c.ask()
		select {
		case <-trip.done:
			if trip.err == nil {
				return nil
			}
		case <-c.done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	select {
	case <-c.done: // where nothing can be asked, that is about to come
		return c.failure
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ask joins the round trip that is to start next.
func (c *connection) ask() *roundTrip {
	c.mu.Lock()
	defer c.mu.Unlock()
	trip := c.next
	if trip == nil {
		trip = &roundTrip{done: make(chan struct{})}
		c.next = trip
		go c.goRound(trip)
	}
	return trip
}

// goRound asks for a channel of a kind that there is not, which a server has to refuse (RFC 4254, section 5.1). A global
// request would do as well, but sshd answers one with all that it has to say before it reads on: where both sides have
// much to say, and x/crypto waits to send before it reads on, that is the end of it.
func (c *connection) goRound(trip *roundTrip) {
	c.asking.Lock()
	defer c.asking.Unlock()
	c.mu.Lock()
	c.next = nil
	c.mu.Unlock()
	channel, requests, err := c.client().OpenChannel("confirm@zmqauth", nil)
	var refused *ssh.OpenChannelError
	switch {
	case err == nil:
		go ssh.DiscardRequests(requests)
		_ = channel.Close()
	case !errors.As(err, &refused):
		trip.err = err
	}
	close(trip.done)
}
