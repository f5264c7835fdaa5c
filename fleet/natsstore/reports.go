package natsstore

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/zmqauth/zmqauth/fleet"
)

var (
	_ fleet.Store        = (*Store)(nil)
	_ fleet.AuditStore   = (*Store)(nil)
	_ fleet.PendingStore = (*Store)(nil)
)

// Record is that of fleet.AuditStore. What was recorded within the last two minutes is not recorded
// twice.
func (s *Store) Record(ctx context.Context, server string, events []fleet.Event) error {
	if err := fleet.CheckEvents(server, events); err != nil {
		return err
	}
	text, err := json.Marshal(events)
	if err != nil {
		return s.failed("audit", err)
	}
	message := nats.NewMsg(s.audit(server))
	message.Data = text
	digest := sha256.Sum256(text)
	message.Header.Set(jetstream.MsgIDHeader, server+"-"+hex.EncodeToString(digest[:]))
	return s.publish(ctx, message)
}

// publish publishes and waits until a quorum has it.
func (s *Store) publish(ctx context.Context, message *nats.Msg) error {
	js, err := jetstream.New(s.conn)
	if err == nil {
		_, err = js.PublishMsg(ctx, message, jetstream.WithRetryAttempts(0))
	}
	if err != nil {
		return s.failed(message.Subject, err)
	}
	return nil
}

// Events is that of fleet.AuditStore.
func (s *Store) Events(ctx context.Context, since time.Time, yield func(fleet.Event) bool) error {
	changes, err := s.changesSince(ctx, since)
	if err != nil {
		return err
	}
	ended := false
	wants := func(e fleet.Event) bool {
		ended = ended || !e.At.Before(since) && !yield(e)
		return !ended
	}
	err = s.each(ctx, s.auditStream(), request{NextBySubject: s.audit(">"), StartTime: &since},
		func(one *stored) bool {
			var events []fleet.Event
			server := strings.TrimPrefix(one.subject, s.audit(""))
			if json.Unmarshal(one.value, &events) != nil || fleet.CheckEvents(server, events) != nil {
				return true // no server has written it
			}
			for _, e := range events {
				for len(changes) > 0 && !changes[0].At.After(e.At) {
					if !wants(changes[0]) {
						return false
					}
					changes = changes[1:]
				}
				if !wants(e) {
					return false
				}
			}
			return true
		})
	for _, e := range changes {
		if err != nil || ended || !wants(e) {
			break
		}
	}
	return err
}

// changesSince are the changes of entries since then. A signature is not looked at.
func (s *Store) changesSince(ctx context.Context, since time.Time) (
	found []fleet.Event, err error) {
	err = s.each(ctx, s.stream(), request{NextBySubject: s.subject(">"), StartTime: &since},
		func(one *stored) bool {
			e, _ := fleet.ParseEntry(s.keyOf(one), one.value)
			if event, ok := fleet.ChangeOf(e); ok {
				if event.At.IsZero() {
					event.At = one.at
				}
				found = append(found, event)
			}
			return true
		})
	slices.SortStableFunc(found, func(a, b fleet.Event) int { return a.At.Compare(b.At) })
	return found, err
}

// each reads messages of a stream until take returns false.
func (s *Store) each(ctx context.Context, stream string, r request, take func(*stored) bool) error {
	r.Batch, r.MaxBytes = batchSize, batchBytes
	for {
		found, err := s.batch(ctx, stream, r)
		if err != nil || len(found) == 0 {
			return err
		}
		for _, one := range found {
			if !take(one) {
				return nil
			}
		}
		r = r.from(found)
	}
}

// ReportPending is that of fleet.PendingStore.
func (s *Store) ReportPending(ctx context.Context, server string, list []fleet.Pending) error {
	if err := fleet.CheckPending(server, list); err != nil {
		return err
	}
	text, err := json.Marshal(list)
	if err != nil {
		return s.failed("pending", err)
	}
	message := nats.NewMsg(s.pending(server))
	message.Data = text
	return s.publish(ctx, message)
}

// Pending is that of fleet.PendingStore. What a server has reported more than a day ago is not
// among them.
func (s *Store) Pending(ctx context.Context) (all []fleet.Pending, err error) {
	err = s.each(ctx, s.pendingStream(), request{NextBySubject: s.pending(">"), Sequence: 1},
		func(one *stored) bool {
			var list []fleet.Pending
			server := strings.TrimPrefix(one.subject, s.pending(""))
			if json.Unmarshal(one.value, &list) != nil || fleet.CheckPending(server, list) != nil {
				return true // no server has written it
			}
			for _, p := range list {
				p.Server = server
				all = append(all, p)
			}
			return true
		})
	return all, err
}

// Load reads everything: of entries all changes that the bucket has, in the order of the log, of
// each server the last report. fleet.Current tells what of it holds.
func (s *Store) Load(ctx context.Context) ([]fleet.Entry, fleet.Position, error) {
	log, p, err := s.load(ctx)
	if err != nil {
		return nil, p, err
	}
	return slices.Collect(log.Entries()), p, nil
}

// History reads all changes of a key that the bucket has, the oldest first.
func (s *Store) History(ctx context.Context, key string) (found []fleet.Entry, err error) {
	err = s.each(ctx, s.stream(), request{NextBySubject: s.subject(key), Sequence: 1},
		func(one *stored) bool {
			e, _ := fleet.ParseEntry(key, one.value) // Entry.Err tells of it
			found = append(found, e)
			return true
		})
	return found, err
}

// Seal puts the sums of everything that the signers have signed, see fleet.Sums, signed by one of
// them, whose name is who. It is for after many changes: servers load 100,000 entries in about a
// second then, and verify each signature otherwise. count is how many entries have sums.
func (s *Store) Seal(ctx context.Context, name, who string, by ed25519.PrivateKey,
	signers ...ed25519.PublicKey) (count int, err error) {
	entries, _, err := s.Load(ctx)
	if err != nil {
		return 0, err
	}
	made, count := fleet.Sums(name, entries, signers...)
	for _, e := range made {
		old, revision, err := s.Get(ctx, e.Key())
		if err != nil && old.Err() == nil {
			return 0, err
		}
		now := time.Now()
		e.By, e.At, e.Revision = who, now, fleet.NextRevision(old.Revision, now)
		if err := e.Sign(name, by); err != nil {
			return 0, err
		}
		if _, err := s.Put(ctx, e, &revision); err != nil {
			return 0, err
		}
	}
	return count, nil
}
