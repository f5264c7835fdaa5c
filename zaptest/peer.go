package zaptest

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/pebbe/zmq4"
)

// trial is one check under way: whom it asks, until when, and the sockets that go with it.
type trial struct {
	*Handler
	ctx      *zmq4.Context
	deadline time.Time
	sockets  []*zmq4.Socket
}

func (t *trial) close() error {
	var errs []error
	for _, socket := range t.sockets {
		if err := socket.Close(); !errors.Is(err, zmq4.ErrorSocketClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// peer is a server's end of the dialog. It may send anything.
type peer struct {
	t      *trial
	socket *zmq4.Socket
}

// peer connects a new one: a DEALER, which shows the whole of a reply, or a REQ.
func (t *trial) peer(kind zmq4.Type) (*peer, error) {
	socket, err := t.newPeer(kind, 0)
	return &peer{t, socket}, err
}

// newPeer connects a socket with queues of that length, 0 for no limit.
func (t *trial) newPeer(kind zmq4.Type, queue int) (*zmq4.Socket, error) {
	socket, err := newSocket(t.ctx, kind)
	if err != nil {
		return nil, err
	}
	t.sockets = append(t.sockets, socket)
	return socket, errors.Join(socket.SetLinger(0), socket.SetSndhwm(0), socket.SetRcvhwm(queue), socket.Connect(t.Endpoint))
}

func newSocket(ctx *zmq4.Context, kind zmq4.Type) (*zmq4.Socket, error) {
	if ctx == nil {
		return zmq4.NewSocket(kind)
	}
	return ctx.NewSocket(kind)
}

// send sends a request behind the empty delimiter, and behind the frames of an envelope.
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

// errSilence says that nothing came in time.
var errSilence = errors.New("no reply")

// receive waits for a reply to a DEALER.
func (p *peer) receive() (reply, error) { return p.receiveUntil(p.t.deadline) }

func (p *peer) receiveUntil(deadline time.Time) (reply, error) {
	message, err := p.receiveFrames(deadline)
	return parseReply(message), err
}

// receiveFrames takes what is there, but nothing after the deadline: replies without an end are no
// reply.
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

// remaining is never negative: libzmq takes that for no limit.
func remaining(deadline time.Time) time.Duration { return max(0, time.Until(deadline)) }

// ask sends a request from a peer of its own and waits for the reply.
func (t *trial) ask(r request, envelope ...string) (reply, error) {
	p, err := t.peer(zmq4.DEALER)
	if err != nil {
		return reply{}, err
	}
	if err := p.send(r, envelope...); err != nil {
		return reply{}, err
	}
	got, err := p.receive()
	if err != nil {
		return reply{}, fmt.Errorf("%v: %w", r, err)
	}
	return got, p.socket.Close()
}

// wantVerdict asks, and wants to be told that.
func (t *trial) wantVerdict(r request, accepted bool) error {
	got, err := t.ask(r)
	if err != nil {
		return err
	}
	return got.verdict(r, accepted)
}

func (t *trial) wantAll(requests []request, accepted bool) error {
	for _, r := range requests {
		if err := t.wantVerdict(r, accepted); err != nil {
			return err
		}
	}
	return nil
}

// refuses is a check that wants each of the requests answered, and refused.
func refuses(requests func(*Handler) []request) func(*trial) error {
	return func(t *trial) error { return t.wantAll(requests(t.Handler), false) }
}
