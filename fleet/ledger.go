package fleet

import (
	"crypto/ed25519"
	"errors"
	"runtime"
	"slices"
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
	value    string // the entry, encoded; empty where the state is ""
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
	entry *Entry
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

// admit is the record that an entry makes in place of another. same says that it is that one.
func admit(old record, e Entry, v verdict) (r record, same bool, err error) {
	switch {
	case v.err != nil:
		return old, false, v.err
	case old.value == v.text:
		return old, true, nil
	}
	// A revocation counts however old it seems: who wrote it may not have seen the grant.
	isOld := e.Revision < old.revision || e.Revision == old.revision && old.value != ""
	if isOld && e.State != Revoked {
		return old, false, entryError(e.Key(), ErrOutdated)
	}
	return record{max(e.Revision, old.revision), e.State, v.text}, false, nil
}

// apply takes a change of the log.
func (l *ledger) apply(e Entry) ([]change, error) {
	if e.isForLoading() {
		return nil, nil
	}
	key := e.Key()
	r, same, err := admit(l.records[key], e, l.verifyOne(e, nil))
	if err != nil {
		return nil, err
	}
	before := l.standing(key)
	l.records[key] = r
	l.settle(e)
	if now := l.standing(key); !same || now != before {
		return []change{{&e, now}}, nil
	}
	return nil, nil
}

// isForLoading says that an entry lets nobody in and means nothing once it is loaded.
func (e Entry) isForLoading() bool { return e.Kind == KindServer || e.Kind == KindSums }

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
	return []change{{&held, suspended}}, err
}

// reset takes a whole log in place of another, as if each entry were applied. Grants that it does
// not have are over. Revocations and lists of addresses that it does not have stay: to lose them
// would let somebody in. Entries that are refused leave what holds for their key. v is what verify
// says of the entries.
func (l *ledger) reset(entries []Entry, v verified) (changes []change, refused []error) {
	next := make(map[string]record, max(v.count, len(l.records)))
	changes = make([]change, 0, v.count)
	for i := range entries {
		key := v.keys[i]
		if !v.isLast[i] {
			continue
		}
		before := l.standing(key)
		r, held, faults := l.fold(key, v.of(i), entries, v.verdicts)
		refused = append(refused, faults...)
		old, known := l.records[key]
		if known || held != nil {
			next[key] = r
		}
		now := l.standingOf(key, r)
		if held == nil && now != before {
			e, err := parse(key, old.value)
			if held = &e; err != nil {
				refused = append(refused, err)
			}
		}
		if held != nil {
			changes = append(changes, change{held, now})
		}
	}
	for key, old := range l.records {
		if _, found := next[key]; found {
			continue
		}
		e, err := parseKey(key)
		if err == nil && old.state == Granted && e.isClient() {
			old = record{revision: old.revision}
			changes = append(changes, change{&e, out})
		}
		next[key] = old
	}
	l.records = next
	return changes, refused
}

// fold is what holds for a key after the entries at those places. held is the one that made it;
// nil: what held before.
func (l *ledger) fold(key string, at []int, entries []Entry, verdicts []verdict) (r record,
	held *Entry, faults []error) {
	r = l.records[key]
	var last error
	for _, i := range at {
		e, v := &entries[i], verdicts[i]
		if last = v.err; v.skipped || e.isForLoading() {
			continue
		}
		next, same, err := admit(r, *e, v)
		if last = err; err != nil && v.err != nil {
			faults = append(faults, err)
			last = nil
		}
		if err != nil {
			continue
		}
		r = next
		l.settle(*e)
		if !same {
			held = e
		}
	}
	if last != nil { // what is older is history, unless it is the last word
		faults = append(faults, last)
	}
	return r, held, faults
}

// history is where the entries of each key are.
type history struct {
	keys     []string
	isLast   []bool // of its key
	previous []int  // the one of the same key before it; -1: none
	count    int    // of different keys
}

func historyOf(entries []Entry) history {
	h := history{make([]string, len(entries)), make([]bool, len(entries)),
		make([]int, len(entries)), 0}
	inParallel(len(entries), func(i int) { h.keys[i] = entries[i].Key() })
	last := make(map[string]int, len(entries))
	for i, key := range h.keys {
		before, found := last[key]
		if !found {
			before = -1
		} else {
			h.isLast[before] = false
		}
		h.previous[i], h.isLast[i], last[key] = before, true, i
	}
	h.count = len(last)
	return h
}

// of are the places of all entries of a key, whose last one is given, in order.
func (h history) of(last int) (at []int) {
	for i := last; i >= 0; i = h.previous[i] {
		at = append(at, i)
	}
	slices.Reverse(at)
	return at
}

// verified is what is known of entries before they are admitted.
type verified struct {
	history
	verdicts []verdict
}

// verdict is what is known of an entry before it is admitted.
type verdict struct {
	text    string // the entry, encoded
	err     error  // why it does not count
	skipped bool   // another one holds, whatever this one is
}

// verify verifies many entries on all processors: a signature takes longer than all the rest. Those
// that are known already or that a sum vouches for cost less. Of those that later ones replace only
// the last are looked at.
func (l *ledger) verify(entries []Entry) verified {
	verdicts := make([]verdict, len(entries))
	h := historyOf(entries)
	var first, second, vouching []int
	for i := range entries {
		e := &entries[i]
		verdicts[i].skipped = true
		switch isLast := h.isLast[i]; {
		case isLast && e.Kind == KindSums:
			vouching = append(vouching, i)
		case e.isForLoading() || !isLast:
		case h.isPlain(entries, i):
			first = append(first, i)
		default:
			first = append(first, h.of(i)...)
		}
	}
	l.verifyAll(entries, verdicts, vouching, nil)
	known := make(map[sum]bool)
	for _, i := range vouching {
		if verdicts[i].err == nil {
			for one := range slices.Chunk(entries[i].Sums, len(sum{})) {
				known[sum(one)] = true
			}
		}
	}
	l.verifyAll(entries, verdicts, first, known)
	for _, i := range first {
		if verdicts[i].err != nil && h.isLast[i] {
			for _, earlier := range h.of(i) {
				if verdicts[earlier].skipped {
					second = append(second, earlier)
				}
			}
		}
	}
	l.verifyAll(entries, verdicts, second, known)
	return verified{h, verdicts}
}

// isPlain tells whether the last entry of a key says to be the newest: then it is the one to hold
// if it counts.
func (h history) isPlain(entries []Entry, last int) bool {
	for i := h.previous[last]; i >= 0; i = h.previous[i] {
		if entries[i].Revision >= entries[last].Revision {
			return false
		}
	}
	return true
}

// verifyAll verifies the entries at those places.
func (l *ledger) verifyAll(entries []Entry, verdicts []verdict, at []int, vouched map[sum]bool) {
	inParallel(len(at), func(i int) {
		verdicts[at[i]] = l.verifyOne(entries[at[i]], vouched)
	})
}

// inParallel does many small things on all processors.
func inParallel(count int, do func(i int)) {
	const share = 256
	var wg sync.WaitGroup
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	for from := 0; from < count; from += share {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			for i := from; i < min(from+share, count); i++ {
				do(i)
			}
		})
	}
	wg.Wait()
}

func (l *ledger) verifyOne(e Entry, vouched map[sum]bool) (v verdict) {
	if v.text = e.text; v.text == "" {
		text, err := e.Encode()
		if v.text, v.err = string(text), err; err != nil {
			return v
		}
	}
	key := e.Key()
	if l.records[key].value == v.text ||
		len(vouched) > 0 && vouched[sumOf(l.trust.fleet, key, v.text)] {
		return v
	}
	v.err = l.trust.verify(e)
	return v
}
