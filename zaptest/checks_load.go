package zaptest

import (
	"errors"
	"fmt"

	"github.com/pebbe/zmq4"
)

// loadChecks ask much at once, and leave in the middle of it.
func loadChecks() []check {
	return []check{
		{Requirement{"load-one-peer", messageFormat, "A thousand requests in flight from one server get one reply each."},
			nil, load(1024, 1)},
		{Requirement{"load-many-peers", messageFormat, "A thousand requests at once from 64 servers get one reply each, with the verdict that is theirs."},
			nil, load(1024, 64)},
		{Requirement{"load-leaving", Beyond, "Servers that leave before their replies disturb no other."},
			nil, leavingPeers},
		{Requirement{"load-unread", Beyond, "A server that does not read its replies keeps no other waiting."},
			nil, unreadReplies},
	}
}

// sender sends its share of the load and knows what it waits for.
type sender struct {
	*peer
	waiting map[string]question // by request id
}

func (t *trial) sender() (*sender, error) {
	p, err := t.peer(zmq4.DEALER)
	return &sender{p, make(map[string]question)}, err
}

func (s *sender) put(q question, id string) error {
	q.id = id
	s.waiting[id] = q
	return s.send(q.request)
}

// finish reads a reply to each request, and makes sure that no more come.
func (s *sender) finish() error {
	return s.collect(func(got reply) error {
		id := got.frame(frameID)
		q, ok := s.waiting[id]
		if !ok {
			return fmt.Errorf("a reply with the id %.40q, which nothing in flight has", id)
		}
		delete(s.waiting, id)
		return got.verdict(q.request, q.accepted)
	}, len(s.waiting))
}

// load spreads that many requests over the servers, and has all in flight before it reads any
// reply.
func load(requests, servers int) func(*trial) error {
	return func(t *trial) error {
		questions, err := t.questions()
		if err != nil {
			return err
		}
		senders := make([]*sender, servers)
		for i := range senders {
			if senders[i], err = t.sender(); err != nil {
				return err
			}
		}
		for i := range requests {
			// Each server asks all questions, and all servers ask the same one at a time.
			if err := senders[i%servers].put(questions[i/servers%len(questions)], fmt.Sprint("load ", i)); err != nil {
				return err
			}
		}
		for i, s := range senders {
			if err := s.finish(); err != nil {
				return fmt.Errorf("server %d of %d: %w", i+1, servers, err)
			}
		}
		return nil
	}
}

// leavingPeers sends some requests at a time, and leaves at the first reply, which shows that the
// others have come.
func leavingPeers(t *trial) error {
	const servers, requests = 64, 16
	for range servers {
		s, err := t.sender()
		if err != nil {
			return err
		}
		for i := range requests {
			if err := s.put(question{t.null(), t.Null}, fmt.Sprint(i)); err != nil {
				return err
			}
		}
		_, err = s.receive()
		if err := errors.Join(err, s.socket.Close()); err != nil {
			return err
		}
	}
	return answers(t)
}

// unreadReplies asks much from one server that reads nothing, and as much from another. The handler
// takes from both in turn, so that it has filled the queue of the one when it answers the last of
// the other.
func unreadReplies(t *trial) error {
	const requests = 2000 // more than libzmq's queues hold by default
	alone, err := t.alone([]request{t.null()})
	if err != nil {
		return err
	}
	socket, err := t.newPeer(zmq4.DEALER, 1)
	if err != nil {
		return err
	}
	lazy := &peer{t, socket}
	for range requests {
		if err := lazy.sendMark("unread"); err != nil {
			return err
		}
	}
	s, err := t.sender()
	if err != nil {
		return err
	}
	for i := range requests {
		if err := s.put(alone[0], fmt.Sprint("read ", i)); err != nil {
			return err
		}
	}
	if err := s.finish(); err != nil {
		return fmt.Errorf("while another server does not read %d replies: %w", requests, err)
	}
	return nil
}
