package zaptest

import (
	"errors"
	"fmt"
	"time"

	"github.com/pebbe/zmq4"
)

// provocation is a message that need not be answered, because it is no request by RFC 27.
type provocation struct {
	what   string
	frames []string
}

// told is what came back for a provocation.
type told struct {
	what string
	reply
}

// quiet is how long a check waits for replies that need not come, after one to a later request has
// come.
const quiet = 100 * time.Millisecond

// provoke sends one message after the other from one server, each with a good request behind it
// that must be answered. It returns what came back for the messages.
func (t *trial) provoke(all []provocation) ([]told, error) {
	p, err := t.peer(zmq4.DEALER)
	if err != nil {
		return nil, err
	}
	if err := p.tellsApart(); err != nil {
		return nil, err
	}
	var replies []told
	for i, one := range all {
		if err := p.sendFrames(one.frames); err != nil {
			return replies, err
		}
		early, err := p.mark(fmt.Sprint("zaptest ", i))
		for _, got := range early {
			replies = append(replies, told{one.what, got})
		}
		if err != nil {
			return replies, fmt.Errorf("%s: %w", one.what, err)
		}
	}
	for len(replies) < len(all) {
		got, err := p.receiveUntil(time.Now().Add(quiet))
		if errors.Is(err, errSilence) {
			break
		}
		if err != nil {
			return replies, err
		}
		replies = append(replies, told{"one of the messages", got})
	}
	return replies, p.socket.Close()
}

// tellsApart makes sure that replies can be told apart by their ids.
func (p *peer) tellsApart() error {
	const id = "zaptest"
	if err := p.sendMark(id); err != nil {
		return err
	}
	got, err := p.receive()
	if err == nil && got.frame(frameID) != id {
		err = fmt.Errorf("request id %q came back as %.40q", id, got.frame(frameID))
	}
	return err
}

// mark sends a good request and returns the replies that come before the one to it.
func (p *peer) mark(id string) (early []reply, err error) {
	if err := p.sendMark(id); err != nil {
		return nil, err
	}
	for {
		got, err := p.receive()
		if err != nil {
			return early, fmt.Errorf("a good request behind it: %w", err)
		}
		if got.frame(frameID) == id {
			return early, nil
		}
		early = append(early, got)
	}
}

func (p *peer) sendMark(id string) error {
	good := p.t.null()
	good.id = id
	return p.send(good)
}

// survives is a check that wants none of the messages accepted, and the good requests behind them
// answered.
func survives(messages func(*Handler) []provocation) func(*trial) error {
	return func(t *trial) error {
		replies, err := t.provoke(messages(t.Handler))
		for _, got := range replies {
			if got.accepts() {
				return fmt.Errorf("%s: accepted", got.what)
			}
		}
		return err
	}
}

// malformed are requests as provocations.
func malformed(requests ...request) []provocation {
	var all []provocation
	for _, r := range requests {
		all = append(all, provocation{r.String(), append([]string{""}, r.body()...)})
	}
	return all
}
