package zmqauth

import (
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// TestGuardTemporary: those who are told to try again, which libzmq does without a byte, and who
// stay, hold up nobody of their address. Who is let in then is on the connection that is known.
func TestGuardTemporary(t *testing.T) {
	for mechanism, before := range map[string]int64{"NULL": 64, "PLAIN": 64, "CURVE": 64 + 170} {
		t.Run(mechanism, func(t *testing.T) { testGuardTemporary(t, mechanism, before) })
	}
}

func testGuardTemporary(t *testing.T, mechanism string, before int64) {
	const waiting = 20
	decisions := make(chan int, waiting+1)
	j := newJudged(t, Config{Logger: quiet(),
		OnDecision: func(d Decision) { decisions <- d.Status }})
	must.OK(t, j.a.ConfigurePlain("d", map[string]string{"ann": "secret"}))
	must.OK(t, j.a.ConfigureCurveKeys("d", j.ann.Public))
	cert := newCertificate(t)
	server := testzmq.NewSocket(t, j.zctx, zmq4.ROUTER)
	must.OK(t, map[string]func(*zmq4.Socket) error{"NULL": nullServer("d"),
		"PLAIN": plainServer("d"), "CURVE": curveServer("d", cert)}[mechanism](server))
	must.OK(t, server.SetHandshakeIvl(0)) // who waits may stay
	must.OK(t, j.a.Guard(server, nil))
	must.OK(t, server.Bind("tcp://127.0.0.1:*"))
	endpoint, err := server.GetLastEndpoint()
	must.OK(t, err)
	zctx := testzmq.NewContext(t)
	come := func(endpoint string) {
		client := testzmq.NewSocket(t, zctx, zmq4.DEALER)
		must.OK(t, client.SetHandshakeIvl(0))
		must.OK(t, client.SetReconnectIvl(-1))
		must.OK(t, map[string]func(*zmq4.Socket) error{"NULL": nullClient,
			"PLAIN": plainClient("ann", "secret"),
			"CURVE": curveClient(cert.Public, j.ann)}[mechanism](client))
		must.OK(t, client.Connect(endpoint))
	}
	must.OK(t, j.a.Suspend("d", true))
	relay, written := counted(t, endpoint)
	for range waiting {
		come(relay)
	}
	for range waiting {
		if status := <-decisions; status != 300 {
			t.Fatalf("status %d", status)
		}
	}
	must.OK(t, j.a.Suspend("d", false))
	come(endpoint)
	testpeer.Eventually(t, "there is a session", func() bool { return len(j.a.Sessions()) == 1 })
	if s := j.a.Sessions()[0]; !s.Exact {
		t.Errorf("%+v", s)
	}
	if n := written.Load(); n != waiting*before {
		t.Errorf("%d bytes were written to %d clients that wait", n, waiting)
	}
}

// counted passes connections on to an endpoint, and counts what is written to them.
func counted(t *testing.T, endpoint string) (relay string, written *atomic.Int64) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must.OK(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	written = new(atomic.Int64)
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", strings.TrimPrefix(endpoint, "tcp://"))
			if err != nil {
				_ = client.Close()
				return
			}
			go func() {
				_, _ = io.Copy(server, client)
				_ = server.Close()
			}()
			go func() {
				_, _ = io.Copy(io.MultiWriter(client, countWriter{written}), server)
				_ = client.Close()
			}()
		}
	}()
	return "tcp://" + listener.Addr().String(), written
}

// countWriter counts what is written to it.
type countWriter struct{ count *atomic.Int64 }

func (w countWriter) Write(p []byte) (int, error) {
	w.count.Add(int64(len(p)))
	return len(p), nil
}
