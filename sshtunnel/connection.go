package sshtunnel

import (
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

// connection is one SSH connection, through all jump hosts. After its end it is not used again: the
// Tunnel makes another.
type connection struct {
	clients []*ssh.Client // one for each host; streams use the last
	base    *link         // the TCP connection to the first host
	last    *link         // what the SSH connection to the last host runs over
	done    chan struct{} // closed when it has ended
	failure error         // why; set before done is closed

	mu     sync.Mutex
	reason error // why this side has ended it; nil: it has not
}

// client returns the client that streams go through.
func (c *connection) client() *ssh.Client { return c.clients[len(c.clients)-1] }

// start watches a connection until it ends.
func (c *connection) start(t *target) {
	c.done = make(chan struct{})
	go func() {
		err := c.client().Wait()
		c.closeAll()
		c.failure = c.describe(t, err)
		close(c.done)
	}()
	if t.keepAlive > 0 {
		go c.keepAlive(t.keepAlive, t.aliveCount)
	}
}

// describe returns why a connection has ended with err.
func (c *connection) describe(t *target, err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.reason == ErrClosed:
		return ErrClosed
	case c.reason != nil:
		err = c.reason
	case errors.Is(err, io.EOF):
		err = errors.New("the server has closed the connection")
	}
	return fmt.Errorf("sshtunnel: %s: %w", t, err)
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

// closeAll closes the connections to the hosts, the last one first. It closes the TCP connection
// before that, so that nothing waits for a host that does not answer.
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

// ending reports whether the connection is known to be over. That is so before it has ended.
func (c *connection) ending() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reason != nil || c.base.err() != nil || c.last.err() != nil
}

// cutOff is called when a stream has ended. It returns an error if the stream ended because the
// connection was lost, and nil if the far end ended it.
//
// When a connection is lost, x/crypto first ends all channels as if the far ends had closed them,
// and then the connection. The two cases differ in what the reader of the link does next. If the
// end of the stream was an ordinary message, it reads on. If it has met an error, such as a packet
// that was changed on the way, it does not.
func (c *connection) cutOff() error {
	if !c.ending() {
		select {
		case <-c.last.readAgain():
			if !c.ending() {
				return nil
			}
		case <-c.done:
		}
	}
	<-c.done
	return c.failure
}

// keepAlive sends a keepalive request after each interval of silence. It ends the connection if
// nothing has come for count further intervals.
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
				// Returns when the connection ends at the latest.
				_, _, _ = c.client().SendRequest("keepalive@openssh.com", true, nil)
				asking.Store(false)
			}()
		}
		timer.Reset(interval)
	}
}
