package natsstore_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/fleet"
	"github.com/zmqauth/zmqauth/fleet/natsstore"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

var admin = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))

// engine is a nats-server in this process.
type engine struct {
	*testing.T
	dir    string
	port   int
	server *server.Server
}

func newEngine(t *testing.T) *engine {
	e := &engine{T: t, dir: t.TempDir(), port: server.RANDOM_PORT}
	e.start()
	t.Cleanup(e.stop)
	return e
}

func (e *engine) start() {
	e.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: e.port, JetStream: true,
		StoreDir: e.dir, NoLog: true, NoSigs: true})
	must.OK(e, err)
	s.Start()
	if !s.ReadyForConnections(30 * time.Second) {
		e.Fatal("the engine does not serve")
	}
	e.server = s
	_, err = fmt.Sscanf(s.ClientURL(), "nats://127.0.0.1:%d", &e.port)
	must.OK(e, err)
}

func (e *engine) stop() {
	e.server.Shutdown()
	e.server.WaitForShutdown()
}

func (e *engine) store() (*natsstore.Store, *nats.Conn) {
	e.Helper()
	conn, err := nats.Connect(fmt.Sprintf("nats://127.0.0.1:%d", e.port), nats.MaxReconnects(-1),
		nats.ReconnectWait(10*time.Millisecond), nats.ReconnectJitter(0, 0))
	must.OK(e, err)
	e.Cleanup(conn.Close)
	s, err := natsstore.New(conn, &natsstore.Config{Jitter: -1})
	must.OK(e, err)
	return s, conn
}

// recorder is a Sink that knows what it was told.
type recorder struct {
	mu      sync.Mutex
	resets  int
	entries map[string]fleet.Entry
	at      fleet.Position
	fresh   time.Time
	notices []fleet.Entry
	faults  []string
}

func (r *recorder) Reset(entries []fleet.Entry, p fleet.Position) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.resets++
	r.entries, r.at = make(map[string]fleet.Entry), p
	for _, e := range entries {
		r.entries[e.Key()] = e
	}
}

func (r *recorder) Apply(e fleet.Entry, p fleet.Position) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.Epoch != r.at.Epoch || p.Revision <= r.at.Revision {
		r.faults = append(r.faults, fmt.Sprint(p, " after ", r.at))
	}
	r.at, r.entries[e.Key()] = p, e
}

func (r *recorder) Fresh(at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fresh = at
}

func (r *recorder) Notice(e fleet.Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notices = append(r.notices, e)
}

// eventually waits until what was told is like that.
func (r *recorder) eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	testpeer.Eventually(t, what, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return is()
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.faults != nil {
		t.Errorf("out of order: %v", r.faults)
	}
}

// follow follows until the test ends.
func follow(t *testing.T, s *natsstore.Store, from fleet.Position) *recorder {
	r := &recorder{entries: make(map[string]fleet.Entry), at: from}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for t.Context().Err() == nil {
			_ = s.Follow(t.Context(), r.position(), r)
		}
	}()
	t.Cleanup(func() { <-done })
	return r
}

func (r *recorder) position() fleet.Position {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.at
}

func entry(t testing.TB, n int, state fleet.State, revision uint64) fleet.Entry {
	t.Helper()
	var key zmqauth.PublicKey
	key[0], key[1], key[2] = byte(n), byte(n>>8), 1
	e := fleet.Entry{Kind: fleet.KindKey, Domain: "d", PublicKey: key, State: state,
		Revision: revision}
	must.OK(t, e.Sign("test", admin))
	return e
}

func grant(t testing.TB, s *natsstore.Store, n int) fleet.Position {
	t.Helper()
	e := entry(t, n, fleet.Granted, 1)
	var none uint64
	p, err := s.Put(context.Background(), e, &none)
	must.OK(t, err)
	return p
}

// TestPut: grants compare and set, revocations are unconditional.
func TestPut(t *testing.T) {
	s, _ := newEngine(t).store()
	must.OK(t, s.Create(t.Context(), 1))
	must.OK(t, s.Create(t.Context(), 1))
	p := grant(t, s, 1)
	if p.Epoch == "" || p.Revision != 1 {
		t.Errorf("written at %v", p)
	}
	var none uint64
	if _, err := s.Put(t.Context(), entry(t, 1, fleet.Granted, 2), &none); !errors.Is(err,
		fleet.ErrConflict) {
		t.Errorf("a second grant: %v", err)
	}
	if _, err := s.Put(t.Context(), entry(t, 1, fleet.Granted, 2), nil); err == nil {
		t.Error("a grant without a condition")
	}
	if _, err := s.Put(t.Context(), entry(t, 1, fleet.Revoked, 2), &none); err == nil {
		t.Error("a revocation with a condition")
	}
	_, err := s.Put(t.Context(), entry(t, 1, fleet.Revoked, 2), nil)
	must.OK(t, err)
	e, revision, err := s.Get(t.Context(), entry(t, 1, fleet.Revoked, 2).Key())
	must.OK(t, err)
	if e.State != fleet.Revoked || revision != 2 {
		t.Errorf("%v at %d", e, revision)
	}
	_, err = s.Put(t.Context(), entry(t, 1, fleet.Granted, 3), &revision)
	must.OK(t, err)
	if _, revision, err = s.Get(t.Context(), "meta"); err != nil || revision != 0 {
		t.Errorf("what is not there: %d, %v", revision, err)
	}
}

// TestFollow: what was there is loaded, changes and notices come, a report proves freshness.
func TestFollow(t *testing.T) {
	engine := newEngine(t)
	s, conn := engine.store()
	must.OK(t, s.Create(t.Context(), 1))
	const before = 2500 // more than a batch
	for n := range before {
		e := entry(t, n, fleet.Granted, 1)
		text, err := e.Encode()
		must.OK(t, err)
		must.OK(t, conn.Publish("$KV.zmqauth."+e.Key(), text))
	}
	must.OK(t, conn.Flush())
	reader, _ := engine.store()
	r := follow(t, reader, fleet.Position{})
	r.eventually(t, "all are loaded", func() bool { return len(r.entries) == before })
	revoked := entry(t, 7, fleet.Revoked, 2)
	_, err := s.Put(t.Context(), revoked, nil)
	must.OK(t, err)
	r.eventually(t, "the revocation has come, and its notice", func() bool {
		return r.entries[revoked.Key()].State == fleet.Revoked && len(r.notices) == 1
	})
	begun := time.Now()
	must.OK(t, reader.Report(t.Context(), "s1", fleet.Status{Keys: 3}))
	r.eventually(t, "it is fresh", func() bool { return !r.fresh.Before(begun) })
	if e := r.entries["server.s1"]; r.resets != 1 || e.Report == nil || e.Report.Keys != 3 {
		t.Errorf("%d resets, the report is %+v", r.resets, e.Report)
	}
}

// TestGap: what was not republished is read, from a position on, without loading everything.
func TestGap(t *testing.T) {
	engine := newEngine(t)
	s, conn := engine.store()
	must.OK(t, s.Create(t.Context(), 1))
	from := grant(t, s, 1)
	missed := grant(t, s, 2)
	reader, _ := engine.store()
	r := follow(t, reader, from)
	r.eventually(t, "what came meanwhile is there", func() bool { return r.at.Includes(missed) })
	// A republished change from the future has the follower read what lies between.
	forged := nats.NewMsg("zmqauth.changes.meta")
	forged.Header.Set("Nats-Sequence", "1000")
	forged.Header.Set("Nats-Subject", "$KV.zmqauth.meta")
	must.OK(t, conn.PublishMsg(forged))
	last := grant(t, s, 3)
	r.eventually(t, "the next has come", func() bool { return r.at.Includes(last) })
	if len(r.entries) != 2 || r.resets != 0 {
		t.Errorf("%d entries, %d resets", len(r.entries), r.resets)
	}
}

// TestRestart: after a restart of the engine what was written comes, and nothing is loaded again.
func TestRestart(t *testing.T) {
	engine := newEngine(t)
	s, _ := engine.store()
	must.OK(t, s.Create(t.Context(), 1))
	first := grant(t, s, 1)
	reader, _ := engine.store()
	r := follow(t, reader, fleet.Position{})
	r.eventually(t, "it is loaded", func() bool { return r.at.Includes(first) })
	engine.stop()
	engine.start()
	again, _ := engine.store()
	last := grant(t, again, 2)
	r.eventually(t, "the next has come", func() bool { return r.at.Includes(last) })
	if r.resets != 1 {
		t.Errorf("%d resets", r.resets)
	}
}

// TestReplaced: another bucket of the same name, and another epoch in "meta", are loaded as a
// whole.
func TestReplaced(t *testing.T) {
	engine := newEngine(t)
	s, conn := engine.store()
	must.OK(t, s.Create(t.Context(), 1))
	grant(t, s, 1)
	grant(t, s, 2)
	reader, _ := engine.store()
	r := follow(t, reader, fleet.Position{})
	r.eventually(t, "it is loaded", func() bool { return len(r.entries) == 2 })
	must.OK(t, reader.Report(t.Context(), "s1", fleet.Status{}))
	r.eventually(t, "it is fresh", func() bool { return !r.fresh.IsZero() })
	js, err := conn.JetStream()
	must.OK(t, err)
	must.OK(t, js.DeleteStream("KV_zmqauth"))
	must.OK(t, s.Create(t.Context(), 1))
	grant(t, s, 3)
	// The write has a lower sequence than the one before: the follower looks.
	must.OK(t, reader.Report(t.Context(), "s1", fleet.Status{}))
	key := entry(t, 3, fleet.Granted, 1).Key()
	r.eventually(t, "the new bucket is loaded", func() bool {
		return r.resets == 2 && r.entries[key].State == fleet.Granted && len(r.entries) == 2
	})
	meta := fleet.Entry{Kind: fleet.KindMeta, State: fleet.Granted, Epoch: "e2", Revision: 1}
	must.OK(t, meta.Sign("test", admin))
	var none uint64
	_, err = s.Put(t.Context(), meta, &none)
	must.OK(t, err)
	r.eventually(t, "another epoch is loaded", func() bool { return r.resets == 3 })
}
