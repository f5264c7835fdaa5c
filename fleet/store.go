package fleet

import (
	"context"
	"errors"
	"time"
)

// Position is a place in the log of a store. Positions of two epochs cannot be compared.
type Position struct {
	Epoch    string `json:"epoch"`    // of the log as a whole
	Revision uint64 `json:"revision"` // grows with each change of anything

	// Mark is for the Store alone: it tells by it whether a log with this epoch is still the one
	// that it was. It may be empty.
	Mark string `json:"mark,omitempty"`
}

// Includes tells whether everything up to another position is before this one, or at it.
func (p Position) Includes(other Position) bool {
	return p.Epoch == other.Epoch && p.Revision >= other.Revision
}

// Sink takes what a Store follows. One goroutine at a time may call it, but Notice, which any may.
type Sink interface {
	// Reset replaces everything, in one step. The entries are in the order of the log. What counts
	// of those with one key is decided as if each were applied; of reports the last is enough.
	Reset(entries []Entry, p Position)
	// Apply takes one change. Those at or before the last position are ignored.
	Apply(e Entry, p Position)
	// Fresh says that everything has been applied that was in the log at that time. It must be
	// proved by a write that a quorum has confirmed after it.
	Fresh(at time.Time)
	// Notice takes the announcement of a revocation, which may come before or without the log.
	Notice(e Entry)
}

// LogSink is a Sink that takes what Reset takes as a [Log], which is smaller. A Member's is one.
type LogSink interface {
	Sink
	ResetLog(log *Log, p Position)
}

// Store is where the entries of a fleet are. Its methods may be called by many goroutines.
type Store interface {
	// Follow gives a sink what comes after a position, without gaps and in the order of the log. A
	// position of another epoch, or one that the log has not reached, is one to Reset from, as the
	// zero Position is. Follow returns only on an error.
	Follow(ctx context.Context, from Position, s Sink) error
	// Put adds an entry. A grant (and a list of addresses, and meta) needs ifRevision, which is the
	// Position.Revision of the last change of its key, 0 if there is none: otherwise the error is
	// ErrConflict. A revocation must not have it. It is announced at once, and Put tries until ctx
	// ends.
	Put(ctx context.Context, e Entry, ifRevision *uint64) (Position, error)
	// Report puts what a server says of itself. A nil error says that a quorum has it.
	Report(ctx context.Context, server string, s Status) error
}

// ErrConflict says that the entry has changed since it was read.
var ErrConflict = errors.New("fleet: the entry has changed meanwhile: read it again")

// CheckPut is for stores: it tells whether Put may take an entry, and returns its value.
func CheckPut(e Entry, ifRevision *uint64) ([]byte, error) {
	text, err := e.Encode()
	switch {
	case err != nil:
		return nil, err
	case e.Kind == KindServer:
		return nil, entryError(e.Key(), errors.New("a server reports it itself"))
	case e.State == Revoked && ifRevision != nil:
		return nil, entryError(e.Key(), errors.New("a revocation is unconditional"))
	case e.State != Revoked && ifRevision == nil:
		return nil, entryError(e.Key(), errors.New("a grant needs the revision that it replaces"))
	}
	return text, nil
}
