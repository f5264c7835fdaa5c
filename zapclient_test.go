package zmqauth

import (
	"os"
	"testing"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testzmq"
	"github.com/zmqauth/zmqauth/internal/zap"
)

// zapClient asks a live endpoint as libzmq does. Unlike libzmq it may have many requests under way,
// and may send anything.
type zapClient struct {
	t      testing.TB
	socket *zmq4.Socket
}

func newZAPClient(t testing.TB, ctx *zmq4.Context) *zapClient {
	t.Helper()
	socket := testzmq.NewSocket(t, ctx, zmq4.DEALER)
	must.OK(t, socket.SetRcvtimeo(patience))
	must.OK(t, socket.Connect(ZAPEndpoint))
	return &zapClient{t, socket}
}

// send sends the body of a request behind the empty delimiter.
func (c *zapClient) send(body [][]byte) {
	c.t.Helper()
	c.sendRaw(append([][]byte{nil}, body...))
}

func (c *zapClient) sendRaw(frames [][]byte) {
	c.t.Helper()
	_, err := c.socket.SendMessage(frames)
	must.OK(c.t, err)
}

// receive waits for a reply, checks its form and returns its body.
func (c *zapClient) receive() []string {
	c.t.Helper()
	reply, err := c.socket.RecvMessage(0)
	must.OK(c.t, err)
	if len(reply) != zap.ReplyFrames+1 || reply[0] != "" || reply[1] != zap.Version {
		c.t.Fatalf("not a ZAP reply: %q", reply)
	}
	return reply[1:]
}

func (c *zapClient) ask(body [][]byte) []string {
	c.t.Helper()
	c.send(body)
	return c.receive()
}

func osUID() int { return os.Getuid() }
func osPID() int { return os.Getpid() }
