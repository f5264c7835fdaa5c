package proxy

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pebbe/zmq4"
)

var inprocs atomic.Uint64

// newInproc is an inproc endpoint that no other socket of the process uses.
func newInproc() string { return fmt.Sprintf("inproc://zmqauth-%d", inprocs.Add(1)) }

// removeSocketFile removes the file of a Unix socket, which some versions of libzmq leave behind.
// Call it before the listener is closed: afterwards the file may belong to another process.
func removeSocketFile(endpoint string) {
	if path, ok := strings.CutPrefix(endpoint, "ipc:///"); ok {
		_ = os.Remove("/" + path) // an error means that there is no file
	}
}

// releaseTime limits how long unbindAndWait waits. It is far more than libzmq takes to close a
// listener.
const releaseTime = 5 * time.Second

// unbindAndWait unbinds an endpoint and waits until its listener is closed, which libzmq does in
// its own time. Without that the next socket that binds the endpoint might find it in use, or
// lose its file to the listener that closes.
func unbindAndWait(zctx *zmq4.Context, socket *zmq4.Socket, endpoint string) error {
	monitor, err := zctx.NewSocket(zmq4.PAIR)
	if err != nil {
		return err
	}
	defer monitor.Close()
	address := newInproc()
	defer func() { _ = socket.Monitor("", 0) }()
	err = errors.Join(monitor.SetLinger(0), monitor.SetRcvtimeo(releaseTime),
		socket.Monitor(address, zmq4.EVENT_CLOSED), monitor.Connect(address))
	if err == nil {
		err = socket.Unbind(endpoint)
	}
	for err == nil {
		var event zmq4.Event
		var closed string
		event, closed, _, err = monitor.RecvEvent(0)
		if err == nil && event == zmq4.EVENT_CLOSED && closed == endpoint {
			return nil
		}
	}
	return err
}
