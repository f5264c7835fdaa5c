package zaptest_test

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/zaptest"
)

// model is a handler that meets all requirements of zaptest, except for its fault.
type model struct {
	zaptest.Handler
	fault
	socket *zmq4.Socket
}

// query is a request as the model reads it. Missing fields are empty.
type query struct {
	envelope                                          []string // includes the delimiter
	body                                              []string
	version, id, domain, address, identity, mechanism string
	credentials                                       []string
}

// outgoing is a reply of the model.
type outgoing struct {
	envelope, frames []string
}

func (o *outgoing) accepted() bool { return o.frames[2] == "200" }

// startModel starts a model in the context. The model ends with the context.
func startModel(t *testing.T, ctx *zmq4.Context, h zaptest.Handler, f fault) {
	t.Helper()
	socket, err := ctx.NewSocket(zmq4.ROUTER)
	must.OK(t, err)
	m := &model{Handler: h, fault: f, socket: socket}
	must.OK(t, errors.Join(socket.SetLinger(0), socket.SetRcvhwm(0), socket.SetSndhwm(0)))
	if f.setup != nil {
		must.OK(t, f.setup(socket))
	}
	must.OK(t, socket.Bind(zaptest.Endpoint))
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := m.serve()
		// Close alone would free the endpoint some time later.
		unbind := unlessEnd(socket.Unbind(zaptest.Endpoint))
		if err := errors.Join(err, unbind, socket.Close()); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() { must.OK(t, ctx.Term()); <-done })
}

func (m *model) serve() error {
	for {
		messages, err := m.receive()
		if err != nil {
			return unlessEnd(err)
		}
		var replies []outgoing
		for _, message := range messages {
			q := parseQuery(message)
			if m.dies != nil && m.dies(q) {
				return nil
			}
			if len(q.body) >= 2 {
				replies = append(replies, m.reply(q))
			}
		}
		if m.batch != nil {
			replies = m.batch(replies)
		}
		for _, out := range replies {
			if err := m.deliver(out); err != nil {
				return unlessEnd(err)
			}
		}
	}
}

// receive waits for a message. A model with a fault in batches also takes the messages that follow
// soon after.
func (m *model) receive() (messages [][]string, err error) {
	message, err := m.socket.RecvMessage(0)
	if m.batch == nil {
		return [][]string{message}, err
	}
	for err == nil {
		messages = append(messages, message)
		if err := m.socket.SetRcvtimeo(5 * time.Millisecond); err != nil {
			return nil, err
		}
		message, err = m.socket.RecvMessage(0)
	}
	if len(messages) == 0 || !errors.Is(err, zmq4.Errno(syscall.EAGAIN)) {
		return nil, err
	}
	return messages, m.socket.SetRcvtimeo(-1)
}

// unlessEnd returns nil for the errors that tests cause on purpose: the end of the context, and a
// send to a server that is gone.
func unlessEnd(err error) error {
	if errors.Is(err, zmq4.ETERM) || errors.Is(err, zmq4.Errno(syscall.EHOSTUNREACH)) {
		return nil
	}
	return err
}

// parseQuery returns an empty query for a message without a delimiter.
func parseQuery(message []string) (q query) {
	i := slices.Index(message[1:], "") + 1
	if i == 0 {
		return q
	}
	q.envelope, q.body = message[:i+1], message[i+1:]
	for i, field := range []*string{
		&q.version, &q.id, &q.domain, &q.address, &q.identity, &q.mechanism,
	} {
		if i < len(q.body) {
			*field = q.body[i]
		}
	}
	if len(q.body) > 6 {
		q.credentials = q.body[6:]
	}
	return q
}

func (m *model) reply(q query) outgoing {
	seen := q
	if m.misread != nil {
		seen.credentials = slices.Clone(q.credentials)
		m.misread(&seen)
	}
	accepted := m.accepts(seen)
	if m.misjudge != nil {
		accepted = m.misjudge(m, seen, accepted)
	}
	out := outgoing{
		envelope: slices.Clone(q.envelope),
		frames:   []string{"1.0", q.id, "400", "No", "", ""},
	}
	switch {
	case accepted:
		out.frames = []string{"1.0", q.id, "200", "OK", m.userID(q), m.metadata(q)}
	case q.mechanism == "GSSAPI":
		out.frames[2] = "999"
	}
	if m.distort != nil {
		m.distort(q, &out)
	}
	return out
}

func (m *model) deliver(out outgoing) error {
	if m.send != nil {
		return m.send(m, out)
	}
	return m.sendNow(out)
}

func (m *model) sendNow(out outgoing) error {
	_, err := m.socket.SendMessage(out.envelope, out.frames)
	return err
}

func (m *model) userID(q query) string {
	if q.mechanism == "PLAIN" && len(q.credentials) > 0 {
		return q.credentials[0]
	}
	return ""
}

func (m *model) metadata(q query) string {
	if q.mechanism == "PLAIN" || q.mechanism == "CURVE" {
		return properties(m.Metadata)
	}
	return ""
}

func properties(values map[string]string) string {
	var frame []byte
	for name, value := range values {
		frame = append(append(frame, byte(len(name))), name...)
		frame = append(binary.BigEndian.AppendUint32(frame, uint32(len(value))), value...)
	}
	return string(frame)
}

func (m *model) accepts(q query) bool {
	if len(q.body) < 6 || q.version != "1.0" || !m.passes(q.address) {
		return false
	}
	here := m.EveryDomain || q.domain == m.Domain
	switch credentials := q.credentials; q.mechanism {
	case "NULL":
		return m.Null && len(credentials) == 0
	case "PLAIN":
		return here && m.User != "" && slices.Equal(credentials, []string{m.User, m.Password})
	case "CURVE":
		if !here || m.Key == nil || len(credentials) != 1 {
			return false
		}
		key := credentials[0]
		return key == string(m.Key) || m.EveryKey && len(key) == 32
	case "GSSAPI":
		return len(credentials) == 1 && credentials[0] != "" && credentials[0] == m.Principal
	}
	return false
}

func (m *model) passes(address string) bool {
	if m.RefusedAddress == "" {
		return true
	}
	ip, err := netip.ParseAddr(address)
	return err == nil && ip.Unmap() != netip.MustParseAddr(m.RefusedAddress)
}

// cut returns the part of a frame that C code would read as a string.
func cut(frame string) string {
	before, _, _ := strings.Cut(frame, "\x00")
	return before
}
