package zapproxy

import (
	"errors"
	"slices"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/zap"
)

// serve is the goroutine that owns the ZAP socket.
func (l *Link) serve() {
	defer close(l.done)
	var out outbox
	for {
		messages, err := l.socket.Receive()
		for _, m := range messages {
			envelope, body := zap.SplitEnvelope(m.Frames)
			if len(body) < zap.Answerable || m.Truncated {
				continue // not of libzmq's
			}
			l.pass(envelope, body, &out)
		}
		for _, r := range l.replies.Take() {
			out.add(r)
		}
		if sendErr := l.send(&out); err == nil {
			err = sendErr
		}
		if errors.Is(err, zmq4.ETERM) {
			break
		}
		if err != nil {
			l.log.Error("zmqauth: the socket of a relay", "error", err)
			time.Sleep(tick)
		}
		if l.ctx.Err() != nil {
			if err := l.socket.Unbind(); err != nil && !errors.Is(err, zmq4.ETERM) {
				l.err = err
			}
			break
		}
	}
	l.stop()
	l.rest.Wait() // it refuses what is open
	for _, r := range l.replies.Take() {
		out.add(r)
	}
	_ = l.send(&out) // with the context gone nobody waits
	l.err = errors.Join(l.err, l.socket.Close())
}

// pass passes a request on, or answers it where that cannot be.
func (l *Link) pass(envelope, body [][]byte, out *outbox) {
	id, _, mechanism := requestFields(body)
	client := l.cache.digest(body)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == nil || l.silent || len(l.pending) >= maxPending || l.ctx.Err() != nil {
		out.add(reply{envelope, l.alone(client).frames(id, mechanism)})
		return
	}
	t := l.tags.next()
	l.stats.Asked++
	if err := l.conn.Send([][]byte{t[:], []byte(extended), nil}, body); err != nil {
		out.add(reply{envelope, l.alone(client).frames(id, mechanism)})
		return
	}
	l.pending[t] = &question{envelope: clone(envelope), id: slices.Clone(id),
		mechanism: slices.Clone(mechanism), client: client, since: time.Now()}
	if len(l.pending) == 1 {
		select {
		case l.busy <- struct{}{}:
		default:
		}
	}
}

func clone(frames [][]byte) [][]byte {
	out := make([][]byte, len(frames))
	for i, frame := range frames {
		out[i] = slices.Clone(frame)
	}
	return out
}

// outbox collects replies, for one call of libzmq.
type outbox struct {
	bytes         []byte
	sizes, frames []uint32
}

func (o *outbox) add(r reply) {
	o.frames = append(o.frames, uint32(len(r.envelope)+len(r.body)))
	for _, part := range [][][]byte{r.envelope, r.body} {
		for _, frame := range part {
			o.bytes = append(o.bytes, frame...)
			o.sizes = append(o.sizes, uint32(len(frame)))
		}
	}
}

func (l *Link) send(o *outbox) error {
	if len(o.frames) == 0 {
		return nil
	}
	err := l.socket.Send(o.bytes, o.sizes, o.frames, nil)
	if cap(o.bytes) > maxMessage {
		*o = outbox{}
	}
	o.bytes, o.sizes, o.frames = o.bytes[:0], o.sizes[:0], o.frames[:0]
	return err
}
