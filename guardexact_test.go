package zmqauth

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pebbe/zmq4"
	"golang.org/x/sys/unix"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

var portMonitors atomic.Uint64

// localPort waits until a client's handshake has succeeded, and returns the port of its connection.
func localPort(t *testing.T, zctx *zmq4.Context, s *zmq4.Socket, endpoint string) int {
	monitor, err := zctx.NewSocket(zmq4.PAIR)
	must.OK(t, err)
	defer monitor.Close()
	address := fmt.Sprintf("inproc://port-%d", portMonitors.Add(1))
	must.OK(t, s.Monitor(address, zmq4.EVENT_ALL))
	must.OK(t, monitor.Connect(address))
	must.OK(t, monitor.SetRcvtimeo(30*time.Second))
	defer func() { _ = s.Monitor("", 0) }()
	must.OK(t, s.Connect(endpoint))
	fd := 0
	for {
		event, _, value, err := monitor.RecvEvent(0)
		must.OK(t, err)
		switch event {
		case zmq4.EVENT_CONNECTED:
			fd = value
		case zmq4.EVENT_HANDSHAKE_SUCCEEDED:
			name, err := unix.Getsockname(fd)
			must.OK(t, err)
			return name.(*unix.SockaddrInet4).Port
		}
	}
}

// TestGuardExact: whatever comes, goes and hangs up at the same address, each session is on its
// client's connection.
func TestGuardExact(t *testing.T) {
	for _, threads := range []int{1, 2, 4} {
		for _, mechanism := range []string{"PLAIN", "CURVE"} {
			t.Run(fmt.Sprintf("%s/%d", mechanism, threads), func(t *testing.T) {
				testGuardExact(t, mechanism, threads)
			})
		}
	}
}

func testGuardExact(t *testing.T, mechanism string, threads int) {
	zctx := testzmq.NewContext(t)
	must.OK(t, zctx.SetIoThreads(threads))
	a, err := New(zctx, &Config{})
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, a.Close()) })
	must.OK(t, a.Start())
	var creds Credentials
	must.OK(t, a.ConfigureCredentials("d", &creds))
	server := testzmq.NewSocket(t, zctx, zmq4.ROUTER)
	cert, err := NewCertificate()
	must.OK(t, err)
	if mechanism == "CURVE" {
		must.OK(t, CurveServer(server, "d", cert))
	} else {
		must.OK(t, PlainServer(server, "d"))
	}
	must.OK(t, a.Guard(server, nil))
	must.OK(t, server.Bind("tcp://127.0.0.1:*"))
	endpoint, err := server.GetLastEndpoint()
	must.OK(t, err)

	clients := testzmq.NewContext(t)
	must.OK(t, clients.SetIoThreads(2))
	stop := make(chan struct{})
	var noise, work sync.WaitGroup
	for range 4 {
		noise.Go(func() { hangUp(endpoint, stop) })
	}
	const workers, rounds = 8, 15
	for worker := range workers {
		work.Go(func() {
			for round := range rounds {
				name := fmt.Sprintf("client %d %d", worker, round)
				s := testzmq.NewSocket(t, clients, zmq4.DEALER)
				known := round%5 != 4
				if mechanism == "CURVE" {
					own, err := NewCertificate()
					must.OK(t, err)
					if known {
						must.OK(t, creds.SetKey(own.Public, Entry{Identity: Identity{UserID: name}}))
					}
					must.OK(t, CurveClient(s, cert.Public, own))
				} else {
					if known {
						must.OK(t, creds.SetUser(name, "secret", Entry{}))
					}
					must.OK(t, PlainClient(s, name, "secret"))
				}
				if !known {
					_ = Connect(t.Context(), s, endpoint)
					_ = s.Close()
					continue
				}
				port := localPort(t, clients, s, endpoint)
				var found Session
				testpeer.Eventually(t, name+" has a session", func() bool {
					for _, session := range a.Sessions() {
						if session.UserID == name {
							found = session
							return true
						}
					}
					return false
				})
				if !found.Exact || int(found.Client.Port()) != port {
					t.Errorf("%s is at port %d: %+v", name, port, found)
				}
				if round%2 == 0 {
					a.Disconnect(func(session Session) bool { return session.ID == found.ID })
				}
				_ = s.Close()
			}
		})
	}
	work.Wait()
	close(stop)
	noise.Wait()
	testpeer.Eventually(t, "all sessions have ended", func() bool { return len(a.Sessions()) == 0 })
}

// hangUp connects, sends the beginning of a greeting, and hangs up, again and again.
func hangUp(endpoint string, stop <-chan struct{}) {
	address := strings.TrimPrefix(endpoint, "tcp://")
	greeting := append([]byte{0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3}, make([]byte, 53)...)
	copy(greeting[12:], "CURVE")
	for {
		select {
		case <-stop:
			return
		default:
		}
		conn, err := net.Dial("tcp", address)
		if err != nil {
			continue
		}
		_, _ = conn.Write(greeting[:rand.IntN(len(greeting)+1)])
		time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
		_ = conn.Close()
	}
}
