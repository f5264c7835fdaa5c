package zaptest

import (
	"errors"
	"fmt"
	"time"

	"github.com/pebbe/zmq4"
)

// provocation is a message that RFC 27 does not allow. The handler need not answer it.
type provocation struct {
	what   string // describes the message in errors
	frames []string
}

// response is a reply to a provocation.
type response struct {
	what string // describes the provocation in errors
	reply
}

// quiet is how long a check waits for optional replies after the reply to a later request.
const quiet = 100 * time.Millisecond

// provoke sends all messages from one peer. After each message it sends a good request, which the
// handler must answer. It returns the replies to the messages.
func (t *trial) provoke(all []provocation) ([]response, error) {
	p, err := t.peer(zmq4.DEALER)
	if err != nil {
		return nil, err
	}
	if err := p.checkIDs(); err != nil {
		return nil, err
	}
	var replies []response
	for i, one := range all {
		if err := p.sendFrames(one.frames); err != nil {
			return replies, err
		}
		early, err := p.mark(fmt.Sprint("zaptest ", i))
		for _, got := range early {
			replies = append(replies, response{one.what, got})
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
		replies = append(replies, response{"one of the messages", got})
	}
	return replies, p.socket.Close()
}

// checkIDs makes sure that replies carry the id of their request. Otherwise mark could not find its
// own reply.
func (p *peer) checkIDs() error {
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

// mark sends a good request and waits for its reply. It returns the replies that came earlier.
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

// survives returns a check that none of the messages is accepted and that the handler answers a
// good request after each of them.
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

// malformed returns the requests as provocations.
func malformed(requests ...request) []provocation {
	var all []provocation
	for _, r := range requests {
		all = append(all, provocation{r.String(), append([]string{""}, r.body()...)})
	}
	return all
}
