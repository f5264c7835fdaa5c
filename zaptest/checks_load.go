package zaptest

import (
	"errors"
	"fmt"

	"github.com/pebbe/zmq4"
)

// loadChecks returns checks with many requests in flight, from servers that may leave or not read.
func loadChecks() []check {
	return []check{
		newCheck("load-one-peer", messageFormat,
			"A thousand requests in flight from one server get one reply each.",
			load(1024, 1)),
		newCheck("load-many-peers", messageFormat,
			"A thousand requests at once from 64 servers get one reply each, with their own verdict.",
			load(1024, 64)),
		newCheck("load-leaving", Beyond,
			"Servers that leave before they get their replies do not disturb others.",
			leavingPeers),
		newCheck("load-unread", Beyond,
			"A server that does not read its replies does not make others wait.",
			unreadReplies),
	}
}

// sender sends its share of the load and records which replies it expects.
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

// finish reads a reply to each request and makes sure that there are no more.
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

// load returns a check that spreads the requests over the servers. All requests are in flight
// before it reads the first reply.
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
			q := questions[i/servers%len(questions)]
			if err := senders[i%servers].put(q, fmt.Sprint("load ", i)); err != nil {
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

// leavingPeers connects servers that send several requests each and leave at the first reply. That
// reply shows that the other requests have reached the handler.
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

// unreadReplies sends many requests from a server that reads no replies and as many from another
// server. The handler takes requests from both in turn. So the queue of the first server is full
// before the handler answers the last request of the second.
func unreadReplies(t *trial) error {
	const requests = 2000 // more than libzmq's queues hold by default
	alone, err := t.alone([]request{t.null()})
	if err != nil {
		return err
	}
	socket, err := t.connect(zmq4.DEALER, 1)
	if err != nil {
		return err
	}
	unread := &peer{t, socket}
	for range requests {
		if err := unread.sendMark("unread"); err != nil {
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
