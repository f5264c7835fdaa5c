package natsstore

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/zmqauth/zmqauth/fleet"
)

const (
	// lookInterval is the time between two looks for what was not republished.
	lookInterval = 500 * time.Millisecond
	// stateInterval is the time between two looks whether the bucket is the same.
	stateInterval = 5 * time.Second
	// backlog is how many republished changes wait. What is dropped beyond that is read.
	backlog = 4096
)

// follower is one call of Follow.
type follower struct {
	*Store
	sink  fleet.Sink
	at    fleet.Position
	told  proof     // that the sink knows
	state time.Time // when the bucket was looked at
}

// Follow is that of fleet.Store. Changes come as the stream republishes them. At a gap, when the
// connection is back, and every half second, it reads what has not come, one change at a time. When
// the connection is back, and every five seconds, it looks whether the bucket is another one, or
// was set back: that is loaded as a whole.
func (s *Store) Follow(ctx context.Context, from fleet.Position, sink fleet.Sink) error {
	f := &follower{Store: s, sink: sink, at: from}
	messages := make(chan *nats.Msg, backlog)
	for _, subject := range []string{s.changes(), s.notices()} {
		sub, err := s.conn.ChanSubscribe(subject, messages)
		if err != nil {
			return s.failed(subject, err)
		}
		defer func() { _ = sub.Unsubscribe() }() // an error says that the connection is closed
	}
	status := s.conn.StatusChanged(nats.CONNECTED, nats.CLOSED)
	defer s.conn.RemoveStatusListener(status)
	if err := f.compare(ctx); err != nil {
		return err
	}
	look := time.NewTicker(lookInterval)
	defer look.Stop()
	for {
		f.prove()
		var err error
		select {
		case m := <-messages:
			err = f.take(ctx, m)
		case now := <-look.C:
			if now.Sub(f.state) >= stateInterval {
				err = f.compare(ctx)
			} else {
				err = f.catchUp(ctx)
			}
		case now := <-status:
			if now == nats.CLOSED {
				return s.failed("following", nats.ErrConnectionClosed)
			}
			err = f.compare(ctx)
		case <-s.changed:
			if s.lastProof().sequence == 0 {
				err = f.compare(ctx)
			} else {
				err = f.catchUp(ctx)
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		// While the connection is away all that is known stays.
		if err != nil && (ctx.Err() != nil || s.conn.IsConnected()) {
			return err
		}
	}
}

// compare looks whether the bucket is the one that is followed, and catches up.
func (f *follower) compare(ctx context.Context) error {
	own := f.at // before the stream's: it may grow meanwhile
	now, err := f.Store.state(ctx)
	if err != nil {
		return err
	}
	f.state = time.Now()
	if own.Epoch != now.epoch() || own.Revision > now.State.LastSequence || own.Revision == 0 {
		return f.reload(ctx)
	}
	return f.catchUp(ctx)
}

// reload loads everything, at a time of its own: a hundred servers do not ask at once.
func (f *follower) reload(ctx context.Context) error {
	if f.jitter > 0 {
		select {
		case <-time.After(rand.N(f.jitter)):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if f.at.Revision > 0 {
		f.setProof(proof{}) // of another log
	}
	entries, p, err := f.load(ctx)
	if err != nil {
		return err
	}
	f.at, f.told = p, proof{}
	f.sink.Reset(entries, p)
	return nil
}

// catchUp reads what has not come.
func (f *follower) catchUp(ctx context.Context) error {
	for {
		next, err := f.direct(ctx, request{Sequence: f.at.Revision + 1,
			NextBySubject: f.subject(">")})
		if err != nil || next == nil {
			return err
		}
		f.apply(next)
	}
}

// take takes what has come: a change, or a notice.
func (f *follower) take(ctx context.Context, m *nats.Msg) error {
	if m.Subject == f.notices() {
		e, err := fleet.ParseEntry(m.Header.Get("Key"), m.Data)
		if err == nil { // what cannot be read may come from anybody, again and again
			f.sink.Notice(e)
		}
		return nil
	}
	one, err := f.stored(m)
	switch {
	case err != nil:
		return nil // catchUp reads what is in the stream
	case one.sequence <= f.at.Revision:
		return nil
	case one.sequence > f.at.Revision+1:
		return f.catchUp(ctx)
	}
	f.apply(one)
	return nil
}

// apply applies the next change.
func (f *follower) apply(one *stored) {
	e, _ := fleet.ParseEntry(f.keyOf(one), one.value) // the sink refuses what cannot be read
	f.at.Revision = one.sequence
	f.sink.Apply(e, f.at)
	if e.Kind == fleet.KindMeta {
		f.state = time.Time{} // the next look compares epochs
	}
}

// prove tells the sink of a proof once everything before it has been applied.
func (f *follower) prove() {
	if p := f.lastProof(); p != f.told && p.sequence > 0 && p.sequence <= f.at.Revision {
		f.told = p
		f.sink.Fresh(p.at)
	}
}
