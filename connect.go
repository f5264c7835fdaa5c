package zmqauth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pebbe/zmq4"
	"github.com/zmqauth/zmqauth/internal/libzmq"
	"github.com/zmqauth/zmqauth/internal/zap"
)

// HandshakeError says that a server has not let a client in.
type HandshakeError struct {
	Endpoint string
	Status   int      // of the server's ZAP handler: 400 or 500; 0: the handshakes were cut off without one
	Events   []string // the last things that libzmq has reported, oldest first
}

// Error says what has happened and what to do about it.
func (e *HandshakeError) Error() string {
	switch {
	case e.Status == zap.StatusDenied:
		return fmt.Sprintf("zmqauth: %s: access denied (status 400): the server does not accept this client's address or "+
			"credentials, or not any more; its log has the reason", e.Endpoint)
	case e.Status != 0:
		return fmt.Sprintf("zmqauth: %s: the server could not decide (status %d): a callback of its authenticator has failed; "+
			"its log has the reason", e.Endpoint, e.Status)
	default:
		return fmt.Sprintf("zmqauth: %s: the handshake is cut off time after time; likely causes: the server's key is another, "+
			"the server uses another mechanism, its socket is of a type that does not go with this one's, it has no ZAP "+
			"handler, it refuses this Kerberos principal, or this client has no Kerberos ticket that it can read (%s)",
			e.Endpoint, strings.Join(e.Events, ", "))
	}
}

// Unwrap is ErrDenied for status 400, ErrTemporary for 300, else nil.
func (e *HandshakeError) Unwrap() error {
	switch e.Status {
	case zap.StatusDenied:
		return ErrDenied
	case zap.StatusTemporary:
		return ErrTemporary
	}
	return nil
}

// Connect connects s to endpoint and waits until the server has accepted it. It returns a *HandshakeError as soon as the
// server has refused (errors.Is(err, ErrDenied) for 400), or when handshakes have been cut off several times in a row or
// for one and a half seconds; and when ctx ends, its error with the last thing seen. A server that asks for another try
// (300) gets it, until ctx ends. After a failure the endpoint is disconnected, so that a later Connect of the same socket
// works. A GSSAPI client that has no ticket learns of it when the server's handshake interval ends, after 10 s. To an
// inproc endpoint, where nobody is asked about anybody, it just connects. A second Connect to an endpoint that the socket
// is connected to, which libzmq ignores, waits until ctx ends. It is to be called by the goroutine that owns s.
//
// Connect sets the socket's monitor and ends it again. libzmq gives a socket only one, so that a socket whose monitor the
// program has set is left alone and an error says so (on Linux; elsewhere that cannot be told, and the program's ends).
func Connect(ctx context.Context, s *zmq4.Socket, endpoint string) error {
	if strings.HasPrefix(endpoint, "inproc://") {
		return connectSocket(s, endpoint)
	}
	_, err := connectAndWait(ctx, s, endpoint)
	return err
}

// connectAndWait also tells whether anybody has accepted a connection.
func connectAndWait(ctx context.Context, s *zmq4.Socket, endpoint string) (reached bool, err error) {
	monitored, err := libzmq.Monitored(s)
	if err == nil && monitored {
		err = errMonitored
	}
	if err != nil {
		return false, fmt.Errorf("zmqauth: %s: %w", endpoint, err)
	}
	m, err := newHandshakeMonitor(s, endpoint)
	if err != nil {
		return false, fmt.Errorf("zmqauth: %s: %w", endpoint, err)
	}
	defer m.close()
	if err := connectSocket(s, endpoint); err != nil {
		return false, err
	}
	if m.address, err = s.GetLastEndpoint(); err != nil {
		return false, fmt.Errorf("zmqauth: %s: %w", endpoint, err)
	}
	err = m.wait(ctx)
	if err != nil && len(m.events) > 0 { // without events this call has connected nothing
		_ = s.Disconnect(m.address)
	}
	return m.reached, err
}

func connectSocket(s *zmq4.Socket, endpoint string) error {
	if err := s.Connect(endpoint); err != nil {
		return fmt.Errorf("zmqauth: %s: %w", endpoint, err)
	}
	return nil
}

// handshakeMonitor watches the handshakes of one connecting socket.
type handshakeMonitor struct {
	socket   *zmq4.Socket
	monitor  *zmq4.Socket
	poller   *zmq4.Poller
	endpoint string
	address  string // the endpoint as libzmq has it, and as events name it

	events    []string
	reached   bool // somebody has accepted a connection
	gssapi    bool
	connected time.Time // of the handshake under way, zero: none
	cuts      int       // handshakes cut off at once, in a row
	firstCut  time.Time // when the first of them had begun
}

// When handshakes have been cut off so often, or for so long, they always will be: libzmq tries again every 0.1 to 0.2 s,
// and gives up by itself after some mismatches. A handshake under way may still succeed: a reply of 300 that comes very
// fast cuts one off, a slower one leaves the next open.
const (
	maxCuts    = 5
	cutPeriod  = 1500 * time.Millisecond
	quickCut   = time.Second // a handshake that lasts longer was not cut off, but ran out of time; GSSAPI: see ended
	lastEvents = 8
	monitorRun = 20 * time.Millisecond // how long a cancelled context may go unnoticed
)

var errMonitored = errors.New(`the socket has a monitor, and libzmq gives it only one: end it first, with Monitor("", 0)`)

var monitors atomic.Uint64 // numbers their endpoints

func newHandshakeMonitor(s *zmq4.Socket, endpoint string) (*handshakeMonitor, error) {
	ctx, err := s.Context()
	if err != nil {
		return nil, err
	}
	mechanism, err := s.GetMechanism()
	if err != nil {
		return nil, err
	}
	address := fmt.Sprintf("inproc://zmqauth-handshake-%d", monitors.Add(1))
	if err := s.Monitor(address, zmq4.EVENT_ALL); err != nil {
		return nil, err
	}
	m := &handshakeMonitor{socket: s, endpoint: endpoint, gssapi: mechanism == zmq4.GSSAPI, poller: zmq4.NewPoller()}
	if m.monitor, err = ctx.NewSocket(zmq4.PAIR); err != nil {
		_ = s.Monitor("", 0)
		return nil, err
	}
	if err := errors.Join(m.monitor.SetLinger(0), m.monitor.Connect(address)); err != nil {
		m.close()
		return nil, err
	}
	m.poller.Add(m.monitor, zmq4.POLLIN)
	return m, nil
}

func (m *handshakeMonitor) close() {
	_ = m.socket.Monitor("", 0)
	_ = m.monitor.Close()
}

// wait returns nil once a handshake has succeeded.
func (m *handshakeMonitor) wait(ctx context.Context) error {
	for {
		if ctx.Err() != nil {
			return m.interrupted(ctx)
		}
		ready, err := m.poller.Poll(monitorRun)
		if err != nil {
			return fmt.Errorf("zmqauth: %s: %w", m.endpoint, err)
		}
		if len(ready) > 0 {
			done, err := m.next()
			if done || err != nil {
				return err
			}
		}
		if m.cuts >= maxCuts || m.cuts > 0 && (m.gssapi || m.connected.IsZero()) && time.Since(m.firstCut) > cutPeriod {
			return &HandshakeError{Endpoint: m.endpoint, Events: m.events}
		}
	}
}

// next takes one event; done tells that the handshake has succeeded.
func (m *handshakeMonitor) next() (done bool, err error) {
	event, address, value, err := m.monitor.RecvEvent(zmq4.DONTWAIT)
	if err != nil {
		return false, fmt.Errorf("zmqauth: %s: %w", m.endpoint, err)
	}
	if address != m.address { // of another connection of this socket
		return false, nil
	}
	m.remember(event, value)
	switch event {
	case zmq4.EVENT_CONNECTED:
		m.reached, m.connected = true, time.Now()
	case zmq4.EVENT_HANDSHAKE_SUCCEEDED:
		return true, nil
	case zmq4.EVENT_HANDSHAKE_FAILED_AUTH:
		return false, &HandshakeError{Endpoint: m.endpoint, Status: value, Events: m.events}
	case zmq4.EVENT_HANDSHAKE_FAILED_NO_DETAIL, zmq4.EVENT_HANDSHAKE_FAILED_PROTOCOL, zmq4.EVENT_DISCONNECTED:
		m.ended()
	}
	return false, nil
}

// ended takes note that a handshake has not succeeded. libzmq may report that twice. Over GSSAPI each one counts,
// however long it took: a server asks no client there to try again, but holds refusals back, and one that cannot get a
// ticket says nothing until its time is over.
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

func (m *handshakeMonitor) interrupted(ctx context.Context) error {
	seen := "nothing was heard from there (the socket may be connected to it already)"
	switch {
	case !m.connected.IsZero():
		seen = "connected, but the server has not answered the handshake: it is slow, or has asked for another try (300)"
		if m.gssapi {
			seen = "connected, but the server has not answered the handshake: it is slow, or this client has no Kerberos " +
				"ticket that it can read"
		}
	case m.reached:
		seen = "last: " + strings.Join(m.events, ", ")
	case len(m.events) > 0:
		seen = "nobody has accepted a connection there (last: " + strings.Join(m.events, ", ") + ")"
	}
	if cause := context.Cause(ctx); cause != ctx.Err() {
		seen += fmt.Sprintf(" (%v)", cause)
	}
	return fmt.Errorf("zmqauth: %s: %w; %s", m.endpoint, ctx.Err(), seen)
}
