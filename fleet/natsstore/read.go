package natsstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/zmqauth/zmqauth/fleet"
)

// request is what $JS.API.DIRECT.GET is asked.
type request struct {
	Sequence      uint64 `json:"seq,omitempty"`
	NextBySubject string `json:"next_by_subj,omitempty"`
	LastBySubject string `json:"last_by_subj,omitempty"`
	Batch         int    `json:"batch,omitempty"`
	MaxBytes      int    `json:"max_bytes,omitempty"` // the message that reaches it is the last

	StartTime *time.Time `json:"start_time,omitempty"` // in place of Sequence
}

// stored is a message of the stream.
type stored struct {
	subject  string
	value    []byte
	sequence uint64
	at       time.Time // when the leader took it
}

// The headers and states of what is read directly and of what is republished.
const (
	headerStatus   = "Status"
	headerSequence = "Nats-Sequence"
	headerSubject  = "Nats-Subject"
	headerTime     = "Nats-Time-Stamp"
	statusNone     = "404" // nothing is there
	statusEnd      = "204" // the end of a batch

	headerDescription = "Description"
)

var (
	errAnswer = errors.New("an answer that cannot be read")
	// errDoubt says that the header of an answer may be one that a member has chosen.
	errDoubt = fmt.Errorf("%w: its header is not the engine's", errAnswer)
)

// stored reads a message that was read directly, or republished.
func (s *Store) stored(m *nats.Msg) (*stored, error) {
	if !isBelieved(m, storedFields) {
		return nil, s.failed("reading", errDoubt)
	}
	sequence, err := strconv.ParseUint(m.Header.Get(headerSequence), 10, 64)
	if err != nil || sequence+1 == 0 { // there is always a next one
		return nil, s.failed("reading", errAnswer)
	}
	at, err := time.Parse(time.RFC3339Nano, m.Header.Get(headerTime))
	if err != nil {
		return nil, s.failed("reading", errAnswer)
	}
	return &stored{m.Header.Get(headerSubject), m.Data, sequence, at}, nil
}

// keyOf is the key of an entry.
func (s *Store) keyOf(one *stored) string {
	return strings.TrimPrefix(one.subject, s.subject(""))
}

// isReport tells reports from changes of the fleet.
func (s *Store) isReport(one *stored) bool {
	return strings.HasPrefix(one.subject, s.subject("server."))
}

// oneRead is how long reading one message may take. Another engine may answer the next time.
const oneRead = time.Second

// direct reads one message. Where there is none, it is nil.
func (s *Store) direct(ctx context.Context, r request) (*stored, error) {
	found, err := s.directly(ctx, r)
	if errors.Is(err, errDoubt) {
		return s.get(ctx, s.stream(), r)
	}
	return found, err
}

// directly is direct without what to do in doubt.
func (s *Store) directly(ctx context.Context, r request) (*stored, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, s.failed("reading", err)
	}
	limited, cancel := context.WithTimeout(ctx, oneRead)
	defer cancel()
	answer, err := s.conn.RequestWithContext(limited, directGet+s.stream(), body)
	switch {
	case errors.Is(err, nats.ErrNoResponders) && r.LastBySubject == "": // a report may look like that
		return nil, s.failed("reading", errors.Join(errDoubt, err))
	case err != nil:
		return nil, s.failed("reading", err)
	}
	if status := statusOf(answer); status != statusNone {
		return s.answered(answer, status)
	}
	return nil, nil
}

// statusOf is the status that the engine answers with in place of a message; empty: it does not.
func statusOf(m *nats.Msg) string {
	if !isBelieved(m, statusFields) {
		return ""
	}
	return m.Header.Get(headerStatus)
}

// answered reads a message, or the error that is answered in its place.
func (s *Store) answered(m *nats.Msg, status string) (*stored, error) {
	if status != "" {
		return nil, s.failed("reading", fmt.Errorf("status %.20q", status))
	}
	return s.stored(m)
}

// get reads one message where direct cannot be believed. It takes longer, and the leader alone
// answers.
func (s *Store) get(ctx context.Context, stream string, r request) (*stored, error) {
	r.Batch, r.MaxBytes, r.StartTime = 0, 0, nil
	body, err := json.Marshal(r)
	if err != nil {
		return nil, s.failed("reading", err)
	}
	limited, cancel := context.WithTimeout(ctx, oneRead)
	defer cancel()
	answer, err := s.conn.RequestWithContext(limited, s.getting(stream), body)
	if errors.Is(err, nats.ErrNoResponders) { // it is the bucket's own account
		answer, err = s.conn.RequestWithContext(limited, messageGet+stream, body)
	}
	if err != nil {
		return nil, s.failed("reading", errors.Join(errDoubt, err))
	}
	var got struct {
		Message *struct {
			Subject  string    `json:"subject"`
			Sequence uint64    `json:"seq"`
			Value    []byte    `json:"data"`
			At       time.Time `json:"time"`
		} `json:"message"`
		Error *struct {
			Code        int    `json:"code"`
			Description string `json:"description"`
		} `json:"error"`
	}
	switch err := json.Unmarshal(answer.Data, &got); {
	case err != nil:
		return nil, s.failed("reading", errAnswer)
	case got.Error != nil && got.Error.Code == http.StatusNotFound:
		return nil, nil
	case got.Error != nil:
		return nil, s.failed("reading", fmt.Errorf("%.200s", got.Error.Description))
	case got.Message == nil || got.Message.Sequence+1 == 0: // there is always a next one
		return nil, s.failed("reading", errAnswer)
	}
	m := got.Message
	return &stored{m.Subject, m.Value, m.Sequence, m.At}, nil
}

// maxPresize is for how many entries there is room from the beginning.
const maxPresize = 200_000

// What is read at once while everything is loaded: the engine counts what is left before each
// batch, and two batches are in memory.
const (
	batchSize  = 2000 // messages
	batchBytes = 2 << 20
)

// batch reads many messages of a stream. It returns none where there are no more.
func (s *Store) batch(ctx context.Context, stream string, r request) (found []*stored, err error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, s.failed("loading", err)
	}
	inbox := s.conn.NewInbox()
	answers := make(chan *nats.Msg, r.Batch+1) // with the end: more than that is dropped
	sub, err := s.conn.ChanSubscribe(inbox, answers)
	if err != nil {
		return nil, s.failed("loading", err)
	}
	defer func() { _ = sub.Unsubscribe() }() // an error says that the connection is closed
	if err := s.conn.PublishRequest(directGet+stream, inbox, body); err != nil {
		return nil, s.failed("loading", err)
	}
	late := time.NewTimer(attempt)
	defer late.Stop()
	found = make([]*stored, 0, r.Batch)
	for {
		var m *nats.Msg
		select {
		case m = <-answers:
		case <-late.C:
			return nil, s.failed("loading", context.DeadlineExceeded)
		case <-ctx.Done():
			return nil, s.failed("loading", context.Cause(ctx))
		}
		late.Reset(attempt)
		status := statusOf(m)
		if status == statusEnd || status == statusNone {
			return found, nil
		}
		one, err := s.answered(m, status)
		isDoubted := errors.Is(err, errDoubt)
		if isDoubted { // what comes after it is for the next batch
			if one, err = s.get(ctx, stream, r.from(found)); one == nil && err == nil {
				return found, nil
			}
		}
		if err != nil {
			return nil, err
		}
		if len(found) == r.Batch || one.sequence < r.from(found).Sequence {
			return nil, s.failed("loading", errAnswer)
		}
		if found = append(found, one); isDoubted {
			return found, nil
		}
	}
}

// from is a request for what comes after messages that were found.
func (r request) from(found []*stored) request {
	if len(found) > 0 {
		r.Sequence, r.StartTime = found[len(found)-1].sequence+1, nil
	}
	return r
}

// state is what the leader says of the stream.
type state struct {
	Created time.Time `json:"created"`
	State   struct {
		LastSequence uint64 `json:"last_seq"`
		Messages     uint64 `json:"messages"`
	} `json:"state"`
	Error *struct {
		Description string `json:"description"`
	} `json:"error"`
	meta string // the epoch of the entry "meta"; empty: there is none
}

// epoch changes when the bucket is made anew, and when an administrator says so in "meta".
func (s *state) epoch() string {
	return s.Created.UTC().Format(time.RFC3339Nano) + "/" + s.meta
}

// state asks for the state of the stream.
func (s *Store) state(ctx context.Context) (*state, error) {
	limited, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	answer, err := s.conn.RequestWithContext(limited, s.info(), nil)
	if errors.Is(err, nats.ErrNoResponders) { // it is the bucket's own account
		answer, err = s.conn.RequestWithContext(limited, streamInfo+s.stream(), nil)
	}
	if err != nil {
		return nil, s.failed("its state", err)
	}
	var now state
	switch err := json.Unmarshal(answer.Data, &now); {
	case err != nil:
		return nil, s.failed("its state", errAnswer)
	case now.Error != nil:
		return nil, s.failed("its state", fmt.Errorf("%.200s", now.Error.Description))
	}
	meta, _, err := s.Get(ctx, "meta")
	if err != nil && meta.Err() == nil {
		return nil, err
	}
	now.meta = meta.Epoch
	return &now, nil
}

// load reads everything: of entries all changes, of reports the last of each server. What has come
// is parsed while more is read.
func (s *Store) load(ctx context.Context) (*fleet.Log, fleet.Position, error) {
	begun, err := s.state(ctx)
	if err != nil {
		return nil, fleet.Position{}, err
	}
	p := fleet.Position{Epoch: begun.epoch()}
	log := new(fleet.Log)
	log.Grow(int(min(begun.State.Messages, maxPresize)))
	batches, parsed := make(chan []*stored), make(chan struct{})
	go func() {
		defer close(parsed)
		for found := range batches {
			if mark := s.take(found, log); mark != "" {
				p.Mark = mark
			}
		}
	}()
	last, err := s.readAll(ctx, p.Epoch, batches)
	close(batches)
	<-parsed
	p.Revision = last
	return log, p, err
}

// take takes the entries of messages, which are in the order of the log. mark is that of the last
// change of the fleet; empty: there is none.
func (s *Store) take(found []*stored, log *fleet.Log) (mark string) {
	values := make([]fleet.Value, 0, len(found))
	var last *stored
	for _, one := range found {
		key, isOwn := strings.CutPrefix(one.subject, s.subject(""))
		if !isOwn {
			continue // the stream has subjects that it was not made with
		}
		values = append(values, fleet.Value{Key: key, Text: one.value})
		if !s.isReport(one) {
			last = one
		}
	}
	log.Read(values)
	if last != nil {
		mark = last.mark()
	}
	return mark
}

// readAll reads all messages, and returns the sequence of the last one. It ends where the leader's
// log has ended since: an engine that is behind would not have what others have dropped already.
func (s *Store) readAll(ctx context.Context, epoch string, batches chan<- []*stored) (
	last uint64, err error) {
	for {
		found, err := s.batch(ctx, s.stream(), request{Sequence: last + 1,
			NextBySubject: ">", Batch: batchSize, MaxBytes: batchBytes})
		if err != nil {
			return last, err
		}
		if len(found) > 0 {
			last = found[len(found)-1].sequence
			batches <- found
			continue
		}
		now, err := s.state(ctx)
		switch {
		case err != nil:
			return last, err
		case now.epoch() != epoch:
			return last, s.failed("loading", errors.New("it was replaced meanwhile"))
		case last >= now.State.LastSequence:
			return last, nil
		}
	}
}
