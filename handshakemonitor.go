package zmqauth

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

// handshakeMonitor watches the handshakes of one connecting socket.
type handshakeMonitor struct {
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

var handshakeMonitors atomic.Uint64 // numbers their endpoints

func (m *handshakeMonitor) fault(err error) error {
	return fmt.Errorf("zmqauth: %s: %w", m.endpoint, err)
}

// open sets the socket's monitor.
func (m *handshakeMonitor) open(ctx context.Context) error {
	zctx, err := m.socket.Context()
	if err != nil {
		return m.fault(err)
	}
	mechanism, err := m.socket.GetMechanism()
	if err != nil {
		return m.fault(err)
	}
	m.gssapi = mechanism == zmq4.GSSAPI
	// The reader is made first: without one libzmq waits for ever as soon as it has something to say.
	// It is connected last: a connect to an address that nobody binds keeps a context from ending.
	if m.monitor, err = zctx.NewSocket(zmq4.PAIR); err != nil {
		return m.fault(fmt.Errorf("a socket for its monitor: %w", err))
	}
	address := fmt.Sprintf("inproc://zmqauth-handshake-%d", handshakeMonitors.Add(1))
	err = errors.Join(m.monitor.SetLinger(0), m.monitor.SetRcvhwm(0))
	if err == nil {
		err = m.setMonitor(ctx, address)
	}
	if err != nil {
		_ = m.monitor.Close()
		return m.fault(err)
	}
	if err := m.monitor.Connect(address); err != nil { // the context ends, and with it the monitor
		m.close()
		return m.fault(err)
	}
	m.poller = zmq4.NewPoller()
	m.poller.Add(m.monitor, zmq4.POLLIN)
	return nil
}

// setMonitor does not wait longer than ctx: libzmq ends the monitor that was there before, and
// waits for a reader of that which may never come.
func (m *handshakeMonitor) setMonitor(ctx context.Context, address string) error {
	set := make(chan error, 1)
	go func() { set <- m.socket.Monitor(address, zmq4.EVENT_ALL) }()
	select {
	case err := <-set:
		if err != nil {
			return fmt.Errorf("its monitor: %w", err)
		}
		return nil
	case <-ctx.Done():
	}
	go func() { // what was set too late is nobody's
		if <-set == nil {
			_ = m.socket.Monitor("", 0)
		}
	}()
	return fmt.Errorf(`%w; the socket has a monitor that nobody reads: end it first, with Monitor("", 0)`,
		ctx.Err())
}

func (m *handshakeMonitor) close() {
	_ = m.socket.Monitor("", 0)
	_ = m.monitor.Close()
}

// connect connects the socket. Its IPv6 option is as it was afterwards: it counts for the
// connections that are made while it is set.
func (m *handshakeMonitor) connect(ctx context.Context) error {
	before, err := m.socket.GetIpv6()
	if err != nil {
		return m.fault(err)
	}
	m.ipv6 = before
	if m.target != nil {
		m.chooseFamily(ctx)
	}
	if ctx.Err() != nil {
		return m.interrupted(ctx)
	}
	marker, err := m.markLastEndpoint()
	if err != nil {
		return m.fault(err)
	}
	if err := m.socket.SetIpv6(m.ipv6); err != nil {
		return m.fault(err)
	}
	err = m.socket.Connect(m.endpoint)
	m.isConnected = err == nil
	if err := errors.Join(err, m.socket.SetIpv6(before)); err != nil {
		return m.fault(err)
	}
	if m.address, err = m.socket.GetLastEndpoint(); err != nil {
		return m.fault(err)
	}
	m.isConnected = m.address != marker
	if !m.isConnected {
		return m.fault(errConnected)
	}
	return nil
}

// disconnect ends what connect has made, if it has made anything.
func (m *handshakeMonitor) disconnect() {
	if m.isConnected {
		_ = m.socket.Disconnect(m.endpoint)
	}
}

// chooseFamily tells whether the connection is to use IPv6. While that cannot be known it is IPv4.
func (m *handshakeMonitor) chooseFamily(ctx context.Context) {
	ipv6, known, err := m.target.Family(ctx)
	m.ipv6, m.undecided, m.lookup = ipv6, !known, err
	m.lookAgain = time.Now().Add(lookPause)
}

// markLastEndpoint leaves a mark where libzmq keeps the socket's last endpoint. A connect that does
// nothing, because the socket is connected to the endpoint already, leaves it there.
func (m *handshakeMonitor) markLastEndpoint() (marker string, err error) {
	marker = fmt.Sprintf("inproc://zmqauth-mark-%d", handshakeMonitors.Add(1))
	if err := m.socket.Bind(marker); err != nil {
		return "", err
	}
	return marker, m.socket.Unbind(marker)
}

// wait returns nil once a handshake has succeeded.
func (m *handshakeMonitor) wait(ctx context.Context) error {
	for {
		if ctx.Err() != nil {
			return m.interrupted(ctx)
		}
		ready, err := m.poller.Poll(monitorRun)
		if err != nil {
			return m.fault(err)
		}
		if len(ready) > 0 {
			done, err := m.next()
			if done || err != nil {
				return err
			}
		}
		if m.areCut() {
			return &HandshakeError{Endpoint: m.endpoint, Events: m.events}
		}
		if m.undecided && !m.reached && time.Now().After(m.lookAgain) {
			if err := m.reconsiderFamily(ctx); err != nil {
				return err
			}
		}
	}
}

// areCut tells whether handshakes are cut off time after time.
func (m *handshakeMonitor) areCut() bool {
	return m.cuts >= maxCuts ||
		m.cuts > 0 && (m.gssapi || m.connected.IsZero()) && time.Since(m.firstCut) > cutPeriod
}

// reconsiderFamily connects anew where somebody listens at addresses of the other family.
func (m *handshakeMonitor) reconsiderFamily(ctx context.Context) error {
	before := m.ipv6
	m.chooseFamily(ctx)
	if m.undecided || m.ipv6 == before {
		return nil
	}
	if err := m.socket.Disconnect(m.endpoint); err != nil {
		return m.fault(err)
	}
	return m.connect(ctx)
}

// next takes one event; done tells that the handshake has succeeded.
func (m *handshakeMonitor) next() (done bool, err error) {
	event, address, value, err := m.monitor.RecvEvent(zmq4.DONTWAIT)
	if err != nil {
		return false, m.fault(err)
	}
	if event == zmq4.EVENT_MONITOR_STOPPED {
		return false, m.fault(errors.New("its monitor was ended, or set anew, by somebody else"))
	}
	if address != m.address { // of another connection of this socket
		return false, nil
	}
	m.remember(event, value)
	switch event {
	case zmq4.EVENT_CONNECTED:
		m.reached, m.connected, m.descriptor = true, time.Now(), value
	case zmq4.EVENT_HANDSHAKE_SUCCEEDED:
		return true, nil
	case zmq4.EVENT_HANDSHAKE_FAILED_AUTH:
		return false, &HandshakeError{Endpoint: m.endpoint, Status: value, Events: m.events}
	case zmq4.EVENT_HANDSHAKE_FAILED_NO_DETAIL, zmq4.EVENT_HANDSHAKE_FAILED_PROTOCOL,
		zmq4.EVENT_DISCONNECTED:
		m.ended()
	}
	return false, nil
}

// ended takes note that a handshake has not succeeded. libzmq may report that twice. Over GSSAPI
// each one counts, however long it took: a server asks no client there to try again, but holds
// refusals back, and one that cannot get a ticket says nothing until its time is over.
func (m *handshakeMonitor) ended() {
	if m.connected.IsZero() {
		return
	}
	if time.Since(m.connected) > quickCut && !m.gssapi {
		m.cuts = 0
	} else {
		m.cuts++
		if m.cuts == 1 {
			m.firstCut = m.connected
		}
	}
	m.connected = time.Time{}
}

func (m *handshakeMonitor) remember(event zmq4.Event, value int) {
	name := strings.ToLower(strings.TrimPrefix(event.String(), "EVENT_"))
	if event == zmq4.EVENT_HANDSHAKE_FAILED_AUTH {
		name = fmt.Sprintf("%s %d", name, value)
	}
	m.events = append(m.events, name)
	if len(m.events) > lastEvents {
		m.events = m.events[1:]
	}
}

// interrupted is ctx's error, with what has been seen until its end.
func (m *handshakeMonitor) interrupted(ctx context.Context) error {
	seen := "nothing was heard from there"
	switch {
	case !m.connected.IsZero() && m.gssapi:
		seen = "connected, but the server has not answered the handshake: it is slow, or this client " +
			"has no Kerberos ticket that it can read"
	case !m.connected.IsZero():
		seen = "connected, but the server has not answered the handshake: it is slow, or has asked " +
			"for another try (300)"
	case m.reached:
		seen = "last: " + strings.Join(m.events, ", ")
	case m.lookup != nil:
		seen = fmt.Sprintf("nobody has accepted a connection there (%v)", m.lookup)
	case len(m.events) > 0:
		seen = "nobody has accepted a connection there (last: " + strings.Join(m.events, ", ") + ")"
	}
	if cause := context.Cause(ctx); cause != ctx.Err() {
		seen += fmt.Sprintf(" (%v)", cause)
	}
	return m.fault(fmt.Errorf("%w; %s", ctx.Err(), seen))
}
