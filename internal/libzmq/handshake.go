package libzmq

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/endpoint"
)

// handshake is what a connecting socket's monitor tells of its connection to one endpoint.
type handshake struct {
	socket   *zmq4.Socket
	endpoint string             // as it was given
	target   *endpoint.Endpoint // of TCP, else nil
	monitor  *zmq4.Socket
	poller   *zmq4.Poller
	address  string // the endpoint as libzmq has it, and as events name it

	isConnected bool // the socket has been connected, and has to be disconnected after a failure

	events     []string
	reached    bool // somebody has accepted a connection
	gssapi     bool
	connected  time.Time // of the handshake under way, zero: none
	descriptor int       // of its connection
	succeeded  bool      // it has succeeded, though its connection may not be known yet
	cuts       int       // handshakes cut off at once, in a row
	firstCut   time.Time // when the first of them had begun

	ipv6      bool      // how the socket is connected
	undecided bool      // whether that is right, because nobody listens yet
	lookAgain time.Time // when to ask again
	lookup    error     // why the host's name has no address; nil: it has
}

// When handshakes have been cut off so often, or for so long, they always will be: libzmq tries
// again every 0.1 to 0.2 s, and gives up by itself after some mismatches. A handshake under way may
// still succeed: a reply of 300 that comes very fast cuts one off, a slower one leaves the next
// open.
const (
	maxCuts   = 5
	cutPeriod = 1500 * time.Millisecond
	// A handshake that lasts longer was not cut off, but ran out of time. For GSSAPI see ended.
	quickCut   = time.Second
	lastEvents = 8
	monitorRun = 20 * time.Millisecond // how long a cancelled context may go unnoticed
	lookPause  = time.Second           // between two looks at which address family is right
)

var monitors atomic.Uint64 // numbers their endpoints

// open sets the socket's monitor.
func (h *handshake) open(ctx context.Context) error {
	zctx, err := h.socket.Context()
	if err != nil {
		return err
	}
	mechanism, err := h.socket.GetMechanism()
	if err != nil {
		return err
	}
	h.gssapi = mechanism == zmq4.GSSAPI
	// The reader is made first: without one libzmq waits for ever as soon as it has something to say.
	// It is connected last: a connect to an address that nobody binds keeps a context from ending.
	if h.monitor, err = zctx.NewSocket(zmq4.PAIR); err != nil {
		return fmt.Errorf("a socket for its monitor: %w", err)
	}
	address := fmt.Sprintf("inproc://zmqauth-handshake-%d", monitors.Add(1))
	if err := errors.Join(h.monitor.SetLinger(0), h.monitor.SetRcvhwm(0)); err != nil {
		_ = h.monitor.Close()
		return err
	}
	if err := h.setMonitor(ctx, address); err != nil {
		return err
	}
	if err := h.monitor.Connect(address); err != nil { // the context ends, and with it the monitor
		h.close()
		return err
	}
	h.poller = zmq4.NewPoller()
	h.poller.Add(h.monitor, zmq4.POLLIN)
	return nil
}

// monitorTime is far more than libzmq takes to set a monitor, unless it waits for the reader of the
// one that was there before. monitorGrace is what it gets once the context has ended.
const (
	monitorTime  = time.Second
	monitorGrace = 100 * time.Millisecond
)

// errUnreadMonitor says that libzmq waits for a reader that may never come.
var errUnreadMonitor = errors.New("the socket has a monitor that nobody reads: end it first, " +
	`with Monitor("", 0)`)

// setMonitor sets the monitor. libzmq ends the one that was there before, and waits for its reader.
// setMonitor does not wait for that longer than ctx, or a moment: then the error is
// errUnreadMonitor, and what is set too late is undone. After an error the reader is not the
// caller's to close.
func (h *handshake) setMonitor(ctx context.Context, address string) error {
	set := make(chan error, 1)
	go func() { set <- h.socket.Monitor(address, zmq4.EVENT_ALL) }()
	late := time.NewTimer(monitorTime)
	defer late.Stop()
	stop := context.AfterFunc(ctx, func() { late.Reset(monitorGrace) })
	defer stop()
	select {
	case err := <-set:
		if err != nil {
			_ = h.monitor.Close()
			return fmt.Errorf("its monitor: %w", err)
		}
		return nil
	case <-late.C:
	}
	go func() {
		if <-set == nil && h.monitor.Connect(address) == nil {
			_ = h.socket.Monitor("", 0) // which needs the reader
		}
		_ = h.monitor.Close()
	}()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w; %w", err, errUnreadMonitor)
	}
	return errUnreadMonitor
}

func (h *handshake) close() {
	_ = h.socket.Monitor("", 0)
	_ = h.monitor.Close()
}

// connect connects the socket. Its IPv6 option is as it was afterwards: it counts for the
// connections that are made while it is set.
func (h *handshake) connect(ctx context.Context) error {
	before, err := h.socket.GetIpv6()
	if err != nil {
		return err
	}
	h.ipv6 = before
	if h.target != nil {
		h.chooseFamily(ctx)
	}
	if ctx.Err() != nil {
		return h.interrupted(ctx)
	}
	marker, err := h.markLastEndpoint()
	if err != nil {
		return err
	}
	if err := h.socket.SetIpv6(h.ipv6); err != nil {
		return err
	}
	err = h.socket.Connect(h.endpoint)
	h.isConnected = err == nil
	if err := errors.Join(err, h.socket.SetIpv6(before)); err != nil {
		return err
	}
	if h.address, err = h.socket.GetLastEndpoint(); err != nil {
		return err
	}
	h.isConnected = h.address != marker
	if !h.isConnected {
		return ErrConnected
	}
	return nil
}

// disconnect ends what connect has made, if it has made anything.
func (h *handshake) disconnect() {
	if h.isConnected {
		_ = h.socket.Disconnect(h.endpoint)
	}
}

// chooseFamily tells whether the connection is to use IPv6. While that cannot be known it is IPv4.
func (h *handshake) chooseFamily(ctx context.Context) {
	ipv6, known, err := h.target.Family(ctx)
	h.ipv6, h.undecided, h.lookup = ipv6, !known, err
	h.lookAgain = time.Now().Add(lookPause)
}

// markLastEndpoint leaves a mark where libzmq keeps the socket's last endpoint. A connect that does
// nothing, because the socket is connected to the endpoint already, leaves it there.
func (h *handshake) markLastEndpoint() (marker string, err error) {
	marker = fmt.Sprintf("inproc://zmqauth-mark-%d", monitors.Add(1))
	if err := h.socket.Bind(marker); err != nil {
		return "", err
	}
	return marker, h.socket.Unbind(marker)
}

// wait returns nil once a handshake has succeeded.
func (h *handshake) wait(ctx context.Context) error {
	for {
		if ctx.Err() != nil {
			return h.interrupted(ctx)
		}
		ready, err := h.poller.Poll(monitorRun)
		if err != nil {
			return err
		}
		if len(ready) > 0 {
			done, err := h.next()
			if done || err != nil {
				return err
			}
		}
		if h.areCut() {
			return &RefusalError{Events: h.events}
		}
		if h.undecided && !h.reached && time.Now().After(h.lookAgain) {
			if err := h.reconsiderFamily(ctx); err != nil {
				return err
			}
		}
	}
}

// areCut tells whether handshakes are cut off time after time.
func (h *handshake) areCut() bool {
	return h.cuts >= maxCuts ||
		h.cuts > 0 && (h.gssapi || h.connected.IsZero()) && time.Since(h.firstCut) > cutPeriod
}

// reconsiderFamily connects anew where somebody listens at addresses of the other family.
func (h *handshake) reconsiderFamily(ctx context.Context) error {
	before := h.ipv6
	h.chooseFamily(ctx)
	if h.undecided || h.ipv6 == before {
		return nil
	}
	if err := h.socket.Disconnect(h.endpoint); err != nil {
		return err
	}
	return h.connect(ctx)
}

// next takes one event; done tells that the handshake has succeeded, and on which descriptor is
// known. With several I/O threads libzmq may report the handshake before the connection.
func (h *handshake) next() (done bool, err error) {
	event, address, value, err := h.monitor.RecvEvent(zmq4.DONTWAIT)
	if err != nil {
		return false, err
	}
	if event == zmq4.EVENT_MONITOR_STOPPED {
		return false, errors.New("its monitor was ended, or set anew, by somebody else")
	}
	if address != h.address { // of another connection of this socket
		return false, nil
	}
	h.remember(event, value)
	switch event {
	case zmq4.EVENT_CONNECTED:
		h.reached, h.connected, h.descriptor = true, time.Now(), value
		return h.succeeded, nil
	case zmq4.EVENT_HANDSHAKE_SUCCEEDED:
		h.succeeded = true
		return !h.connected.IsZero(), nil
	case zmq4.EVENT_HANDSHAKE_FAILED_AUTH:
		return false, &RefusalError{Status: value, Events: h.events}
	case zmq4.EVENT_HANDSHAKE_FAILED_NO_DETAIL, zmq4.EVENT_HANDSHAKE_FAILED_PROTOCOL,
		zmq4.EVENT_DISCONNECTED:
		h.succeeded = false
		h.ended()
	}
	return false, nil
}

// ended takes note that a handshake has not succeeded. libzmq may report that twice. Over GSSAPI
// each one counts, however long it took: a server asks no client there to try again, but holds
// refusals back, and one that cannot get a ticket says nothing until its time is over.
func (h *handshake) ended() {
	if h.connected.IsZero() {
		return
	}
	if time.Since(h.connected) > quickCut && !h.gssapi {
		h.cuts = 0
	} else {
		h.cuts++
		if h.cuts == 1 {
			h.firstCut = h.connected
		}
	}
	h.connected = time.Time{}
}

func (h *handshake) remember(event zmq4.Event, value int) {
	name := strings.ToLower(strings.TrimPrefix(event.String(), "EVENT_"))
	if event == zmq4.EVENT_HANDSHAKE_FAILED_AUTH {
		name = fmt.Sprintf("%s %d", name, value)
	}
	h.events = append(h.events, name)
	if len(h.events) > lastEvents {
		h.events = h.events[1:]
	}
}

// interrupted is ctx's error, with what has been seen until its end.
func (h *handshake) interrupted(ctx context.Context) error {
	seen := "nothing was heard from there"
	switch {
	case !h.connected.IsZero() && h.gssapi:
		seen = "connected, but the server has not answered the handshake: it is slow, or this client " +
			"has no Kerberos ticket that it can read"
	case !h.connected.IsZero():
		seen = "connected, but the server has not answered the handshake: it is slow, or has asked " +
			"for another try (300)"
	case h.reached:
		seen = "last: " + strings.Join(h.events, ", ")
	case h.lookup != nil:
		seen = fmt.Sprintf("nobody has accepted a connection there (%v)", h.lookup)
	case len(h.events) > 0:
		seen = "nobody has accepted a connection there (last: " + strings.Join(h.events, ", ") + ")"
	}
	if cause := context.Cause(ctx); cause != ctx.Err() {
		seen += fmt.Sprintf(" (%v)", cause)
	}
	return fmt.Errorf("%w; %s", ctx.Err(), seen)
}
