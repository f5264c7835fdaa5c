package libzmq

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// TestMonitorReadsAllBeforeARest: events that are there do not wait for the end of a rest, however
// many they are. A flood of them would be read later and later.
func TestMonitorReadsAllBeforeARest(t *testing.T) {
	ctx := testzmq.NewContext(t)
	server, err := ctx.NewSocket(zmq4.ROUTER)
	must.OK(t, err)
	monitor, err := NewMonitor(server)
	must.OK(t, err)
	must.OK(t, server.Bind("tcp://127.0.0.1:*"))
	endpoint, err := server.GetLastEndpoint()
	must.OK(t, err)
	const clients, patience = 100, 30 * time.Second
	greeting := append([]byte{0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 0}, make([]byte, 52)...)
	copy(greeting[12:], "OTHER")
	for range clients {
		conn, err := net.Dial("tcp", strings.TrimPrefix(endpoint, "tcp://"))
		must.OK(t, err)
		must.OK(t, conn.SetDeadline(time.Now().Add(patience)))
		_, err = conn.Write(greeting) // of another mechanism: libzmq tells of the end, and ends
		must.OK(t, err)
		_, _ = io.Copy(io.Discard, conn)
		must.OK(t, conn.Close())
	}
	ended, first := 0, make(chan int, 1)
	go monitor.Run(func(event zmq4.Event, _ int, _ string) {
		if event == zmq4.EVENT_DISCONNECTED {
			ended++
		}
	}, func() {
		select {
		case first <- ended:
		default:
		}
	})
	if n := <-first; n != clients {
		t.Errorf("%d of %d ends were told of before the first rest", n, clients)
	}
	must.OK(t, server.SetLinger(0))
	must.OK(t, server.Close())
	<-monitor.Done()
}

// TestReaderLooksForAll: a reader that nobody waits for receives all that is there, also after many
// that came alone.
func TestReaderLooksForAll(t *testing.T) {
	ctx := testzmq.NewContext(t)
	out := testzmq.NewSocket(t, ctx, zmq4.PAIR)
	must.OK(t, out.Bind("inproc://events"))
	in, err := ctx.NewSocket(zmq4.PAIR)
	must.OK(t, err)
	must.OK(t, in.Connect("inproc://events"))
	h := &Handler{socket: in}
	must.OK(t, h.allocate(""))
	defer func() { must.OK(t, h.Close()) }()
	for n := range 100 {
		count := 1
		if n%10 == 9 {
			count = 10
		}
		for range count {
			_, err := out.SendMessage("event", "endpoint")
			must.OK(t, err)
		}
		if batch, err := h.Receive(); err != nil || len(batch) != count {
			t.Fatalf("%d: %d of %d messages, %v", n, len(batch), count, err)
		}
	}
}
