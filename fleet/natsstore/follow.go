package natsstore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/zmqauth/zmqauth/fleet"
)

const (
	// lookInterval is the time between two looks for what was not republished.
	lookInterval = 500 * time.Millisecond
	// compareInterval is the time between two looks whether the bucket is the same.
	compareInterval = 5 * time.Second
	// patience is how long reading may fail until Follow says so. Elections take 4 to 9 s.
	patience = 15 * time.Second
	// backlog is how many republished changes wait. What is dropped beyond that is read.
	backlog = 4096
)

// follower is one call of Follow. One goroutine owns it; one read at a time is under way beside.
type follower struct {
	*Store
	sink fleet.Sink
	view
	told proof // that the sink knows

	answers chan answer
	reading bool // an answer will come
	check   bool // look whether the bucket is the same
	behind  bool // there may be something to read

	compared time.Time // when the bucket was the same
	failing  time.Time // since when reading fails; zero: it does not
}

// view is what is known of the bucket.
type view struct {
	at         fleet.Position
	connection uint64 // with which it was the same
	doubted    bool   // it may have been set back since
}

// answer is what a read has found. Then says what to do about it.
type answer struct {
	then       func() error
	err        error
	connection uint64 // with which it was asked
}

// Follow is that of fleet.Store. Changes come as the stream republishes them. At a gap, when the
// connection is back, and every half second, it reads what has not come, one change at a time.
// When the connection is back, and every five seconds, it looks whether the bucket is another one,
// or was set back: that is loaded as a whole. Notices come until ctx ends, or until the next call:
// what keeps the follower from reading does not keep them back.
func (s *Store) Follow(ctx context.Context, from fleet.Position, sink fleet.Sink) error {
	if err := s.listen(ctx, sink); err != nil {
		return err
	}
	changes := make(chan *nats.Msg, backlog)
	sub, err := s.conn.ChanSubscribe(s.changes(), changes)
	if err != nil {
		return s.failed(s.changes(), err)
	}
	defer func() { _ = sub.Unsubscribe() }() // an error says that the connection is closed
	status := s.conn.StatusChanged(nats.CONNECTED, nats.CLOSED)
	defer s.conn.RemoveStatusListener(status)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f := &follower{Store: s, sink: sink, view: view{at: from}, answers: make(chan answer, 1),
		check: true}
	return f.run(ctx, changes, status)
}

func (f *follower) run(ctx context.Context, changes <-chan *nats.Msg,
	status <-chan nats.Status) error {
	look := time.NewTicker(lookInterval)
	defer look.Stop()
	for {
		f.prove()
		f.read(ctx)
		known := changes
		if !f.isSame() {
			known = nil // what comes may be of another log
		}
		var err error
		select {
		case m := <-known:
			f.take(m)
		case a := <-f.answers:
			err = f.answered(a)
		case now := <-look.C:
			f.behind = true
			f.check = f.check || !f.isSame() || now.Sub(f.compared) >= compareInterval
		case now := <-status:
			if now == nats.CLOSED {
				return f.failed("following", nats.ErrConnectionClosed)
			}
			f.check = true
		case <-f.changed:
			f.behind = true
			f.check = f.check || f.lastProof().sequence == 0
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err != nil {
			return err
		}
	}
}

// isSame tells whether the bucket was the one that is followed, with the connection that there is.
func (f *follower) isSame() bool {
	return !f.doubted && f.connection == f.reconnects() && f.at.Epoch != ""
}

// reconnects numbers the connections, from 1 on.
func (s *Store) reconnects() uint64 { return s.conn.Stats().Reconnects + 1 }

// read begins to read what is needed, if anything is.
func (f *follower) read(ctx context.Context) {
	switch {
	case f.reading || !f.conn.IsConnected():
	case f.check:
		f.check = false
		f.ask(ctx, f.compare)
	case f.behind && f.isSame():
		f.behind = false
		f.ask(ctx, f.next)
	}
}

// reader reads without the follower's state. What it returns changes that.
type reader func(context.Context, view) (then func() error, err error)

// ask reads in a goroutine of its own. While an engine does not answer, changes still come.
func (f *follower) ask(ctx context.Context, read reader) {
	f.reading = true
	own := f.view // before the stream's: it may grow meanwhile
	own.connection = f.reconnects()
	go func() {
		then, err := read(ctx, own)
		f.answers <- answer{then, err, own.connection}
	}()
}

// answered takes what was read. What was read with another connection does not count.
func (f *follower) answered(a answer) error {
	f.reading = false
	switch {
	case a.connection != f.reconnects():
		f.check = true
	case a.err == nil:
		f.failing = time.Time{}
		return a.then()
	case f.connection == 0:
		return a.err // the first look
	case f.failing.IsZero():
		f.failing = time.Now()
	case time.Since(f.failing) >= patience && f.conn.IsConnected():
		return a.err
	}
	return nil // the next look is soon
}

// compare looks whether the bucket is the one that is followed.
func (f *follower) compare(ctx context.Context, own view) (func() error, error) {
	now, err := f.Store.state(ctx)
	if err != nil {
		return nil, err
	}
	isNew := own.at.Epoch != now.epoch()
	isBack := own.at.Revision > now.State.LastSequence
	if !isNew && !isBack {
		if isBack, err = f.hasLost(ctx, own.at.Mark); err != nil {
			return nil, err
		}
	}
	if isNew || isBack && own.doubted {
		return f.load(ctx, own)
	}
	return func() error {
		f.compared, f.connection, f.behind = time.Now(), own.connection, true
		f.doubted = isBack // an engine may be behind: the next look decides
		return nil
	}, nil
}

// hasLost tells whether the change that a mark is of is another one now, or gone.
func (f *follower) hasLost(ctx context.Context, mark string) (bool, error) {
	text, _, _ := strings.Cut(mark, "@")
	sequence, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return false, nil // there was no change yet
	}
	found, err := f.direct(ctx, request{Sequence: sequence})
	return err == nil && (found == nil || found.mark() != mark), err
}

// load loads everything, at a time of its own: a hundred servers do not ask at once.
func (f *follower) load(ctx context.Context, own view) (func() error, error) {
	if f.jitter > 0 {
		select {
		case <-time.After(rand.N(f.jitter)):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	log, p, err := f.Store.load(ctx)
	if err != nil {
		return nil, err
	}
	return func() error {
		if own.at.Epoch != "" {
			f.setProof(proof{}) // of another log
		}
		f.view, f.told = view{at: p, connection: own.connection}, proof{}
		f.compared, f.behind = time.Now(), true
		log.Reset(f.sink, p)
		return nil
	}, nil
}

// next reads one change that has not come.
func (f *follower) next(ctx context.Context, own view) (func() error, error) {
	found, err := f.direct(ctx, request{Sequence: own.at.Revision + 1,
		NextBySubject: f.subject(">")})
	if err != nil {
		return nil, err
	}
	return func() error {
		if found == nil {
			return nil
		}
		f.behind = true // there may be another
		if f.at == own.at {
			f.apply(found)
		}
		return nil
	}, nil
}

// take takes a change that was republished.
func (f *follower) take(m *nats.Msg) {
	one, err := f.stored(m)
	switch {
	case err != nil || one.sequence <= f.at.Revision:
		// What is in the stream is read.
	case one.sequence > f.at.Revision+1:
		f.behind = true
	default:
		f.apply(one)
	}
}

// apply applies the next change.
func (f *follower) apply(one *stored) {
	e, _ := fleet.ParseEntry(f.keyOf(one), one.value) // the sink refuses what cannot be read
	f.at.Revision = one.sequence
	if !f.isReport(one) {
		f.at.Mark = one.mark()
	}
	f.sink.Apply(e, f.at)
	if e.Kind == fleet.KindMeta {
		f.check = true // the epoch may be another one
	}
}

// prove tells the sink of a proof once everything before it has been applied.
func (f *follower) prove() {
	p := f.lastProof()
	if p != f.told && p.sequence > 0 && p.sequence <= f.at.Revision && f.isSame() {
		f.told = p
		f.sink.Fresh(p.at)
	}
}

// listen has the sink told of notices until ctx ends, in place of the sink before.
func (s *Store) listen(ctx context.Context, sink fleet.Sink) error {
	sub, err := s.conn.Subscribe(s.notices(), func(m *nats.Msg) {
		e, err := fleet.ParseEntry(m.Header.Get(headerKey), m.Data)
		if err == nil { // what cannot be read may come from anybody, again and again
			sink.Notice(e)
		}
	})
	if err != nil {
		return s.failed(s.notices(), err)
	}
	end := func() { _ = sub.Unsubscribe() } // an error says that the connection is closed
	stop := context.AfterFunc(ctx, end)
	s.mu.Lock()
	before := s.unlisten
	s.unlisten = func() { stop(); end() }
	s.mu.Unlock()
	if before != nil {
		before()
	}
	return nil
}

// mark tells a message from another one that has its sequence in a log that was set back.
func (one *stored) mark() string {
	return fmt.Sprintf("%d@%d", one.sequence, one.at.UnixNano())
}
