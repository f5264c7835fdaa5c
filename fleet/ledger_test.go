package fleet

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
)

// world is a log that a model keeps beside a ledger, and what the ledger may not forget.
type world struct {
	*testing.T
	random   *rand.Rand
	ledger   *ledger
	log      []Entry           // in order; a reset delivers all of it
	revision map[string]uint64 // of the last entry that was written for a key
	old      []Entry           // everything that was ever signed, to play back
	revoked  map[string]uint64 // the highest revision of a revocation that the ledger has taken
	noticed  map[string]uint64 // of a notice that the log has not settled
	trace    []string
}

const worldKeys = 4

func newWorld(t *testing.T, seed uint64) *world {
	trusted := trust{fleet: testFleet, signers: []ed25519.PublicKey{publicOf(signerOf(1))}}
	return &world{T: t, random: rand.New(rand.NewPCG(seed, 1)), ledger: newLedger(trusted),
		revision: make(map[string]uint64), revoked: make(map[string]uint64),
		noticed: make(map[string]uint64)}
}

// entry is a new entry of one of the keys, signed by an administrator.
func (w *world) entry(state State) Entry {
	e := Entry{Kind: KindKey, Domain: "d", PublicKey: keyOf(w.random.IntN(worldKeys)), State: state}
	key := e.Key()
	w.revision[key] += uint64(1 + w.random.IntN(3))
	e.Revision = w.revision[key]
	must.OK(w, e.Sign(testFleet, signerOf(1)))
	w.old = append(w.old, e)
	return e
}

// took notes what the ledger has taken from the log.
func (w *world) took(e Entry) {
	key := e.Key()
	if e.State == Revoked {
		w.revoked[key] = max(w.revoked[key], e.Revision)
	}
	if n := w.noticed[key]; e.Revision > n || e.Revision == n && e.State == Revoked {
		delete(w.noticed, key)
	}
}

// step does one of the things that happen to a member.
func (w *world) step() {
	switch n := w.random.IntN(12); {
	case n < 3:
		w.write("grant", w.entry(Granted))
	case n < 5:
		w.write("revoke", w.entry(Revoked))
	case n == 5: // announced, and perhaps not written until later
		e := w.entry(Revoked)
		_, err := w.ledger.announce(e)
		must.OK(w, err)
		w.noticed[e.Key()] = e.Revision
		w.note("notice", e)
		if w.random.IntN(2) == 0 {
			w.write("confirm", e)
		}
	case n == 6:
		w.forge()
	case n == 7 && len(w.old) > 0: // somebody who has the store plays an old entry back
		e := w.old[w.random.IntN(len(w.old))]
		_, err := w.ledger.apply(e)
		w.note("play back", e)
		w.log = append(w.log, e)
		if err == nil {
			w.took(e)
		}
	case n == 8:
		w.restart()
	case n == 9:
		w.reset(w.log)
	case n == 10: // a backup that lacks the last entries
		w.log = w.log[:w.random.IntN(len(w.log)+1)]
		w.reset(w.log)
	case n == 11 && len(w.old) > 0:
		_, err := w.ledger.announce(w.old[w.random.IntN(len(w.old))]) // a grant is no notice
		if err != nil && !strings.Contains(err.Error(), errNotice.Error()) {
			w.Errorf("announced again: %v", err)
		}
		for key, e := range w.ledger.notices {
			w.noticed[key] = e.Revision
		}
	}
}

func (w *world) note(what string, e Entry) { w.trace = append(w.trace, what+" "+e.String()) }

func (w *world) write(what string, e Entry) {
	w.note(what, e)
	w.log = append(w.log, e)
	if _, err := w.ledger.apply(e); err == nil {
		w.took(e)
	} else {
		w.Errorf("%s: %v", what, err)
	}
}

// forge has the ledger see what no administrator has signed.
func (w *world) forge() {
	e := Entry{Kind: KindKey, Domain: "d", PublicKey: keyOf(w.random.IntN(worldKeys)),
		State: Granted, Revision: w.revision[keyEntry(0).Key()] + 100}
	for _, by := range []byte{0, 2} {
		if by > 0 {
			must.OK(w, e.Sign(testFleet, signerOf(by)))
		}
		if changes, err := w.ledger.apply(e); err == nil || changes != nil {
			w.Errorf("a forged entry counts: %v", changes)
		}
		e.State = Revoked
		if changes, err := w.ledger.announce(e); changes != nil {
			w.Errorf("a forged notice counts: %v, %v", changes, err)
		}
	}
}

// logOf is a log of these entries.
func logOf(entries ...Entry) *Log {
	log := new(Log)
	log.Add(entries...)
	return log
}

func (w *world) reset(entries []Entry) {
	w.trace = append(w.trace, fmt.Sprint("reset to ", len(entries)))
	log := logOf(entries...)
	w.ledger.reset(log, w.ledger.verify(log))
	for _, e := range entries {
		w.took(e)
	}
}

func (w *world) restart() {
	w.trace = append(w.trace, "restart")
	text, err := w.ledger.encode(Position{Epoch: "e", Revision: 1}, testTime)
	must.OK(w, err)
	restored := newLedger(w.ledger.trust)
	_, _, err = restored.decode(text)
	must.OK(w, err)
	for key, r := range w.ledger.records {
		if got := restored.records[key]; got.revision != r.revision || got.state != r.state ||
			got.value != r.value || restored.standing(key) != w.ledger.standing(key) {
			w.Errorf("%s is another one after a restart", key)
		}
	}
	w.ledger = restored
}

// check holds the invariant: who is in has a grant that an administrator has signed, that is newer
// than each revocation that was confirmed, and whose revocation is not announced.
func (w *world) check() {
	for n := range worldKeys {
		key := keyEntry(n).Key()
		if w.ledger.standing(key) != in {
			continue
		}
		e, err := parse(key, w.ledger.records[key].value)
		must.OK(w, err)
		must.OK(w, w.ledger.trust.verify(e))
		_, announced := w.noticed[key]
		if e.State != Granted || e.Revision <= w.revoked[key] || announced {
			w.Fatalf("%v is in, revoked at %d, announced: %t\n%s", e, w.revoked[key], announced,
				strings.Join(w.trace, "\n"))
		}
	}
}

// keyEntry is an entry of which only the key is known.
func keyEntry(n int) Entry { return Entry{Kind: KindKey, Domain: "d", PublicKey: keyOf(n)} }

// TestLedgerInvariant: in no schedule of changes, notices, forgeries, playbacks, restored backups
// and restarts does anybody come back who was revoked.
func TestLedgerInvariant(t *testing.T) {
	for seed := range uint64(60) {
		w := newWorld(t, seed)
		for range 60 {
			w.step()
			w.check()
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// TestLedgerFollows: where nothing is lost, the last entry of each key holds, with any mixture of
// resets, repetitions and restarts.
func TestLedgerFollows(t *testing.T) {
	for seed := range uint64(20) {
		w := newWorld(t, seed)
		for range 40 {
			switch w.random.IntN(6) {
			case 0, 1:
				w.write("grant", w.entry(Granted))
			case 2, 3:
				w.write("revoke", w.entry(Revoked))
			case 4:
				w.reset(w.log)
			case 5:
				w.restart()
			}
			log := logOf(w.log...)
			h := historyOf(log.items)
			for i := range log.items {
				if !h.isLast[i] {
					continue
				}
				if got := w.ledger.standing(log.items[i].key) == in; got != (w.log[i].State == Granted) {
					t.Fatalf("seed %d: %v, but in: %t", seed, w.log[i], got)
				}
			}
		}
	}
}

// TestLedgerReset: what a replaced log means for each kind of entry that it lacks.
func TestLedgerReset(t *testing.T) {
	signed := func(e Entry) Entry {
		must.OK(t, e.Sign(testFleet, signerOf(1)))
		return e
	}
	granted, revoked := keyEntry(1), keyEntry(2)
	granted.State, granted.Revision = Granted, 5
	revoked.State, revoked.Revision = Revoked, 5
	list := Entry{Kind: KindAddresses, Domain: "d", State: Granted, List: Deny,
		Addresses: []string{"192.0.2.1"}, Revision: 5}
	l := newWorld(t, 0).ledger
	all := logOf(signed(granted), signed(revoked), signed(list))
	changes, refused := l.reset(all, l.verify(all))
	if len(changes) != 3 || refused != nil {
		t.Fatalf("%v, %v", changes, refused)
	}
	if changes, refused = l.reset(all, l.verify(all)); len(changes) > 0 || refused != nil {
		t.Errorf("the same again: %v, %v", changes, refused)
	}
	changes, _ = l.reset(new(Log), verified{})
	if len(changes) != 1 || changes[0].key != granted.Key() || changes[0].now != out {
		t.Errorf("an empty log: %v", changes)
	}
	older := signed(Entry{Kind: KindKey, Domain: "d", PublicKey: keyOf(1), State: Granted,
		UserID: "root", Revision: 4})
	if _, err := l.apply(older); err == nil {
		t.Error("an older grant counts")
	}
	broken, _ := ParseEntry("c.d", nil)
	again := logOf(signed(granted))
	changes, refused = l.reset(again, l.verify(again))
	if len(changes) != 1 || changes[0].now != in || refused != nil {
		t.Errorf("the grant again: %v, %v", changes, refused)
	}
	again = logOf(older, broken, Entry{Kind: KindKey})
	changes, refused = l.reset(again, l.verify(again))
	if len(changes) != 0 || len(refused) != 3 || l.standing(granted.Key()) != in {
		t.Errorf("what does not count: %v, %v", changes, refused)
	}
}

// TestLedgerLoads: who loads a log from nothing knows what he knows who has followed it, whatever
// was played back or forged. Sums change nothing in that.
func TestLedgerLoads(t *testing.T) {
	for seed := range uint64(40) {
		w := newWorld(t, seed)
		for range 30 {
			e := w.entry([]State{Granted, Revoked}[w.random.IntN(2)])
			switch w.random.IntN(4) {
			case 0:
				e = w.old[w.random.IntN(len(w.old))]
			case 1:
				must.OK(t, e.Sign(testFleet, signerOf(2)))
			}
			w.log = append(w.log, e)
			_, _ = w.ledger.apply(e)
		}
		made, _ := Sums(testFleet, w.log, w.ledger.trust.signers...)
		for i := range made {
			made[i].Revision = 1
			must.OK(t, made[i].Sign(testFleet, signerOf(1)))
		}
		for _, log := range []*Log{logOf(w.log...), logOf(append(made, w.log...)...)} {
			fresh := newLedger(w.ledger.trust)
			fresh.reset(log, fresh.verify(log))
			for key, r := range w.ledger.records {
				if got := fresh.records[key]; got.state != r.state || got.value != r.value {
					t.Fatalf("seed %d: %s is %s@%d, not %s@%d", seed, key, got.state, got.revision,
						r.state, r.revision)
				}
			}
			if len(fresh.records) != len(w.ledger.records) {
				t.Fatalf("seed %d: %d keys, not %d", seed, len(fresh.records), len(w.ledger.records))
			}
		}
	}
}

// TestSums: a sum counts for what was signed, and only if a signer has signed it.
func TestSums(t *testing.T) {
	good := keyEntry(1)
	good.State, good.Revision = Granted, 1
	forged := keyEntry(2)
	forged.State, forged.Revision = Granted, 1
	must.OK(t, good.Sign(testFleet, signerOf(1)))
	must.OK(t, forged.Sign(testFleet, signerOf(2)))
	made, count := Sums(testFleet, []Entry{good, forged, {Kind: KindServer}},
		publicOf(signerOf(1)), publicOf(signerOf(2)))
	if len(made) != 1 || count != 2 || len(made[0].Sums) != 2*len(sum{}) {
		t.Fatalf("%v", made)
	}
	byHand := sumsOf("0", []sum{sumOf(testFleet, publicOf(signerOf(1)), forged.Key(),
		logOf(forged).items[0].text)})
	for name, test := range map[string]struct {
		sums Entry
		by   byte
		want standing
	}{
		"somebody else's sums":                {byHand, 2, out},
		"the signer is not trusted, any more": {made[0], 1, out}, // a seal from before, played back
		"a sum for a signer that is":          {byHand, 1, in},
	} {
		test.sums.Revision = 1
		must.OK(t, test.sums.Sign(testFleet, signerOf(test.by)))
		all := logOf(good, forged, test.sums)
		l := newWorld(t, 0).ledger
		_, refused := l.reset(all, l.verify(all))
		if l.standing(good.Key()) != in || l.standing(forged.Key()) != test.want ||
			(len(refused) == 0) != (test.want == in) {
			t.Errorf("%s: %v, refused %v", name, l.standing(forged.Key()), refused)
		}
	}
	other, _ := Sums(testFleet, []Entry{forged}, publicOf(signerOf(1)))
	if other != nil {
		t.Errorf("what is not signed is vouched for: %v", other)
	}
	replaced, count := Sums(testFleet, []Entry{forged, made[0]}, publicOf(signerOf(1)))
	if count != 0 || len(replaced) != 1 || replaced[0].Name != made[0].Name ||
		!bytes.Equal(replaced[0].Sums, make([]byte, len(sum{}))) {
		t.Errorf("what was vouched for before, and is not any more: %v", replaced)
	}
}
