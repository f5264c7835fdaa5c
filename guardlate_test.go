package zmqauth

import (
	"fmt"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// watched are clients that do not come back, and what their monitors tell.
type watched struct {
	*testing.T
	zctx    *zmq4.Context
	readers []*zmq4.Socket
}

// connectAll connects clients, all at once.
func connectAll(t *testing.T, endpoint string, size int) *watched {
	t.Helper()
	c := &watched{T: t, zctx: testzmq.NewContext(t)}
	for n := range size {
		s := testzmq.NewSocket(t, c.zctx, zmq4.DEALER)
		must.OK(t, s.SetReconnectIvl(-1))
		events := fmt.Sprintf("inproc://events-%d", n)
		must.OK(t, s.Monitor(events, zmq4.EVENT_HANDSHAKE_SUCCEEDED|zmq4.EVENT_DISCONNECTED))
		reader := testzmq.NewSocket(t, c.zctx, zmq4.PAIR)
		must.OK(t, reader.Connect(events))
		c.readers = append(c.readers, reader)
		must.OK(t, s.Connect(endpoint))
	}
	return c
}

// expect waits until each client has had an event.
func (c *watched) expect(want zmq4.Event) {
	c.Helper()
	for n, reader := range c.readers {
		for {
			event, _, _, err := reader.RecvEvent(0)
			if err != nil {
				c.Errorf("client %d: %v, want %v", n, err, want)
				break
			}
			if event == want {
				break
			}
		}
	}
}

// lateGuard is a guarded server, and its endpoint.
func lateGuard(t *testing.T, zctx *zmq4.Context, a *Authenticator, bind string) (endpoint string) {
	t.Helper()
	server := testzmq.NewSocket(t, zctx, zmq4.ROUTER)
	must.OK(t, NullServer(server, "d"))
	must.OK(t, a.Guard(server, nil))
	must.OK(t, server.Bind(bind))
	endpoint, err := server.GetLastEndpoint()
	must.OK(t, err)
	return endpoint
}

// TestGuardCutsAtOnce: who is cut as soon as the session opens is cut, also where libzmq's event
// that tells of the connection has not been read yet.
func TestGuardCutsAtOnce(t *testing.T) {
	for _, threads := range []int{1, 2, 4} {
		for name, bind := range map[string]string{"TCP": "tcp://127.0.0.1:*",
			"IPC": "ipc://" + filepath.Join(t.TempDir(), "s")} {
			t.Run(fmt.Sprintf("%s/%d", name, threads), func(t *testing.T) {
				zctx := testzmq.NewContext(t)
				must.OK(t, zctx.SetIoThreads(threads))
				a, err := New(zctx, &Config{Logger: quiet()})
				must.OK(t, err)
				t.Cleanup(func() { must.OK(t, a.Close()) })
				must.OK(t, a.Start())
				endpoint := lateGuard(t, zctx, a, bind)
				stop, stopped := make(chan struct{}), make(chan struct{})
				go func() {
					defer close(stopped)
					for {
						select {
						case <-stop:
							return
						default:
							a.Disconnect(func(Session) bool { return true })
							runtime.Gosched()
						}
					}
				}()
				for range 20 {
					connectAll(t, endpoint, 2).expect(zmq4.EVENT_DISCONNECTED)
				}
				close(stop)
				<-stopped
			})
		}
	}
}

// TestEndSessionsAtOnce: Close ends the sessions of those as well who were let in just before.
func TestEndSessionsAtOnce(t *testing.T) {
	for _, threads := range []int{1, 2, 4} {
		for name, bind := range map[string]string{"TCP": "tcp://127.0.0.1:*",
			"IPC": "ipc://" + filepath.Join(t.TempDir(), "s")} {
			t.Run(fmt.Sprintf("%s/%d", name, threads), func(t *testing.T) {
				for range 10 {
					zctx := testzmq.NewContext(t)
					must.OK(t, zctx.SetIoThreads(threads))
					a, err := New(zctx, &Config{Logger: quiet(), EndSessions: true})
					must.OK(t, err)
					must.OK(t, a.Start())
					endpoint := lateGuard(t, zctx, a, bind)
					c := connectAll(t, endpoint, 4)
					c.expect(zmq4.EVENT_HANDSHAKE_SUCCEEDED)
					must.OK(t, a.Close())
					c.expect(zmq4.EVENT_DISCONNECTED)
				}
			})
		}
	}
}
