package fleet

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"runtime"
	"sync"
)

// maxNotices is how many announced revocations wait for the log. Signers alone can make them.
const maxNotices = 100_000

// trust says whose entries count.
type trust struct {
	fleet    string
	signers  []ed25519.PublicKey
	unsigned bool // every entry counts
}

func (t trust) verify(e Entry) error {
	if t.unsigned {
		return nil
	}
	return e.Verify(t.fleet, t.signers...)
}

// ledger is what a member knows: of each key the entry that holds, and announced revocations. It
// decides which entries to take, and does nothing else.
type ledger struct {
	trust   trust
	records map[string]record
	notices map[string]Entry
}

// record is what holds for a key. It outlives its entry: what is older is not taken later.
type record struct {
	revision uint64 // the highest that was seen
	state    State  // "": a log that took the place of another does not have the entry
	value    []byte // the entry, encoded; nil where the state is ""
}

// standing is what an entry means for its clients.
type standing uint8

const (
	out       standing = iota // refused
	suspended                 // told to try again
	in                        // let in; of addresses: the list holds
)

// change is another standing of an entry, or another entry.
type change struct {
	entry Entry
	now   standing
}

func newLedger(t trust) *ledger {
	return &ledger{trust: t, records: make(map[string]record), notices: make(map[string]Entry)}
}

// standing is that of a key.
func (l *ledger) standing(key string) standing { return l.standingOf(key, l.records[key]) }

// standingOf is the standing of a key if that record holds.
func (l *ledger) standingOf(key string, r record) standing {
	_, announced := l.notices[key]
	switch {
	case r.state != Granted:
		return out
	case announced:
		return suspended
	}
	return in
}

// admit is the record that an entry makes. same says that it is the one that holds.
func (l *ledger) admit(e Entry, verified bool) (r record, same bool, err error) {
	text, err := e.Encode()
	if err != nil {
		return r, false, err
	}
	key := e.Key()
	old := l.records[key]
	if bytes.Equal(old.value, text) {
		return old, true, nil
	}
	if !verified {
		if err := l.trust.verify(e); err != nil {
			return r, false, err
		}
	}
	// A revocation counts however old it seems: who wrote it may not have seen the grant.
	isOld := e.Revision < old.revision || e.Revision == old.revision && old.value != nil
	if isOld && e.State != Revoked {
		return r, false, entryError(key, ErrOutdated)
	}
	return record{max(e.Revision, old.revision), e.State, text}, false, nil
}

// apply takes a change of the log.
func (l *ledger) apply(e Entry) ([]change, error) {
	if e.Kind == KindServer {
		return nil, nil // reports let nobody in
	}
	r, same, err := l.admit(e, false)
	if err != nil {
		return nil, err
	}
	key := e.Key()
	before := l.standing(key)
	l.records[key] = r
	l.settle(e)
	if now := l.standing(key); !same || now != before {
		return []change{{e, now}}, nil
	}
	return nil, nil
}

// settle ends the announcement that an entry of the log confirms or withdraws.
func (l *ledger) settle(e Entry) {
	n, announced := l.notices[e.Key()]
	if announced && (e.Revision > n.Revision || e.Revision == n.Revision && e.State == Revoked) {
		delete(l.notices, e.Key())
	}
}

var (
	errNotice  = errors.New("a notice that is no revocation")
	errNotices = errors.New("too many notices wait for the log")
)

// announce takes the announcement of a revocation.
func (l *ledger) announce(e Entry) ([]change, error) {
	key := e.Key()
	old, known := l.records[key]
	_, announced := l.notices[key]
	switch {
	case e.broken != nil:
		return nil, e.broken
	case !e.isClient() || e.State != Revoked:
		return nil, entryError(key, errNotice)
	case known && e.Revision < old.revision, old.state == Revoked && e.Revision == old.revision:
		return nil, nil // the log has decided already
	case !announced && len(l.notices) >= maxNotices:
		return nil, entryError(key, errNotices)
	case announced && e.Revision <= l.notices[key].Revision:
		return nil, nil
	}
	if err := l.trust.verify(e); err != nil {
		return nil, err
	}
	before := l.standing(key)
	l.notices[key] = e
	if before != in {
		return nil, nil
	}
	held, err := parse(key, old.value)
	return []change{{held, suspended}}, err
}

// reset takes a whole log in place of another. Grants that it does not have are over. Revocations
// and lists of addresses that it does not have stay: to lose them would let somebody in. Entries
// that are refused leave what holds for their key. verified is what verify says of the entries.
func (l *ledger) reset(entries []Entry, verified []error) (changes []change, refused []error) {
	next := make(map[string]record, len(entries))
	last := lastOf(entries)
	for i, e := range entries {
		key := e.Key()
		if last[key] != i || e.Kind == KindServer {
			continue
		}
		r, same, err := record{}, false, verified[i]
		if err == nil {
			r, same, err = l.admit(e, true)
		}
		if err != nil {
			refused = append(refused, err)
			if old, known := l.records[key]; known {
				next[key] = old
			}
			continue
		}
		next[key] = r
		before := l.standing(key)
		l.settle(e)
		if !same || l.standingOf(key, r) != before {
			changes = append(changes, change{e, l.standingOf(key, r)})
		}
	}
	for key, old := range l.records {
		if _, found := next[key]; found {
			continue
		}
		e, err := parseKey(key)
		if err == nil && old.state == Granted && e.isClient() {
			old = record{revision: old.revision}
			changes = append(changes, change{e, out})
		}
		next[key] = old
	}
	l.records = next
	return changes, refused
}

// lastOf is the index of each key's last entry.
func lastOf(entries []Entry) map[string]int {
	last := make(map[string]int, len(entries))
	for i, e := range entries {
		last[e.Key()] = i
	}
	return last
}

// verify verifies many entries on all processors: a signature takes longer than all the rest. Those
// that are known already, or that are not the last of their key, cost nothing.
func (l *ledger) verify(entries []Entry) []error {
	last := lastOf(entries)
	faults := make([]error, len(entries))
	const share = 256
	var wg sync.WaitGroup
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	for from := 0; from < len(entries); from += share {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			for i := from; i < min(from+share, len(entries)); i++ {
				if e := entries[i]; last[e.Key()] == i && e.Kind != KindServer {
					faults[i] = l.verifyOne(e)
				}
			}
		})
	}
	wg.Wait()
	return faults
}

func (l *ledger) verifyOne(e Entry) error {
	text, err := e.Encode()
	if err != nil {
		return err
	}
	if bytes.Equal(l.records[e.Key()].value, text) {
		return nil
	}
	return l.trust.verify(e)
}
