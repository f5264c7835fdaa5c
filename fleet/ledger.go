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
	*item
	now standing
}

// of is the entry of a record. Without a value its key is known alone.
func (r record) of(key string) *item {
	e, err := parseKey(key)
	return &item{key: key, text: r.value, state: r.state, revision: r.revision, err: err,
		kind: e.Kind}
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
func admit(old record, i *item, v verdict) (r record, same bool, err error) {
	switch {
	case v.err != nil:
		return old, false, v.err
	case old.value == i.text:
		return old, true, nil
	}
	// A revocation counts however old it seems: who wrote it may not have seen the grant.
	isOld := i.revision < old.revision || i.revision == old.revision && old.value != ""
	if isOld && i.state != Revoked {
		return old, false, entryError(i.key, ErrOutdated)
	}
	return record{max(i.revision, old.revision), i.state, i.text}, false, nil
}

// apply takes a change of the log.
func (l *ledger) apply(e Entry) ([]change, error) {
	if e.Kind.isForLoading() {
		return nil, nil
	}
	i := itemOf(e)
	r, same, err := admit(l.records[i.key], &i, l.verifyOne(&i, nil))
	if err != nil {
		return nil, err
	}
	before := l.standing(i.key)
	l.records[i.key] = r
	l.settle(&i)
	if now := l.standing(i.key); !same || now != before {
		return []change{{&i, now}}, nil
	}
	return nil, nil
}

// settle ends the announcement that an entry of the log confirms or withdraws.
func (l *ledger) settle(i *item) {
	n, announced := l.notices[i.key]
	if announced && (i.revision > n.Revision || i.revision == n.Revision && i.state == Revoked) {
		delete(l.notices, i.key)
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
	case !e.Kind.isClient() || e.State != Revoked:
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
	return []change{{old.of(key), suspended}}, nil
}

// reset takes a whole log in place of another, as if each entry were applied. Grants that it does
// not have are over. Revocations and lists of addresses that it does not have stay: to lose them
// would let somebody in. Entries that are refused leave what holds for their key. v is what verify
// says of the log.
func (l *ledger) reset(log *Log, v verified) (changes []change, refused []error) {
	next := make(map[string]record, max(v.count, len(l.records)))
	changes = make([]change, 0, v.count)
	for i := range log.items {
		key := log.items[i].key
		if !v.isLast[i] {
			continue
		}
		before := l.standing(key)
		r, held, faults := l.fold(v.of(i), log.items, v.verdicts)
		refused = append(refused, faults...)
		old, known := l.records[key]
		if known || held != nil {
			next[key] = r
		}
		now := l.standingOf(key, r)
		if held == nil && now != before {
			held = old.of(key)
		}
		if held != nil {
			changes = append(changes, change{held, now})
		}
	}
	for key, old := range l.records {
		if _, found := next[key]; found {
			continue
		}
		gone := record{revision: old.revision}
		if held := gone.of(key); old.state == Granted && held.kind.isClient() {
			old = gone
			changes = append(changes, change{held, out})
		}
		next[key] = old
	}
	l.records = next
	return changes, refused
}

// fold is what holds for a key after its entries, which are at those places. held is the one that
// made it; nil: what held before.
func (l *ledger) fold(at []int, items []item, verdicts []verdict) (r record, held *item,
	faults []error) {
	r = l.records[items[at[0]].key]
	var last error
	for _, n := range at {
		i, v := &items[n], verdicts[n]
		if last = v.err; v.skipped || i.kind.isForLoading() {
			continue
		}
		next, same, err := admit(r, i, v)
		if last = err; err != nil && v.err != nil {
			faults = append(faults, err)
			last = nil
		}
		if err != nil {
			continue
		}
		r = next
		l.settle(i)
		if !same {
			held = i
		}
	}
	if last != nil { // what is older is history, unless it is the last word
		faults = append(faults, last)
	}
	return r, held, faults
}

// history is where the entries of each key are.
type history struct {
	isLast   []bool // of its key
	previous []int  // the one of the same key before it; -1: none
	count    int    // of different keys
}

func historyOf(items []item) history {
	h := history{isLast: make([]bool, len(items)), previous: make([]int, len(items))}
	last := make(map[string]int, len(items))
	for i := range items {
		before, found := last[items[i].key]
		if !found {
			before = -1
		} else {
			h.isLast[before] = false
		}
		h.previous[i], h.isLast[i], last[items[i].key] = before, true, i
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
	err     error // why it does not count
	skipped bool  // another one holds, whatever this one is
}

// verify verifies many entries on all processors: a signature takes longer than all the rest. Those
// that are known already or that a sum vouches for cost less. Of those that later ones replace only
// the last are looked at.
func (l *ledger) verify(log *Log) verified {
	items := log.items
	verdicts := make([]verdict, len(items))
	h := historyOf(items)
	first := make([]int, 0, len(items))
	var second, vouching []int
	for i := range items {
		verdicts[i].skipped = true
		switch kind, isLast := items[i].kind, h.isLast[i]; {
		case isLast && kind == KindSums:
			vouching = append(vouching, i)
		case kind.isForLoading() || !isLast:
		case h.isPlain(items, i):
			first = append(first, i)
		default:
			first = append(first, h.of(i)...)
		}
	}
	l.verifyAll(items, verdicts, vouching, nil)
	known := vouched(items, verdicts, vouching)
	l.verifyAll(items, verdicts, first, known)
	for _, i := range first {
		if verdicts[i].err != nil && h.isLast[i] {
			for _, earlier := range h.of(i) {
				if verdicts[earlier].skipped {
					second = append(second, earlier)
				}
			}
		}
	}
	l.verifyAll(items, verdicts, second, known)
	return verified{h, verdicts}
}

// vouched are the sums of those entries that count.
func vouched(items []item, verdicts []verdict, vouching []int) map[sum]bool {
	known := make(map[sum]bool, min(len(items), len(vouching)*maxSums))
	for _, i := range vouching {
		if verdicts[i].err != nil {
			continue
		}
		if e, err := items[i].entry(); err == nil {
			for one := range slices.Chunk(e.Sums, len(sum{})) {
				known[sum(one)] = true
			}
		}
	}
	return known
}

// isPlain tells whether the last entry of a key says to be the newest: then it is the one to hold
// if it counts.
func (h history) isPlain(items []item, last int) bool {
	for i := h.previous[last]; i >= 0; i = h.previous[i] {
		if items[i].revision >= items[last].revision {
			return false
		}
	}
	return true
}

// verifyAll verifies the entries at those places.
func (l *ledger) verifyAll(items []item, verdicts []verdict, at []int, vouched map[sum]bool) {
	inParallel(len(at), func(i int) {
		verdicts[at[i]] = l.verifyOne(&items[at[i]], vouched)
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

// isVouched tells whether there is a sum of an entry that one of those who are trusted has signed.
func (l *ledger) isVouched(i *item, vouched map[sum]bool) bool {
	return len(vouched) > 0 && slices.ContainsFunc(l.trust.signers, func(s ed25519.PublicKey) bool {
		return vouched[sumOf(l.trust.fleet, s, i.key, i.text)]
	})
}

func (l *ledger) verifyOne(i *item, vouched map[sum]bool) verdict {
	switch {
	case i.err != nil:
		return verdict{err: i.err}
	case l.records[i.key].value == i.text, l.trust.unsigned, l.isVouched(i, vouched):
		return verdict{}
	}
	e, err := i.entry()
	if err == nil {
		err = l.trust.verify(e)
	}
	return verdict{err: err}
}
