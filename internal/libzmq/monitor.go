package libzmq

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/pebbe/zmq4"
)

// Monitor has the monitor of a socket, tells a function of its events, and passes them on to the
// program if it wants them, too. It lasts as long as the socket.
type Monitor struct {
	socket *zmq4.Socket // kept, because its finalizer would close it
	reader *Handler
	done   chan struct{}

	mu     sync.Mutex   // for what the program wants
	out    *zmq4.Socket // nil: nothing
	mask   zmq4.Event
	failed time.Time // when it was told last that a connection could not be accepted
}

const (
	// maxPassed is how many events wait for the program.
	maxPassed = 100_000
	// failedInterval is the time between two events that a connection could not be accepted, which
	// libzmq repeats without a pause as long as that lasts.
	failedInterval = 10 * time.Millisecond
)

// NewMonitor sets the monitor of a socket. Run reads it.
func NewMonitor(s *zmq4.Socket) (*Monitor, error) {
	zctx, err := s.Context()
	if err != nil {
		return nil, err
	}
	reader, err := zctx.NewSocket(zmq4.PAIR)
	if err != nil {
		return nil, err
	}
	endpoint := fmt.Sprintf("inproc://zmqauth-monitor-%d", monitors.Add(1))
	// The queue has no limit: a full one would block libzmq's thread.
	err = errors.Join(reader.SetLinger(0), reader.SetRcvhwm(0), s.Monitor(endpoint, zmq4.EVENT_ALL),
		reader.Connect(endpoint))
	m := &Monitor{socket: s, reader: &Handler{socket: reader}, done: make(chan struct{})}
	if err == nil {
		err = m.reader.allocate("")
	}
	if err != nil {
		_ = s.Monitor("", 0) // while it has a reader
		_ = reader.Close()
		return nil, err
	}
	return m, nil
}

// Done is closed when Run has returned.
func (m *Monitor) Done() <-chan struct{} { return m.done }

// Run calls told for each event and the endpoint that it is about, until the socket is closed or
// its context ends. It calls rest between two readings, unless there may be more to read.
func (m *Monitor) Run(told func(event zmq4.Event, value int, endpoint string), rest func()) {
	defer func() {
		_ = m.PassTo("", 0)
		_ = m.reader.Close()
		close(m.done)
	}()
	for {
		messages, err := m.reader.Receive()
		for _, message := range messages {
			if !m.read(message.Frames, told) {
				return
			}
		}
		if err != nil {
			return
		}
		if len(messages) < batch {
			rest()
		}
	}
}

// read reads one event. It returns false if it is the last one.
func (m *Monitor) read(
	frames [][]byte, told func(event zmq4.Event, value int, endpoint string),
) bool {
	if len(frames) < 2 || len(frames[0]) < 6 {
		return false
	}
	// The form of an event: zmq_socket_monitor(3).
	event := zmq4.Event(binary.NativeEndian.Uint16(frames[0]))
	told(event, int(binary.NativeEndian.Uint32(frames[0][2:])), string(frames[1]))
	m.pass(event, frames)
	return event != zmq4.EVENT_MONITOR_STOPPED
}

// PassTo is Socket.Monitor for the program: it binds a PAIR socket to an inproc endpoint, which
// gets the events in the same form. An empty endpoint ends that. Events that nobody reads are
// dropped.
func (m *Monitor) PassTo(endpoint string, events zmq4.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.out != nil {
		_ = m.out.Close()
		m.out = nil
	}
	if endpoint == "" {
		return nil
	}
	zctx, err := m.socket.Context()
	if err != nil {
		return err
	}
	out, err := zctx.NewSocket(zmq4.PAIR)
	if err != nil {
		return err
	}
	err = errors.Join(out.SetLinger(0), out.SetSndhwm(maxPassed), out.Bind(endpoint))
	if err != nil {
		_ = out.Close()
		return err
	}
	m.out, m.mask = out, events
	return nil
}

// pass gives an event to the program, if it wants it.
func (m *Monitor) pass(event zmq4.Event, frames [][]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if event == zmq4.EVENT_ACCEPT_FAILED {
		if time.Since(m.failed) < failedInterval {
			return
		}
		m.failed = time.Now()
	}
	if m.out != nil && m.mask&event != 0 {
		_, _ = m.out.SendMessageDontwait(frames)
	}
}
