package fleet_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/fleet"
	"github.com/zmqauth/zmqauth/fleet/internal/memstore"
	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

const fleetName = "test"

var admin = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))

// server is an Authenticator that has joined, or is to join.
type server struct {
	*testing.T
	auth    *zmqauth.Authenticator
	store   *memstore.Store
	options fleet.Options
	member  *fleet.Member
	log     *logbuffer.Buffer
	passed  atomic.Int64 // what its clock is ahead
}

func newServer(t *testing.T, store *memstore.Store) *server {
	s := &server{T: t, store: store, log: new(logbuffer.Buffer)}
	s.options = fleet.Options{Fleet: fleetName, Server: "s1", ReportInterval: 5 * time.Millisecond,
		Signers: []ed25519.PublicKey{admin.Public().(ed25519.PublicKey)}, Domains: []string{"d"},
		Logger: s.log.Logger()}
	s.options.Clock = func() time.Time { return time.Now().Add(time.Duration(s.passed.Load())) }
	s.restart()
	return s
}

// restart is a new Authenticator, as in another process.
func (s *server) restart() {
	s.Helper()
	quiet := slog.New(slog.DiscardHandler)
	auth, err := zmqauth.New(testzmq.NewContext(s), &zmqauth.Config{Logger: quiet})
	must.OK(s, err)
	s.Cleanup(func() { must.OK(s, auth.Close()) })
	s.auth = auth
}

func (s *server) join() {
	s.Helper()
	m, err := fleet.Join(s.Context(), s.auth, s.store, s.options)
	must.OK(s, err)
	s.Cleanup(func() { _ = m.Close() })
	s.member = m
}

// ask is the status of the reply to a request in the domain "d".
func (s *server) ask(mechanism string, credentials ...string) string {
	request := [][]byte{[]byte("1.0"), []byte("1"), []byte("d"), []byte("127.0.0.1"), nil,
		[]byte(mechanism)}
	for _, c := range credentials {
		request = append(request, []byte(c))
	}
	return string(s.auth.HandleZAPMessage(s.Context(), request)[2])
}

func (s *server) askKey(n byte) string {
	key := publicKey(n)
	return s.ask("CURVE", string(key[:]))
}

func (s *server) eventually(n byte, want string) {
	s.Helper()
	testpeer.Eventually(s, "the key is answered "+want, func() bool { return s.askKey(n) == want })
}

func publicKey(n byte) (key zmqauth.PublicKey) {
	key[0], key[1] = n, 1
	return key
}

func keyEntry(n byte, state fleet.State) fleet.Entry {
	return fleet.Entry{Kind: fleet.KindKey, Domain: "d", PublicKey: publicKey(n), State: state}
}

// sign is an entry with a revision, signed.
func sign(t *testing.T, e fleet.Entry, revision uint64) fleet.Entry {
	t.Helper()
	e.Revision = revision
	must.OK(t, e.Sign(fleetName, admin))
	return e
}

// put puts an entry as an administrator does.
func put(t *testing.T, store *memstore.Store, e fleet.Entry, revision uint64) error {
	t.Helper()
	e = sign(t, e, revision)
	last := store.LastOf(e.Key())
	condition := &last
	if e.State == fleet.Revoked {
		condition = nil
	}
	_, err := store.Put(t.Context(), e, condition)
	return err
}

// TestMember: each kind of entry comes into force, changes and goes.
func TestMember(t *testing.T) {
	store := memstore.New()
	hash, err := zmqauth.HashPassword("secret")
	must.OK(t, err)
	user := fleet.Entry{Kind: fleet.KindUser, Domain: "d", Name: "ann", State: fleet.Granted,
		Hash: fleet.Hash(hash)}
	principal := fleet.Entry{Kind: fleet.KindPrincipal, Domain: "d", Name: "*@R",
		State: fleet.Granted}
	must.OK(t, put(t, store, keyEntry(1, fleet.Granted), 1))
	must.OK(t, put(t, store, user, 1))
	s := newServer(t, store)
	s.join()
	for what, got := range map[string][2]string{
		"the key":         {s.askKey(1), "200"},
		"another key":     {s.askKey(2), "400"},
		"the user":        {s.ask("PLAIN", "ann", "secret"), "200"},
		"a principal":     {s.ask("GSSAPI", "ann@R"), "999"}, // refused, see HandleZAPMessage
		"without a proof": {s.ask("NULL"), "200"},
	} {
		if got[0] != got[1] {
			t.Errorf("%s: %s, not %s", what, got[0], got[1])
		}
	}
	must.OK(t, put(t, store, principal, 1))
	testpeer.Eventually(t, "the principal is in", func() bool {
		return s.ask("GSSAPI", "ann@R") == "200"
	})
	user.State, user.Hash, principal.State = fleet.Revoked, "", fleet.Revoked
	must.OK(t, put(t, store, user, 2))
	must.OK(t, put(t, store, principal, 2))
	must.OK(t, put(t, store, keyEntry(1, fleet.Revoked), 2))
	s.eventually(1, "400")
	testpeer.Eventually(t, "all are out", func() bool {
		return s.ask("PLAIN", "ann", "secret") == "400" && s.ask("GSSAPI", "ann@R") == "999"
	})
	must.OK(t, put(t, store, keyEntry(1, fleet.Granted), 3))
	s.eventually(1, "200")

	list := fleet.Entry{Kind: fleet.KindAddresses, Domain: "d", State: fleet.Granted,
		List: fleet.Allow, Addresses: []string{"192.0.2.0/24"}}
	must.OK(t, put(t, store, list, 1))
	s.eventually(1, "400")
	list.Addresses = []string{"127.0.0.1"}
	must.OK(t, put(t, store, list, 2))
	s.eventually(1, "200")

	early := keyEntry(1, fleet.Granted)
	early.NotBefore = time.Now().Add(time.Hour)
	must.OK(t, put(t, store, early, 4))
	s.eventually(1, "400")
	if got := s.member.Status(); got.Keys != 1 || got.Users != 0 || got.Refused != 0 {
		t.Errorf("the status is %+v", got)
	}
	testpeer.Eventually(t, "it reports", func() bool { return store.Reported("s1").Keys == 1 })
}

// TestForged: what does not count leaves what is in force, and is counted and logged.
func TestForged(t *testing.T) {
	store := memstore.New()
	must.OK(t, put(t, store, keyEntry(1, fleet.Granted), 5))
	s := newServer(t, store)
	s.join()
	unsigned := keyEntry(1, fleet.Revoked)
	unsigned.Revision = 9
	other := keyEntry(2, fleet.Granted)
	other.Revision = 1
	must.OK(t, other.Sign(fleetName, ed25519.NewKeyFromSeed([]byte(strings.Repeat("x", 32)))))
	old := sign(t, keyEntry(1, fleet.Granted), 4)
	for _, e := range []fleet.Entry{unsigned, other, old} {
		text, err := e.Encode()
		must.OK(t, err)
		store.PutRaw(e.Key(), text)
	}
	store.PutRaw("u.d.YW5u", []byte(`{"hash":"secret"}`))
	testpeer.Eventually(t, "all are counted", func() bool { return s.member.Status().Refused == 4 })
	if one, two := s.askKey(1), s.askKey(2); one != "200" || two != "400" {
		t.Errorf("the keys are answered %s and %s", one, two)
	}
	text := s.log.String()
	if !strings.Contains(text, "is refused") || strings.Contains(text, "secret") {
		t.Errorf("the log: %s", text)
	}
}

// TestNotice: an announced revocation works without a quorum, as a refusal for a while.
func TestNotice(t *testing.T) {
	store := memstore.New()
	must.OK(t, put(t, store, keyEntry(1, fleet.Granted), 1))
	must.OK(t, put(t, store, keyEntry(2, fleet.Granted), 1))
	s := newServer(t, store)
	s.join()
	store.SetDown(true)
	for n := range byte(2) {
		if err := put(t, store, keyEntry(n+1, fleet.Revoked), 2); !errors.Is(err, memstore.ErrDown) {
			t.Fatal(err)
		}
	}
	s.eventually(1, "300")
	s.eventually(2, "300")
	store.SetDown(false)
	must.OK(t, put(t, store, keyEntry(1, fleet.Revoked), 2)) // confirmed
	must.OK(t, put(t, store, keyEntry(2, fleet.Granted), 3)) // withdrawn
	s.eventually(1, "400")
	s.eventually(2, "200")
	if got := s.member.Status().Notices; got != 0 {
		t.Errorf("%d notices are left", got)
	}
}

// TestStale: without proofs nobody new gets in, in the end. The log says so before.
func TestStale(t *testing.T) {
	store := memstore.New()
	must.OK(t, put(t, store, keyEntry(1, fleet.Granted), 1))
	s := newServer(t, store)
	s.join()
	store.SetDown(true)
	testpeer.Eventually(t, "it cannot report", func() bool { return s.member.Status().Trouble != "" })
	step := func(passed time.Duration, status, logged string) {
		t.Helper()
		s.passed.Store(int64(passed))
		s.member.Judge()
		if got := s.askKey(1); got != status || !strings.Contains(s.log.String(), logged) {
			t.Errorf("after %v: %s\n%s", passed, got, s.log)
		}
	}
	step(29*time.Minute, "200", "")
	if strings.Contains(s.log.String(), "news are old") {
		t.Error("the log complains too early")
	}
	step(31*time.Minute, "200", "half of the time")
	step(55*time.Minute, "200", "soon nobody new gets in")
	step(61*time.Minute, "300", "nobody new gets in")
	if !s.member.Status().Suspended || s.ask("NULL") != "300" {
		t.Error("the domain is open")
	}
	s.passed.Store(0) // the store's clock has not moved
	store.SetDown(false)
	s.eventually(1, "200")
	if s.member.Status().Trouble != "" || !strings.Contains(s.log.String(), "news are fresh") {
		t.Errorf("the end is not told: %s", s.log)
	}
	must.OK(t, s.member.Close())
	must.OK(t, s.member.Wait())
	if got := s.askKey(1); got != "300" {
		t.Errorf("after Close: %s", got)
	}
}

// TestReconnect: what was missed comes once connections are back; a replaced log and one that was
// set back are loaded as a whole, and bring back nobody.
func TestReconnect(t *testing.T) {
	store := memstore.New()
	must.OK(t, put(t, store, keyEntry(1, fleet.Granted), 1))
	must.OK(t, put(t, store, keyEntry(2, fleet.Granted), 1))
	before := store.Last()
	s := newServer(t, store)
	s.join()
	store.Break()
	must.OK(t, put(t, store, keyEntry(1, fleet.Revoked), 2))
	s.eventually(1, "400")
	store.SetBack(before)
	must.OK(t, put(t, store, keyEntry(3, fleet.Granted), 1))
	s.eventually(3, "200")
	if one, two := s.askKey(1), s.askKey(2); one != "400" || two != "200" {
		t.Errorf("set back: the keys are answered %s and %s", one, two)
	}
	store.Replace()
	must.OK(t, put(t, store, keyEntry(4, fleet.Granted), 1))
	must.OK(t, put(t, store, keyEntry(1, fleet.Granted), 1))
	s.eventually(4, "200")
	s.eventually(2, "400")
	if got := s.askKey(1); got != "400" {
		t.Errorf("replaced: the revoked key is answered %s", got)
	}
}

// TestSnapshot: a server starts from its snapshot, loads what is new only, and has forgotten no
// revocation. Without the store it lets in whom it knows, while that is not too old.
func TestSnapshot(t *testing.T) {
	store := memstore.New()
	must.OK(t, put(t, store, keyEntry(1, fleet.Granted), 1))
	must.OK(t, put(t, store, keyEntry(2, fleet.Granted), 1))
	must.OK(t, put(t, store, keyEntry(2, fleet.Revoked), 2))
	s := newServer(t, store)
	s.options.Snapshot = t.TempDir() + "/fleet"
	s.join()
	must.OK(t, s.member.Close())
	info, err := os.Stat(s.options.Snapshot)
	must.OK(t, err)
	if info.Mode() != 0o600 {
		t.Errorf("the mode is %v", info.Mode())
	}

	must.OK(t, put(t, store, keyEntry(3, fleet.Granted), 1))
	s.restart()
	s.join()
	s.eventually(3, "200")
	if all := store.Follows(); all[len(all)-1].Revision == 0 {
		t.Errorf("it has loaded everything: %v", all)
	}
	if one, two := s.askKey(1), s.askKey(2); one != "200" || two != "400" {
		t.Errorf("the keys are answered %s and %s", one, two)
	}
	must.OK(t, s.member.Close())

	store.Replace() // without the revocation
	must.OK(t, put(t, store, keyEntry(2, fleet.Granted), 1))
	s.restart()
	s.join()
	s.eventually(1, "400")
	if got := s.askKey(2); got != "400" {
		t.Errorf("the revoked key is answered %s", got)
	}
	must.OK(t, s.member.Close())

	store.SetDown(true)
	s.restart()
	s.passed.Store(int64(2 * time.Hour))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := fleet.Join(ctx, s.auth, store, s.options); !errors.Is(err, context.Canceled) {
		t.Errorf("Join: %v", err)
	}
	must.OK(t, os.Chmod(s.options.Snapshot, 0o644))
	s.restart()
	_, err = fleet.Join(t.Context(), s.auth, store, s.options)
	if err == nil || !strings.Contains(err.Error(), s.options.Snapshot) {
		t.Errorf("a snapshot that others can read: %v", err)
	}
}

// TestJoinWithSnapshotAlone: a server that never hears of its store lets in whom its snapshot has.
func TestJoinWithSnapshotAlone(t *testing.T) {
	store := memstore.New()
	must.OK(t, put(t, store, keyEntry(1, fleet.Granted), 1))
	s := newServer(t, store)
	s.options.Snapshot = t.TempDir() + "/fleet"
	s.join()
	must.OK(t, s.member.Close())
	store.SetDown(true)
	s.restart()
	joined := make(chan error, 1)
	go func() {
		m, err := fleet.Join(t.Context(), s.auth, store, s.options)
		s.member = m
		joined <- err
	}()
	testpeer.Eventually(t, "it waits for the store", func() bool { return s.askKey(1) == "300" })
	s.passed.Store(int64(time.Minute))
	must.OK(t, <-joined)
	t.Cleanup(func() { _ = s.member.Close() })
	if got := s.askKey(1); got != "200" {
		t.Errorf("the key is answered %s", got)
	}
}

// TestSnapshotDamaged: a snapshot that is damaged counts for nothing.
func TestSnapshotDamaged(t *testing.T) {
	store := memstore.New()
	must.OK(t, put(t, store, keyEntry(1, fleet.Granted), 1))
	s := newServer(t, store)
	s.options.Snapshot = t.TempDir() + "/fleet"
	s.join()
	must.OK(t, s.member.Close())
	text, err := os.ReadFile(s.options.Snapshot)
	must.OK(t, err)
	damaged := strings.Replace(string(text), "granted", "revoked", 1)
	must.OK(t, os.WriteFile(s.options.Snapshot, []byte(damaged), 0o600))
	s.restart()
	s.join()
	all := store.Follows()
	if got := s.askKey(1); got != "200" || all[len(all)-1] != (fleet.Position{}) {
		t.Errorf("the key is answered %s, followed from %v", got, all)
	}
	if !strings.Contains(s.log.String(), "the snapshot is not used") {
		t.Errorf("the log: %s", s.log)
	}
}

// TestKilled: a server that is killed has forgotten no revocation that it has heard of, even if the
// store is away when it starts again. A line that was not written to its end counts for nothing.
func TestKilled(t *testing.T) {
	store := memstore.New()
	for n := range byte(4) {
		must.OK(t, put(t, store, keyEntry(n+1, fleet.Granted), 1))
	}
	s := newServer(t, store)
	s.options.Snapshot = t.TempDir() + "/fleet"
	s.join()
	must.OK(t, put(t, store, keyEntry(1, fleet.Revoked), 2))
	s.eventually(1, "400")
	store.SetDown(true)
	if err := put(t, store, keyEntry(2, fleet.Revoked), 2); !errors.Is(err, memstore.ErrDown) {
		t.Fatal(err)
	}
	s.eventually(2, "300")
	killed, err := os.ReadFile(s.options.Snapshot) // as the end of the process leaves it
	must.OK(t, err)
	must.OK(t, s.member.Close())
	for torn, text := range map[string][]byte{"": killed, "torn": append(killed, killed[:9]...)} {
		must.OK(t, os.WriteFile(s.options.Snapshot, text, 0o600))
		s.restart()
		s.passed.Store(0)
		joined := make(chan error, 1)
		go func() {
			m, err := fleet.Join(t.Context(), s.auth, store, s.options)
			s.member = m
			joined <- err
		}()
		testpeer.Eventually(t, "it waits for the store", func() bool { return s.askKey(4) == "300" })
		s.passed.Store(int64(time.Minute))
		must.OK(t, <-joined)
		for n, want := range []string{"400", "300", "200"} {
			if got := s.askKey(byte(n + 1)); got != want {
				t.Errorf("%s: key %d is answered %s, not %s", torn, n+1, got, want)
			}
		}
		must.OK(t, s.member.Close())
	}
	store.SetDown(false)
	s.passed.Store(0)
	must.OK(t, put(t, store, keyEntry(2, fleet.Granted), 3)) // withdrawn
	s.restart()
	s.join()
	s.eventually(2, "200")
	if got := s.member.Status(); got.Refused != 0 || s.askKey(1) != "400" {
		t.Errorf("%+v", got)
	}
	all := store.Follows()
	if all[len(all)-1].Revision == 0 {
		t.Error("it has loaded everything")
	}
}

// TestApplyOrder: what comes late, twice or of another log changes nothing.
func TestApplyOrder(t *testing.T) {
	s := newServer(t, memstore.New())
	s.join()
	sink := s.member.Sink()
	sink.Reset(nil, fleet.Position{Epoch: "x", Revision: 10})
	grant := sign(t, keyEntry(1, fleet.Granted), 1)
	for _, p := range []fleet.Position{{Epoch: "x", Revision: 10}, {Epoch: "x", Revision: 3},
		{Epoch: "y", Revision: 11}} {
		sink.Apply(grant, p)
		if got := s.askKey(1); got != "400" {
			t.Errorf("%v: %s", p, got)
		}
	}
	sink.Apply(grant, fleet.Position{Epoch: "x", Revision: 11})
	if got := s.askKey(1); got != "200" {
		t.Errorf("in order: %s", got)
	}
}

// TestJoinRefuses: incomplete options are errors, and change nothing.
func TestJoinRefuses(t *testing.T) {
	s := newServer(t, memstore.New())
	for want, change := range map[string]func(o *fleet.Options){
		"Fleet":          func(o *fleet.Options) { o.Fleet = "" },
		"Server":         func(o *fleet.Options) { o.Server = "a b" },
		"no Signers":     func(o *fleet.Options) { o.Signers = nil },
		"both":           func(o *fleet.Options) { o.InsecureUnsigned = true },
		"signer 0":       func(o *fleet.Options) { o.Signers = []ed25519.PublicKey{nil} },
		"domain":         func(o *fleet.Options) { o.Domains = []string{""} },
		"negative":       func(o *fleet.Options) { o.MaxStale = -2 },
		"ReportInterval": func(o *fleet.Options) { o.MaxStale = time.Millisecond },
	} {
		o := s.options
		change(&o)
		_, err := fleet.Join(t.Context(), s.auth, s.store, o)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	if got := s.askKey(1); got != "400" {
		t.Errorf("a key is answered %s", got)
	}
}
