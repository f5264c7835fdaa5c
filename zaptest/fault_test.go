package zaptest_test

import (
	"errors"
	"strings"

	"github.com/pebbe/zmq4"
)

// fault is an error of a handler. Each of its functions may be nil.
type fault struct {
	setup    func(*zmq4.Socket) error                    // before the endpoint is bound
	misread  func(*query)                                // changes a request before it is judged
	misjudge func(m *model, q query, accepted bool) bool // judges again
	distort  func(q query, out *outgoing)                // changes a reply
	dies     func(query) bool                            // ends the handler at a request
	send     func(m *model, out outgoing) error          // sends a reply in place of the model
	batch    func([]outgoing) []outgoing                 // changes replies that go out together
}

// edit changes all replies.
func edit(change func(*outgoing)) fault {
	return fault{distort: func(_ query, o *outgoing) { change(o) }}
}

// accepting changes the acceptances.
func accepting(change func(*outgoing)) fault {
	return edit(func(o *outgoing) {
		if o.accepted() {
			change(o)
		}
	})
}

// refusing changes the refusals.
func refusing(change func(*outgoing)) fault {
	return edit(func(o *outgoing) {
		if !o.accepted() {
			change(o)
		}
	})
}

// metadata adds bytes to the metadata of acceptances.
func metadata(frame string) fault { return accepting(func(o *outgoing) { o.frames[5] += frame }) }

// misjudge replaces the verdict of the model.
func misjudge(judge func(m *model, q query, accepted bool) bool) fault {
	return fault{misjudge: judge}
}

// dies ends the handler at a request.
func dies(at func(query) bool) fault { return fault{dies: at} }

// plain accepts more PLAIN clients than the model does.
func plain(judge func(m *model, user, password string) bool) fault {
	return misjudge(func(m *model, q query, yes bool) bool {
		return yes || q.mechanism == "PLAIN" && m.covers(q) && len(q.credentials) == 2 &&
			judge(m, q.credentials[0], q.credentials[1])
	})
}

// covers reports whether a request is well-formed and comes from a good address for the domain.
func (m *model) covers(q query) bool {
	return q.domain == m.Domain && m.passes(q.address) && q.version == "1.0"
}

// curve accepts more CURVE clients than the model does.
func curve(judge func(m *model, key string) bool) fault {
	return misjudge(func(m *model, q query, yes bool) bool {
		return yes || q.mechanism == "CURVE" && m.covers(q) && len(q.credentials) == 1 &&
			judge(m, q.credentials[0])
	})
}

// firstCredentials ignores all credentials of a mechanism after the first count.
func firstCredentials(mechanism string, count int) fault {
	return fault{misread: func(q *query) {
		if q.mechanism == mechanism {
			q.credentials = q.credentials[:min(count, len(q.credentials))]
		}
	}}
}

// loses drops the reply to one request.
func loses(id string) func(*model, outgoing) error {
	return func(m *model, out outgoing) error {
		if out.frames[1] == id {
			return nil
		}
		return m.sendNow(out)
	}
}

// twice sends replies two times in the checks with a load.
func twice(m *model, out outgoing) error {
	if err := m.sendNow(out); err != nil || !strings.HasPrefix(out.frames[1], "load ") {
		return err
	}
	return m.sendNow(out)
}

// byID sends each reply to the last request that had its id.
func byID(replies []outgoing) []outgoing {
	last := make(map[string][]string)
	for _, out := range replies {
		last[out.frames[1]] = out.envelope
	}
	for i, out := range replies {
		replies[i].envelope = last[out.frames[1]]
	}
	return replies
}

// swapped gives each reply the verdict of the one before it.
func swapped(replies []outgoing) []outgoing {
	if len(replies) < 5 { // not a batch of many: checks that send one request after the other
		return replies
	}
	last := replies[len(replies)-1].frames[2]
	for _, out := range replies {
		out.frames[2], last = last, out.frames[2]
	}
	return replies
}

// strict makes sends fail if the server is gone.
func strict(socket *zmq4.Socket) error { return socket.SetRouterMandatory(1) }

// bounded makes sends wait for a server that does not read.
func bounded(socket *zmq4.Socket) error {
	return errors.Join(strict(socket), socket.SetSndhwm(1000))
}

// patient waits for a server that does not read.
func patient(m *model, out outgoing) error { return unlessEnd(m.sendNow(out)) }
