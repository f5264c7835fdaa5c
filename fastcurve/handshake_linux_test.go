//go:build cgo

package fastcurve

import (
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// patience is for what takes some seconds.
const patience = 100 * time.Second

// curveServer binds a server that every CURVE client gets into, with as long a queue of connections
// as there are clients.
func curveServer(t *testing.T, clients int) (server *zmq4.Socket, endpoint, key string) {
	t.Helper()
	public, secret, err := zmq4.NewCurveKeypair()
	must.OK(t, err)
	server = testzmq.NewSocket(t, testzmq.NewContext(t), zmq4.PULL)
	must.OK(t, server.SetCurveServer(1))
	must.OK(t, server.SetCurveSecretkey(secret))
	must.OK(t, server.SetHandshakeIvl(patience))
	must.OK(t, server.SetBacklog(clients))
	must.OK(t, server.Bind("tcp://127.0.0.1:*"))
	endpoint, err = server.GetLastEndpoint()
	must.OK(t, err)
	return server, endpoint, public
}

// connectAll makes connections to a server, all at once, and waits for the end of all handshakes.
func connectAll(t *testing.T, endpoint, serverKey string, connections int) {
	t.Helper()
	public, secret, err := zmq4.NewCurveKeypair()
	must.OK(t, err)
	ctx := testzmq.NewContext(t)
	client := testzmq.NewSocket(t, ctx, zmq4.PUSH) // it may connect to an endpoint again and again
	must.OK(t, client.SetCurveServerkey(serverKey))
	must.OK(t, client.SetCurvePublickey(public))
	must.OK(t, client.SetCurveSecretkey(secret))
	must.OK(t, client.SetHandshakeIvl(patience))
	must.OK(t, client.Monitor("inproc://monitor", zmq4.EVENT_HANDSHAKE_SUCCEEDED))
	events := testzmq.NewSocket(t, ctx, zmq4.PAIR)
	must.OK(t, events.SetRcvhwm(0))
	must.OK(t, events.SetRcvtimeo(patience))
	must.OK(t, events.Connect("inproc://monitor"))
	for range connections {
		must.OK(t, client.Connect(endpoint))
	}
	for range connections {
		_, _, _, err := events.RecvEvent(0)
		must.OK(t, err)
	}
}

// TestHandshake: what Active says is so. Each handshake takes blocks from the pool, on both sides.
func TestHandshake(t *testing.T) {
	found(t)
	_, endpoint, key := curveServer(t, 1)
	before := handedOut()
	connectAll(t, endpoint, key, 1)
	if got := handedOut() - before; got < 2 {
		t.Errorf("%d blocks for a handshake", got)
	}
}

// TestManyHandshakes: 10,000 clients at once get in, by the pool, which gets no larger than it may
// and has all its blocks afterwards. Where the limit of open files is small, fewer come.
func TestManyHandshakes(t *testing.T) {
	m := found(t)
	const endpointVariable, keyVariable, countVariable = "ENDPOINT", "SERVER_KEY", "CONNECTIONS"
	var files syscall.Rlimit
	must.OK(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files))
	count := int(min(10_000, files.Cur-200))
	var endpoint, key string
	before := handedOut()
	if os.Getenv(endpointVariable) == "" {
		_, endpoint, key = curveServer(t, count)
	}
	// The clients are in a process of their own, because of the limit.
	if testpeer.Child(t, func(c *exec.Cmd) {
		c.Env = append(c.Env, endpointVariable+"="+endpoint, keyVariable+"="+key,
			countVariable+"="+strconv.Itoa(count))
		for i, argument := range c.Args {
			if argument == "-test.timeout=1m" {
				c.Args[i] = "-test.timeout=" + patience.String()
			}
		}
	}) {
		connections, err := strconv.Atoi(os.Getenv(countVariable))
		must.OK(t, err)
		connectAll(t, os.Getenv(endpointVariable), os.Getenv(keyVariable), connections)
	}
	if got := handedOut() - before; got < uint64(count) {
		t.Errorf("%d blocks for %d handshakes", got, count)
	}
	if most := blocks * page / 1024; lockedMemory(t) > most {
		t.Errorf("%d KiB locked, not %d at most", lockedMemory(t), most)
	}
	before = handedOut()
	for range blocks {
		defer m.Free(m.Malloc(1))
	}
	if got := handedOut() - before; got != blocks {
		t.Errorf("the pool has %d blocks left", got)
	}
}
