package zaptest

import (
	"errors"
	"syscall"
	"time"

	"github.com/pebbe/zmq4"
)

// peer is a socket that sends requests to the handler, as libzmq does for a server. It may send any
// message.
type peer struct {
	t      *trial
	socket *zmq4.Socket
}

// peer connects a new peer: a DEALER, which sees all frames of a reply, or a REQ.
func (t *trial) peer(kind zmq4.Type) (*peer, error) {
	socket, err := t.connect(kind, 0)
	return &peer{t, socket}, err
}

// connect connects a socket that queues up to queue replies, 0 for no limit.
func (t *trial) connect(kind zmq4.Type, queue int) (*zmq4.Socket, error) {
	socket, err := newSocket(t.ctx, kind)
	if err != nil {
		return nil, err
	}
	t.sockets = append(t.sockets, socket)
	return socket, errors.Join(
		socket.SetLinger(0),
		socket.SetSndhwm(0),
		socket.SetRcvhwm(queue),
		socket.Connect(t.Endpoint),
	)
}

func newSocket(ctx *zmq4.Context, kind zmq4.Type) (*zmq4.Socket, error) {
	if ctx == nil {
		return zmq4.NewSocket(kind)
	}
	return ctx.NewSocket(kind)
}

// send sends the frames of an envelope, the empty delimiter, and a request.
func (p *peer) send(r request, envelope ...string) error {
	return p.sendFrames(append(append(envelope[:len(envelope):len(envelope)], ""), r.body()...))
}

func (p *peer) sendFrames(frames []string) error {
	if err := p.socket.SetSndtimeo(remaining(p.t.deadline)); err != nil {
		return err
	}
	_, err := p.socket.SendMessage(frames)
	return err
}

// errSilence means that no reply came in time.
var errSilence = errors.New("no reply")

// receive waits for a reply. The peer must be a DEALER.
func (p *peer) receive() (reply, error) { return p.receiveUntil(p.t.deadline) }

func (p *peer) receiveUntil(deadline time.Time) (reply, error) {
	message, err := p.receiveFrames(deadline)
	return parseReply(message), err
}

// receiveFrames waits for a message. After the deadline it returns errSilence even if messages are
// queued, so that endless replies cannot keep a check running.
func (p *peer) receiveFrames(deadline time.Time) ([]string, error) {
	if remaining(deadline) == 0 {
		return nil, errSilence
	}
	if err := p.socket.SetRcvtimeo(remaining(deadline)); err != nil {
		return nil, err
	}
	message, err := p.socket.RecvMessage(0)
	if errors.Is(err, zmq4.Errno(syscall.EAGAIN)) {
		return nil, errSilence
	}
	return message, err
}

// remaining returns the time until the deadline. It is never negative: libzmq would take that for
// no limit.
func remaining(deadline time.Time) time.Duration { return max(0, time.Until(deadline)) }
