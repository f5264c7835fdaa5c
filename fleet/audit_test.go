package fleet_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/fleet"
	"github.com/zmqauth/zmqauth/fleet/internal/memstore"
	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// auditStore is an AuditStore in memory, which can be away.
type auditStore struct {
	mu     sync.Mutex
	down   bool
	tried  int
	events []fleet.Event
}

func (s *auditStore) Record(_ context.Context, server string, events []fleet.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tried++; s.down {
		return memstore.ErrDown
	}
	s.events = append(s.events, events...)
	return fleet.CheckEvents(server, events)
}

func (s *auditStore) Events(_ context.Context, _ time.Time, yield func(fleet.Event) bool) error {
	for _, e := range s.all() {
		if !yield(e) {
			break
		}
	}
	return nil
}

func (s *auditStore) all() []fleet.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.events)
}

func (s *auditStore) setDown(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

func newAuditor(t *testing.T, s *auditStore, o fleet.AuditOptions) *fleet.Auditor {
	t.Helper()
	o.Server, o.Logger = "s1", new(logbuffer.Buffer).Logger()
	a, err := fleet.NewAuditor(s, o)
	must.OK(t, err)
	t.Cleanup(func() { _ = a.Close() })
	return a
}

// TestAudit: what matters is recorded, what strangers repeat as one event, and without what they
// must not write.
func TestAudit(t *testing.T) {
	s := new(auditStore)
	a := newAuditor(t, s, fleet.AuditOptions{})
	refused := zmqauth.Decision{Domain: "d\x1b[2J", Mechanism: "PLAIN", Status: 400,
		Reason: zmqauth.ReasonUnknownUser, Address: strings.Repeat("9", 999)}
	for range 50 {
		a.Decision(refused)
	}
	a.Decision(zmqauth.Decision{Status: 200})
	a.Session(zmqauth.Session{UserID: "bob"}, true)
	a.Session(zmqauth.Session{UserID: "bob"}, false) // it went by itself
	a.Session(zmqauth.Session{UserID: "ann", Expires: time.Now().Add(-time.Second),
		Client: netip.MustParseAddrPort("192.0.2.1:7")}, false)
	testpeer.Eventually(t, "all are recorded", func() bool { return len(s.all()) >= 2 })
	must.OK(t, a.Close())
	must.OK(t, a.Close())
	all := s.all()
	slices.SortFunc(all, func(a, b fleet.Event) int { return strings.Compare(a.UserID, b.UserID) })
	count := 0
	for _, e := range all[:len(all)-1] {
		count += max(e.Count, 1)
		if e.Kind != fleet.EventRefused || e.Domain != "d?[2J" || len(e.Address) != 255 {
			t.Errorf("the refusal is %+v", e)
		}
	}
	last := all[len(all)-1]
	if count != 50 || last.Kind != fleet.EventCut || last.Reason != "expired" ||
		last.Address != "192.0.2.1:7" || last.Server != "s1" || !last.IsAbout("ann") ||
		last.IsAbout("bob") {
		t.Errorf("%d refusals, the cut is %+v", count, last)
	}
}

// TestAuditSpool: what could not be recorded survives the process, in a file for its owner, up to a
// limit. Refusals leave room for what matters more, and what is lost is counted.
func TestAuditSpool(t *testing.T) {
	s := &auditStore{down: true}
	o := fleet.AuditOptions{Spool: t.TempDir() + "/spool", MaxSpool: 4000}
	a := newAuditor(t, s, o)
	for n := range 200 {
		a.Add(fleet.Event{Kind: fleet.EventRefused, UserID: fmt.Sprint(n)})
	}
	testpeer.Eventually(t, "refusals are lost", func() bool {
		_, lost := a.Waiting()
		return lost > 0
	})
	a.Add(fleet.Event{Kind: fleet.EventCut, UserID: "ann"})
	must.OK(t, a.Close())
	info, err := os.Stat(o.Spool)
	must.OK(t, err)
	if info.Mode() != 0o600 || info.Size() > 8000 {
		t.Errorf("the spool has mode %v and %d bytes", info.Mode(), info.Size())
	}
	if len(s.all()) != 0 {
		t.Fatal("the store was not away")
	}
	text, err := os.ReadFile(o.Spool)
	must.OK(t, err)
	must.OK(t, os.WriteFile(o.Spool, append(text, `{"kind":"cu`...), 0o600)) // a torn line
	s.setDown(false)
	a = newAuditor(t, s, o)
	isThere := func(kind fleet.EventKind) bool {
		return slices.ContainsFunc(s.all(), func(e fleet.Event) bool { return e.Kind == kind })
	}
	testpeer.Eventually(t, "they are recorded", func() bool {
		return isThere(fleet.EventCut) && isThere(fleet.EventLost) && isThere(fleet.EventRefused)
	})
	must.OK(t, a.Close())
	info, err = os.Stat(o.Spool)
	must.OK(t, err)
	if info.Size() != 0 {
		t.Errorf("the spool has %d bytes still", info.Size())
	}
	must.OK(t, os.Chmod(o.Spool, 0o644))
	if _, err := fleet.NewAuditor(s, fleet.AuditOptions{Server: "s1", Spool: o.Spool}); err == nil {
		t.Error("others can read the spool")
	}
	for _, o := range []fleet.AuditOptions{{}, {Server: "s1", MaxSpool: -1}} {
		if _, err := fleet.NewAuditor(s, o); err == nil {
			t.Errorf("%+v: no error", o)
		}
	}
}

// TestAuditCut: the end of the session of a key that was revoked is a cut.
func TestAuditCut(t *testing.T) {
	store, s := memstore.New(), new(auditStore)
	must.OK(t, put(t, store, keyEntry(1, fleet.Granted), 1))
	server := newServer(t, store)
	server.options.Audit = newAuditor(t, s, fleet.AuditOptions{})
	server.join()
	session := zmqauth.Session{Domain: "d", Mechanism: "CURVE", Key: publicKey(1)}
	server.options.Audit.Session(session, false) // it went by itself
	must.OK(t, put(t, store, keyEntry(1, fleet.Revoked), 2))
	server.eventually(1, "400")
	server.options.Audit.Session(session, false)
	testpeer.Eventually(t, "the cut is recorded", func() bool { return len(s.all()) == 1 })
	if e := s.all()[0]; e.Kind != fleet.EventCut || e.Reason != "revoked" ||
		e.Key != publicKey(1).String() {
		t.Errorf("%+v", e)
	}
}

// TestPendingList: strangers fill neither the list nor each other's part of it.
func TestPendingList(t *testing.T) {
	now := time.Now()
	l := fleet.NewPendingList(fleet.PendingLimits{Max: 5, PerAddress: 2, Expire: time.Minute})
	add := func(n byte, address string, wantNew, want bool) {
		t.Helper()
		isNew, ok := l.Add("d", publicKey(n), address, now)
		if isNew != wantNew || ok != want {
			t.Errorf("key %d from %s: new %t, %t", n, address, isNew, ok)
		}
	}
	add(1, "192.0.2.1", true, true)
	add(1, "192.0.2.1", false, true)
	add(2, "192.0.2.1", true, true)
	add(3, "::ffff:192.0.2.1", true, false)
	add(4, "2001:db8::1", true, true)
	add(5, "2001:db8::2", true, true)
	add(6, "2001:db8::3", true, false) // the same /64
	add(7, "localhost:1:2:3", true, true)
	add(8, "192.0.2.9", true, false) // the list is full
	list := l.List(now)
	if len(list) != 5 || list[0].Attempts+list[1].Attempts+list[2].Attempts+list[3].Attempts+
		list[4].Attempts != 6 {
		t.Errorf("the list is %v", list)
	}
	l.Remove("d", publicKey(7))
	add(8, "192.0.2.9", true, true)
	if got := l.List(now.Add(time.Hour)); len(got) != 0 {
		t.Errorf("after an hour: %v", got)
	}
	if f := list[0].Fingerprint(); !strings.HasPrefix(f, "SHA256:") || len(f) != 50 {
		t.Errorf("the fingerprint is %s", f)
	}
}

// pendingStore is a store that takes pending keys, too.
type pendingStore struct {
	*memstore.Store
	reported chan []fleet.Pending
}

func (s pendingStore) ReportPending(_ context.Context, server string, l []fleet.Pending) error {
	s.reported <- l
	return fleet.CheckPending(server, l)
}

func (s pendingStore) Pending(context.Context) ([]fleet.Pending, error) { return nil, nil }

// TestPending: a server reports the keys of strangers when they change; to approve one is to put a
// grant.
func TestPending(t *testing.T) {
	store := pendingStore{memstore.New(), make(chan []fleet.Pending, 10)}
	s := newServer(t, store.Store)
	l := fleet.NewPendingList(fleet.PendingLimits{})
	s.options.Pending = func() []fleet.Pending { return l.List(time.Now()) }
	m, err := fleet.Join(t.Context(), s.auth, store, s.options)
	must.OK(t, err)
	t.Cleanup(func() { _ = m.Close() })
	l.Add("d", publicKey(1), "192.0.2.1", time.Now())
	list := <-store.reported
	if len(list) != 1 || list[0].Key != publicKey(1) {
		t.Fatalf("it reports %v", list)
	}
	must.OK(t, put(t, store.Store, list[0].Grant("ann", nil), 1))
	s.eventually(1, "200")
	l.Remove("d", publicKey(1))
	if list = <-store.reported; len(list) != 0 {
		t.Errorf("it reports %v", list)
	}
	for name, list := range map[string][]fleet.Pending{"no key": {{Domain: "d"}},
		"no domain": {{Key: publicKey(1)}}, "too many": make([]fleet.Pending, fleet.MaxPending+1),
		"a control character": {{Domain: "d", Key: publicKey(1), Address: "\x1b"}}} {
		if fleet.CheckPending("s1", list) == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestHealth: health says long before that nobody new will get in.
func TestHealth(t *testing.T) {
	store := memstore.New()
	s := newServer(t, store)
	s.join()
	must.OK(t, s.member.Health())
	store.SetDown(true)
	testpeer.Eventually(t, "it cannot report", func() bool { return s.member.Status().Trouble != "" })
	for passed, want := range map[time.Duration]string{29 * time.Minute: "",
		31 * time.Minute: "at 1h0m0s nobody new gets in", 61 * time.Minute: "old, nobody new"} {
		s.passed.Store(int64(passed))
		err := s.member.Health()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("after %v: %v", passed, err)
		}
		if age, ok := s.member.Age(); !ok || age < passed || age > passed+time.Minute {
			t.Errorf("after %v the age is %v, %t", passed, age, ok)
		}
	}
	must.OK(t, s.member.Close())
	if err := s.member.Health(); err == nil {
		t.Error("after Close: no error")
	}
}
