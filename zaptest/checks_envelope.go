package zaptest

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pebbe/zmq4"
)

// envelopeChecks look at the way that replies take.
func envelopeChecks() []check {
	return []check{
		{Requirement{"envelope-req", socketTypes, "A server with a REQ socket gets a reply to each of its requests."},
			nil, fromREQ},
		{Requirement{"envelope-dealer", socketTypes, "A server with a DEALER socket may have many requests in flight: each gets one reply with its id."},
			nil, load(64, 1)},
		{Requirement{"envelope-peers", socketTypes, "A reply goes to the server that asked, although all use the same request id."},
			nil, fromMany},
		{Requirement{"envelope-hops", proxyHandlers, "The routing frames of proxies before the delimiter come back as they were sent, any number of them (up to 8 is tried)."},
			nil, throughProxies},
		{Requirement{"envelope-interleaved", proxyHandlers, "Requests that come through different proxies of one peer get the verdicts that are theirs."},
			nil, throughDifferentProxies},
	}
}

const requestsInSeries = 20

func fromREQ(t *trial) error {
	p, err := t.peer(zmq4.REQ)
	if err != nil {
		return err
	}
	for i := range requestsInSeries {
		r := t.null()
		r.id = fmt.Sprint(i)
		if err := p.sendFrames(r.body()); err != nil {
			return err
		}
		frames, err := p.receiveFrames(t.deadline)
		if err != nil {
			return fmt.Errorf("request %d of a REQ: %w", i, err)
		}
		if back := (reply{frames: frames}).frame(frameID); back != r.id {
			return fmt.Errorf("request %d of a REQ: request id %q came back as %.40q", i, r.id, back)
		}
	}
	return nil
}

// collect reads count replies, and makes sure that no more come.
func (p *peer) collect(take func(reply) error, count int) error {
	for i := range count {
		got, err := p.receive()
		if err != nil {
			return fmt.Errorf("after %d of %d replies: %w", i, count, err)
		}
		if err := take(got); err != nil {
			return err
		}
	}
	more, err := p.mark("zaptest last")
	if len(more) > 0 {
		return fmt.Errorf("%d replies too many, the first with the id %.40q", len(more), more[0].frame(frameID))
	}
	return err
}

// question is a request whose verdict is known.
type question struct {
	request
	accepted bool
}

// alone asks each request and returns it with the verdict that it gets.
func (t *trial) alone(requests []request) ([]question, error) {
	var questions []question
	for _, r := range requests {
		got, err := t.ask(r)
		if err != nil {
			return nil, err
		}
		questions = append(questions, question{r, got.accepts()})
	}
	return questions, nil
}

// questions are clients and a stranger.
func (t *trial) questions() ([]question, error) {
	stranger := t.request("KRYPTON")
	if t.User != "" {
		stranger = t.plain(t.User, wrongPassword(t.Password))
	}
	return t.alone(append(t.clients(), stranger))
}

// admitted are the clients who get in.
func (t *trial) admitted() ([]request, error) {
	questions, err := t.alone(t.clients())
	if err != nil {
		return nil, err
	}
	var admitted []request
	for _, q := range questions {
		if q.accepted {
			admitted = append(admitted, q.request)
		}
	}
	return admitted, unless(len(admitted) > 0, "no client gets in")
}

// fromMany has some peers ask at once, with one id for all.
func fromMany(t *trial) error {
	const peers = 16
	questions, err := t.questions()
	if err != nil {
		return err
	}
	all := make([]*peer, peers)
	for i := range all {
		if all[i], err = t.peer(zmq4.DEALER); err != nil {
			return err
		}
		if err := all[i].send(questions[i%len(questions)].request); err != nil {
			return err
		}
	}
	for i, p := range all {
		q := questions[i%len(questions)]
		if err := p.collect(func(got reply) error { return got.verdict(q.request, q.accepted) }, 1); err != nil {
			return fmt.Errorf("peer %d of %d: %w", i, peers, err)
		}
	}
	return nil
}

func throughProxies(t *trial) error {
	for _, hops := range [][]string{
		{"hop"},
		{"\x00\x80\x00\x41\xa7", "\x00"},
		{strings.Repeat("\xff", 255), "1.0", "QUIT"},
		slices.Repeat([]string{"\x00hop\xfe"}, 8),
	} {
		got, err := t.ask(t.null(), hops...)
		if err != nil {
			return fmt.Errorf("behind %d routing frames: %w", len(hops), err)
		}
		if !slices.Equal(got.envelope, hops) {
			return fmt.Errorf("sent behind the %d routing frames %.100q, replied to behind %.100q", len(hops), hops, got.envelope)
		}
	}
	return nil
}

// throughDifferentProxies has one peer ask all questions at once, with one id for all.
func throughDifferentProxies(t *trial) error {
	questions, err := t.questions()
	if err != nil {
		return err
	}
	p, err := t.peer(zmq4.DEALER)
	if err != nil {
		return err
	}
	waiting := make(map[string]question)
	for i := range 8 {
		for j, q := range questions {
			hop := fmt.Sprintf("proxy %d.%d", i, j)
			waiting[hop] = q
			if err := p.send(q.request, "frontend", hop); err != nil {
				return err
			}
		}
	}
	return p.collect(func(got reply) error {
		if len(got.envelope) != 2 {
			return errors.New("a reply without its envelope")
		}
		hop := got.envelope[1]
		q, ok := waiting[hop]
		if !ok {
			return fmt.Errorf("a reply to %.40q, which does not wait for one", hop)
		}
		delete(waiting, hop)
		return got.verdict(q.request, q.accepted)
	}, len(waiting))
}
