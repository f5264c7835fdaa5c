package zaptest

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pebbe/zmq4"
)

// envelopeChecks returns the checks that replies go to the server that asked, through the proxies
// that the request came through.
func envelopeChecks() []check {
	return []check{
		newCheck("envelope-req", socketTypes,
			"A server with a REQ socket gets a reply to each of its requests.",
			fromREQ),
		newCheck("envelope-dealer", socketTypes,
			"A server with a DEALER socket may have many requests in flight: each gets one reply with "+
				"its id.",
			load(64, 1)),
		newCheck("envelope-peers", socketTypes,
			"A reply goes to the server that asked, even if several servers use the same request id.",
			fromMany),
		newCheck("envelope-hops", proxyHandlers,
			"The routing frames of proxies before the delimiter come back as they were sent, any number "+
				"of them (up to 8 is tried).",
			throughProxies),
		newCheck("envelope-interleaved", proxyHandlers,
			"Requests that come through different proxies of one peer get their own verdicts.",
			throughDifferentProxies),
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

// collect reads count replies and makes sure that there are no more.
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
		return fmt.Errorf("%d replies too many, the first with the id %.40q",
			len(more), more[0].frame(frameID))
	}
	return err
}

// fromMany sends requests from several peers at once, all with the same id.
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
		verdict := func(got reply) error { return got.verdict(q.request, q.accepted) }
		if err := p.collect(verdict, 1); err != nil {
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
			return fmt.Errorf("sent behind the %d routing frames %.100q, replied to behind %.100q",
				len(hops), hops, got.envelope)
		}
	}
	return nil
}

// throughDifferentProxies sends all questions from one peer at once, all with the same id.
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
