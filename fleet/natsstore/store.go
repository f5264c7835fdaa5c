// Package natsstore keeps a fleet in a key-value bucket of NATS JetStream (2.11 or later). See
// [Store.Create] for what its streams have to be like, [Accounts] for who may do what, and
// [Options] for how to connect.
//
// Servers are in another account than the bucket, see [PermissionsOf]: they see the whole bucket
// and cannot write to it, but for their own reports.
package natsstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zmqauth/zmqauth/fleet"
)

const (
	defaultBucket = "zmqauth"
	defaultJitter = time.Second
	headerExpect  = "Nats-Expected-Last-Subject-Sequence"
	headerKey     = "Key" // of a notice: the entry's

	// attempt is how long Put waits for one answer. Elections take 4 to 9 s.
	attempt = 2 * time.Second
	// again is the time between two attempts of Put.
	again = 100 * time.Millisecond
	// announceInterval is the time between two notices of a revocation that is not confirmed.
	announceInterval = 200 * time.Millisecond
	// conflictCode is JetStream's code of the error that the last sequence is another one.
	conflictCode = 10071
)

// Config says where a fleet is. The zero value is good for use.
type Config struct {
	Bucket string        // "": "zmqauth"
	Jitter time.Duration // loads of everything begin at random within it; 0: 1 s; negative: at once
}

// Store is a fleet.Store. Any goroutine may call its methods. One Member at a time may follow it.
type Store struct {
	names
	conn    *nats.Conn
	jitter  time.Duration
	changed chan struct{} // there is a new proof

	mu       sync.Mutex
	proof    proof
	unlisten func() // ends the notices; nil: there are none
}

// proof is a write that a quorum has confirmed.
type proof struct {
	sequence uint64
	at       time.Time // before it was made
}

// New is the store of a fleet behind a connection, which the caller makes and closes. The
// connection should reconnect for ever (nats.MaxReconnects(-1)). A nil Config is the zero one.
func New(conn *nats.Conn, cfg *Config) (*Store, error) {
	if conn == nil {
		return nil, errors.New("natsstore: the connection is nil")
	}
	if cfg == nil {
		cfg = new(Config)
	}
	s := &Store{names: namesOf(cfg.Bucket), conn: conn, jitter: cfg.Jitter,
		changed: make(chan struct{}, 1)}
	if strings.ContainsAny(s.bucket, ".*> \t\r\n/\\") {
		return nil, fmt.Errorf("natsstore: bucket %.80q: letters, digits, - and _", s.bucket)
	}
	if s.jitter == 0 {
		s.jitter = defaultJitter
	}
	return s, nil
}

// The limits of what is kept.
const (
	history    = 64 // changes of each entry
	auditAge   = 90 * 24 * time.Hour
	auditBytes = 1 << 30
	pendingAge = 24 * time.Hour
)

// Create makes the streams of a fleet, on so many engines (1, 3 or 5), or changes those that exist
// to be like that. The bucket keeps 64 changes of each key, republishes each, and answers direct
// reads. The audit log keeps 90 days and 1 GiB. It needs the permissions of RoleEngine.
func (s *Store) Create(ctx context.Context, replicas int) error {
	js, err := jetstream.New(s.conn)
	if err != nil {
		return fmt.Errorf("natsstore: %w", err)
	}
	for _, c := range []jetstream.StreamConfig{
		{Name: s.stream(), Subjects: []string{s.subject(">")}, MaxMsgsPerSubject: history,
			Discard: jetstream.DiscardNew, RePublish: &jetstream.RePublish{Source: s.subject(">"),
				Destination: s.changes()}},
		{Name: s.auditStream(), Subjects: []string{s.audit("*")}, MaxAge: auditAge,
			MaxBytes: auditBytes},
		{Name: s.pendingStream(), Subjects: []string{s.pending("*")}, MaxMsgsPerSubject: 1,
			MaxAge: pendingAge},
	} {
		c.Replicas, c.Storage, c.AllowDirect, c.DenyDelete = replicas, jetstream.FileStorage, true, true
		if _, err := js.CreateOrUpdateStream(ctx, c); err != nil {
			return fmt.Errorf("natsstore: stream %q: %w", c.Name, err)
		}
	}
	return nil
}

// Put is that of fleet.Store. A grant is tried once. Where its answer does not come, read the entry
// to see whether it was taken.
func (s *Store) Put(ctx context.Context, e fleet.Entry, ifRevision *uint64) (
	p fleet.Position, err error) {
	text, err := fleet.CheckPut(e, ifRevision)
	if err != nil {
		return p, err
	}
	key := e.Key()
	message := nats.NewMsg(s.subject(key))
	message.Data = text
	if ifRevision != nil {
		message.Header.Set(headerExpect, strconv.FormatUint(*ifRevision, 10))
		return s.write(ctx, message)
	}
	announced, stop := context.WithCancel(ctx)
	defer stop()
	if err := s.announce(announced, key, text); err != nil {
		return p, err
	}
	for {
		limited, cancel := context.WithTimeout(ctx, attempt)
		p, err = s.write(limited, message)
		cancel()
		if err == nil {
			return p, nil
		}
		select {
		case <-ctx.Done():
			return p, s.failed(key, errors.Join(context.Cause(ctx), err))
		case <-time.After(again):
		}
	}
}

// announce sends the notice of a revocation, and again until ctx ends: servers whose engine was
// lost come back meanwhile.
func (s *Store) announce(ctx context.Context, key string, text []byte) error {
	notice := nats.NewMsg(s.notices())
	notice.Header.Set(headerKey, key)
	notice.Data = text
	if err := s.conn.PublishMsg(notice); err != nil {
		return s.failed(key, err)
	}
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(announceInterval):
				_ = s.conn.PublishMsg(notice) // while the connection is lost it waits in a buffer
			}
		}
	}()
	return nil
}

// write puts a message into the stream, and waits until a quorum has it.
func (s *Store) write(ctx context.Context, message *nats.Msg) (p fleet.Position, err error) {
	js, err := jetstream.New(s.conn)
	if err != nil {
		return p, s.failed(message.Subject, err)
	}
	ack, err := js.PublishMsg(ctx, message, jetstream.WithRetryAttempts(0))
	var api *jetstream.APIError
	switch {
	case errors.As(err, &api) && api.ErrorCode == conflictCode:
		return p, fleet.ErrConflict
	case err != nil:
		return p, s.failed(message.Subject, err)
	}
	state, err := s.state(ctx)
	if err != nil {
		return fleet.Position{Revision: ack.Sequence}, nil // it is written all the same
	}
	return fleet.Position{Epoch: state.epoch(), Revision: ack.Sequence}, nil
}

// Report is that of fleet.Store. What it has proved is told to the sink once everything before it
// has been applied.
func (s *Store) Report(ctx context.Context, server string, status fleet.Status) error {
	e := fleet.Entry{Kind: fleet.KindServer, Name: server, Report: &status}
	text, err := e.Encode()
	if err != nil {
		return err
	}
	js, err := jetstream.New(s.conn)
	if err != nil {
		return s.failed(e.Key(), err)
	}
	at := time.Now()
	ack, err := js.Publish(ctx, s.subject(e.Key()), text, jetstream.WithRetryAttempts(0))
	if err != nil {
		return s.failed(e.Key(), err)
	}
	next := proof{ack.Sequence, at}
	if next.sequence <= s.lastProof().sequence {
		next = proof{} // the log was set back or replaced: Follow looks
	}
	s.setProof(next)
	select {
	case s.changed <- struct{}{}:
	default:
	}
	return nil
}

func (s *Store) setProof(p proof) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.proof = p
}

// lastProof is the last proof.
func (s *Store) lastProof() proof {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proof
}

// Get reads the last change of a key, with the revision that Put needs to replace it. Where there
// is none, the revision is 0 and the error nil.
func (s *Store) Get(ctx context.Context, key string) (fleet.Entry, uint64, error) {
	found, err := s.direct(ctx, request{LastBySubject: s.subject(key)})
	if err != nil || found == nil {
		return fleet.Entry{}, 0, err
	}
	e, err := fleet.ParseEntry(key, found.value)
	return e, found.sequence, err
}

func (s *Store) failed(what string, err error) error {
	return fmt.Errorf("natsstore: bucket %q: %s: %w", s.bucket, what, err)
}
