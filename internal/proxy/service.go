package proxy

import (
	"errors"
	"time"

	"github.com/pebbe/zmq4"
)

// service is what a frontend knows of the connection to its service. Only the goroutine of the
// frontend uses it.
type service struct {
	events *zmq4.Socket // of the socket's monitor

	ready     bool      // a handshake has succeeded, and the connection has not ended since
	connected time.Time // there is a connection without a handshake since then; zero: none
}

// silentHandshake is how long a connection may go without the event of a handshake until it counts
// as ready. Peers of ZMTP 2.0, before libzmq 4, have no such event.
const silentHandshake = time.Second

// watchService watches the connections of back, which is not connected yet.
func watchService(zctx *zmq4.Context, back *zmq4.Socket) (*service, error) {
	events, err := monitor(zctx, back.Monitor, zmq4.EVENT_CONNECTED|
		zmq4.EVENT_HANDSHAKE_SUCCEEDED|zmq4.EVENT_DISCONNECTED)
	if err != nil {
		return nil, err
	}
	return &service{events: events}, nil
}

// setMonitor sets the monitor of a socket, as Socket.Monitor does.
type setMonitor = func(endpoint string, events zmq4.Event) error

// monitor watches events of a socket. The queue of the returned socket has no limit: a full one
// would block libzmq's thread.
func monitor(zctx *zmq4.Context, set setMonitor, events zmq4.Event) (*zmq4.Socket, error) {
	reader, err := zctx.NewSocket(zmq4.PAIR)
	if err != nil {
		return nil, err
	}
	endpoint := newInproc()
	err = errors.Join(reader.SetLinger(0), reader.SetRcvhwm(0),
		set(endpoint, events), reader.Connect(endpoint))
	if err != nil {
		endMonitor(set, reader)
		return nil, err
	}
	return reader, nil
}

// endMonitor ends what monitor has begun, in the order that libzmq needs: a monitor without a
// reader would block its thread.
func endMonitor(set setMonitor, reader *zmq4.Socket) {
	_ = set("", 0)
	_ = reader.Close()
}

// update takes the events that have come.
func (s *service) update(now time.Time) {
	for {
		event, _, _, err := s.events.RecvEvent(zmq4.DONTWAIT)
		if err != nil {
			return // there are no more
		}
		switch event {
		case zmq4.EVENT_CONNECTED:
			s.connected = now
		case zmq4.EVENT_HANDSHAKE_SUCCEEDED:
			s.ready = true
		case zmq4.EVENT_DISCONNECTED:
			s.ready, s.connected = false, time.Time{}
		}
	}
}

// isThere tells whether messages reach the service.
func (s *service) isThere(now time.Time) bool {
	return s.ready || !s.connected.IsZero() && now.Sub(s.connected) >= silentHandshake
}

// untilThere is the time until isThere changes by itself. Negative means never.
func (s *service) untilThere(now time.Time) time.Duration {
	if s.isThere(now) || s.connected.IsZero() {
		return -1
	}
	return s.connected.Add(silentHandshake).Sub(now)
}
