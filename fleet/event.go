package fleet

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode/utf8"
)

// EventKind says what an Event tells of. The zero value is none.
type EventKind string

// The kinds of events.
const (
	EventRefused EventKind = "refused" // a client was refused, or told to try again
	EventCut     EventKind = "cut"     // a session was ended because its client is let in no more
	EventChanged EventKind = "changed" // an administrator changed an entry
	EventPending EventKind = "pending" // a client with an unknown key asks to be let in
	EventLost    EventKind = "lost"    // events for which a server had no room
)

// Event is one line of the audit log. Strangers choose some of its texts: they are cut to 255 bytes
// and have no control characters.
type Event struct {
	At     time.Time `json:"at"`
	Kind   EventKind `json:"kind"`
	Server string    `json:"server,omitempty"` // the id of the server that tells; empty for changes
	Count  int       `json:"count,omitempty"`  // of equal events that this one stands for; 0: 1

	Domain    string `json:"domain,omitempty"`
	Mechanism string `json:"mechanism,omitempty"`
	UserID    string `json:"user,omitempty"`
	Key       string `json:"key,omitempty"` // of a change: Entry.Key; else a public key in Z85
	Address   string `json:"address,omitempty"`
	Reason    string `json:"reason,omitempty"` // of zmqauth.Decision; of a change the state
	By        string `json:"by,omitempty"`     // the administrator
	Why       string `json:"why,omitempty"`
}

// AuditStore is a store that keeps an audit log. Its methods may be called by many goroutines.
type AuditStore interface {
	// Record adds events of a server. A nil error says that a quorum has them. The same events may
	// be recorded again if no answer came: the store keeps them once.
	Record(ctx context.Context, server string, events []Event) error
	// Events gives each event since then to yield, in the order of the log, until it returns false.
	// The changes of entries are among them, in the order of their times.
	Events(ctx context.Context, since time.Time, yield func(Event) bool) error
}

// IsAbout tells whether an event has to do with a user: one whose user id it is, or an
// administrator by whom something was changed.
func (e Event) IsAbout(user string) bool { return e.UserID == user || e.By == user }

// ChangeOf is the event of the change that an entry is, for stores. ok is false for reports.
func ChangeOf(e Entry) (event Event, ok bool) {
	if e.broken != nil || e.Kind == KindServer || e.Kind == KindSums {
		return Event{}, false
	}
	event = Event{At: e.At, Kind: EventChanged, Domain: e.Domain, UserID: e.UserID, Key: e.Key(),
		Reason: string(e.State), By: e.By, Why: e.Why}
	if event.UserID == "" {
		event.UserID = e.Name
	}
	return event.clean(), true
}

// maxField is the length of an event's text.
const maxField = 255

// clean is an event without what strangers must not choose.
func (e Event) clean() Event {
	for _, text := range []*string{&e.Server, &e.Domain, &e.Mechanism, &e.UserID, &e.Key, &e.Address,
		&e.Reason, &e.By, &e.Why} {
		*text = cleanText(*text)
	}
	e.At = wall(e.At)
	return e
}

func cleanText(text string) string {
	if len(text) > maxField {
		text = text[:maxField]
	}
	if utf8.ValidString(text) && !strings.ContainsFunc(text, isControl) {
		return text
	}
	return strings.Map(func(c rune) rune {
		if isControl(c) {
			return '?'
		}
		return c
	}, strings.ToValidUTF8(text, "?"))
}

func isControl(c rune) bool { return c < ' ' || c == 0x7f }

// CheckEvents is for stores: it tells whether Record may take events.
func CheckEvents(server string, events []Event) error {
	if err := checkToken("server", server); err != nil {
		return err
	}
	for _, e := range events {
		if e != e.clean() || e.Server != server || e.Kind == EventChanged {
			return errors.New("fleet: an event that is not one of the server")
		}
	}
	return nil
}
