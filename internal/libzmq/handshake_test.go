package libzmq

import (
	"encoding/binary"
	"testing"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// TestEventsInAnyOrder: with several I/O threads libzmq may report that a handshake has succeeded
// before the connection. It is done when both are known, and the descriptor is the connection's.
func TestEventsInAnyOrder(t *testing.T) {
	const fd, address = 7, "tcp://127.0.0.1:1"
	for name, c := range map[string]struct {
		events []zmq4.Event
		done   []bool
	}{
		"in order": {[]zmq4.Event{zmq4.EVENT_CONNECTED, zmq4.EVENT_HANDSHAKE_SUCCEEDED},
			[]bool{false, true}},
		"in disorder": {[]zmq4.Event{zmq4.EVENT_HANDSHAKE_SUCCEEDED, zmq4.EVENT_CONNECTED},
			[]bool{false, true}},
		"ended again": {[]zmq4.Event{zmq4.EVENT_HANDSHAKE_SUCCEEDED, zmq4.EVENT_DISCONNECTED,
			zmq4.EVENT_CONNECTED, zmq4.EVENT_HANDSHAKE_SUCCEEDED}, []bool{false, false, false, true}},
	} {
		t.Run(name, func(t *testing.T) {
			zctx := testzmq.NewContext(t)
			reader := testzmq.NewSocket(t, zctx, zmq4.PAIR)
			writer := testzmq.NewSocket(t, zctx, zmq4.PAIR)
			must.OK(t, reader.Bind("inproc://events"))
			must.OK(t, writer.Connect("inproc://events"))
			h := &handshake{monitor: reader, address: address}
			for i, event := range c.events {
				frame := binary.NativeEndian.AppendUint16(nil, uint16(event))
				value := 0
				if event == zmq4.EVENT_CONNECTED {
					value = fd
				}
				frame = binary.NativeEndian.AppendUint32(frame, uint32(value))
				_, err := writer.SendMessage(frame, address)
				must.OK(t, err)
				done, err := h.next()
				must.OK(t, err)
				if done != c.done[i] {
					t.Errorf("%v, event %d: done is %v", event, i, done)
				}
			}
			if h.descriptor != fd {
				t.Errorf("descriptor %d", h.descriptor)
			}
		})
	}
}
