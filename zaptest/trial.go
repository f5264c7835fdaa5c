package zaptest

import (
	"errors"
	"fmt"
	"time"

	"github.com/pebbe/zmq4"
)

// trial is one run of a check: the handler under test, the time limit, and the open sockets.
type trial struct {
	*Handler
	ctx      *zmq4.Context
	deadline time.Time
	sockets  []*zmq4.Socket
}

// close closes the sockets of all peers. Some may be closed already.
func (t *trial) close() error {
	var errs []error
	for _, socket := range t.sockets {
		if err := socket.Close(); !errors.Is(err, zmq4.ErrorSocketClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// ask sends a request from a new peer and waits for the reply.
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

// wantVerdict sends a request. It is an error if the reply is another verdict.
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

// answers sends a good request that must get a reply, whatever its verdict.
func answers(t *trial) error {
	_, err := t.ask(t.null())
	return err
}

// refuses returns a check that each of the requests is answered and refused.
func refuses(requests func(*Handler) []request) func(*trial) error {
	return func(t *trial) error { return t.wantAll(requests(t.Handler), false) }
}
