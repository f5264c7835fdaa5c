package natsstore_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/fleet"
	"github.com/zmqauth/zmqauth/fleet/internal/testfleet"
	"github.com/zmqauth/zmqauth/fleet/natsstore"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// patience is how long what must come may take: an election, and some more. Benchmarks have more of
// it: a hundred servers that load on one machine take minutes.
var patience = time.Minute

// world is engines, an administrator, and processes with servers.
type world struct {
	testing.TB
	engines   *testfleet.Engines
	admin     *natsstore.Store
	config    testfleet.ServersConfig // without the seeds
	processes []*testfleet.Servers
	names     [][]string // the servers of each process
}

// newWorld starts engines. The processes are to be started.
func newWorld(t testing.TB, engines, processes, servers int) *world {
	t.Helper()
	w := &world{TB: t, config: testfleet.ServersConfig{Signer: admin.Public().(ed25519.PublicKey)},
		processes: make([]*testfleet.Servers, processes), names: make([][]string, processes)}
	var all []string
	for i := range servers {
		name := fmt.Sprint("s", i)
		all = append(all, name)
		w.names[i%processes] = append(w.names[i%processes], name)
	}
	w.engines = testfleet.NewEngines(t, engines, all...)
	w.config.URL = w.engines.URL(-1)
	w.admin, _ = w.engines.Store("admin", -1)
	return w
}

// start starts a process.
func (w *world) start(i int) {
	w.Helper()
	config := w.config
	config.Seeds = make(map[string]string)
	for _, name := range w.names[i] {
		config.Seeds[name] = w.engines.Seed(name)
	}
	w.processes[i] = testfleet.NewServers(w, config)
}

// startAll starts all processes, and waits until all servers are ready.
func (w *world) startAll() {
	w.Helper()
	for i := range w.processes {
		w.start(i)
	}
	w.await(testfleet.Ready)
}

// await waits until each server has told of something, and returns what came last.
func (w *world) await(what string) (last testfleet.Event) {
	w.Helper()
	for i := range w.processes {
		seen := make(map[string]bool)
		w.until(i, what, func(e testfleet.Event) bool {
			if e.What == what && !seen[e.Server] {
				seen[e.Server] = true
				if e.At > last.At {
					last = e
				}
			}
			return len(seen) == len(w.names[i])
		})
	}
	return last
}

// until takes the events of a process until one is the last.
func (w *world) until(i int, what string, isLast func(testfleet.Event) bool) {
	w.Helper()
	late := time.After(patience)
	for {
		select {
		case e, ok := <-w.processes[i].Events:
			switch {
			case !ok:
				w.Fatalf("process %d has ended before: %s", i, what)
			case e.What == testfleet.Failed:
				w.Fatalf("%s: %s", e.Server, e.Status)
			case isLast(e):
				return
			}
		case <-late:
			w.Fatalf("process %d, not within %v: %s", i, patience, what)
		}
	}
}

// put puts the next entry of a key, as an administrator does.
func (w *world) put(ctx context.Context, key zmqauth.PublicKey, state fleet.State) (
	fleet.Position, error) {
	e := fleet.Entry{Kind: fleet.KindKey, Domain: testfleet.Domain, PublicKey: key, State: state,
		By: "admin", At: time.Now()}
	old, at, err := w.admin.Get(ctx, e.Key())
	if err != nil && (state == fleet.Granted || ctx.Err() != nil) {
		return fleet.Position{}, err
	}
	e.Revision = fleet.NextRevision(old.Revision, time.Now())
	if err := e.Sign(testfleet.Name, admin); err != nil {
		return fleet.Position{}, err
	}
	if state == fleet.Revoked {
		return w.admin.Put(ctx, e, nil)
	}
	return w.admin.Put(ctx, e, &at)
}

func (w *world) mustPut(key zmqauth.PublicKey, state fleet.State) fleet.Position {
	w.Helper()
	p, err := w.put(context.Background(), key, state)
	must.OK(w, err)
	return p
}

// TestRevocation: a revocation cuts the sessions of a key on all servers, in other processes, and
// while the engine that leads has just been killed.
func TestRevocation(t *testing.T) {
	w := newWorld(t, 3, 2, 6)
	public, secret, err := zmqauth.GenerateKeyPair()
	must.OK(t, err)
	w.config.Client = secret.Z85()
	w.mustPut(public, fleet.Granted)
	w.startAll()
	begun := time.Now()
	w.mustPut(public, fleet.Revoked)
	acknowledged := time.Now()
	last := w.await(testfleet.Cut)
	if last.Status == "200" {
		t.Error("a session was cut, and a new one would be let in")
	}
	t.Logf("from the revocation to its acknowledgement: %v; to the last cut: %v",
		acknowledged.Sub(begun), time.Unix(0, last.At).Sub(begun))

	w.mustPut(public, fleet.Granted)
	w.await(testfleet.Ready)
	leader := w.engines.Leader()
	w.engines.Kill(leader)
	done := make(chan error, 1)
	begun = time.Now()
	go func() {
		_, err := w.put(context.Background(), public, fleet.Revoked)
		done <- err
	}()
	last = w.await(testfleet.Cut)
	took := time.Unix(0, last.At).Sub(begun)
	t.Logf("with the leader killed, to the last cut: %v", took)
	if took > 10*time.Second {
		t.Errorf("the last cut came after %v", took)
	}
	select {
	case err := <-done:
		must.OK(t, err)
	case <-time.After(patience):
		t.Fatal("no other engine leads")
	}
	w.engines.Start(leader)
}

// TestCutOff: a server that was away for 1,000 changes has them all when it is back. One that was
// killed loads only what has changed.
func TestCutOff(t *testing.T) {
	w := newWorld(t, 1, 1, 1)
	w.config.Snapshots = t.TempDir()
	w.mustPut(keyOf(1), fleet.Granted)
	w.startAll()
	must.OK(t, w.processes[0].Freeze())
	const changes = 1000
	last := w.putMany(changes)
	begun := time.Now()
	must.OK(t, w.processes[0].Thaw())
	count := 0
	w.until(0, "all changes", func(e testfleet.Event) bool {
		if e.What == testfleet.Granting {
			count++
		}
		return count == changes
	})
	t.Logf("%d changes after %v", changes, time.Since(begun))
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	w.processes[0].Kill()
	for n := range 5 {
		w.mustPut(keyOf(5000+n), fleet.Granted)
	}
	w.start(0)
	count = 0
	w.until(0, "what has changed", func(e testfleet.Event) bool {
		switch e.What {
		case testfleet.Granting:
			count++
		case testfleet.Loaded:
			t.Error("it has loaded everything")
		}
		return count == 5
	})
	testpeer.Eventually(t, "it reports that it has all", func() bool {
		e, _, err := w.admin.Get(t.Context(), "server.s0")
		return err == nil && e.Report.Position.Includes(last) && e.Report.Keys == changes+6
	})
}

// putMany grants as many new keys, some at a time, and returns how far the log is then.
func (w *world) putMany(count int) (last fleet.Position) {
	w.Helper()
	const atOnce = 20
	positions := make(chan fleet.Position, count)
	var workers sync.WaitGroup
	for worker := range atOnce {
		workers.Go(func() {
			for n := worker; n < count; n += atOnce {
				positions <- grant(w, w.admin, 10_000+n)
			}
		})
	}
	workers.Wait()
	close(positions)
	for p := range positions {
		if p.Revision > last.Revision {
			last = p
		}
	}
	return last
}

func keyOf(n int) (key zmqauth.PublicKey) {
	key[0], key[1], key[2] = byte(n), byte(n>>8), 2
	return key
}

// TestSetBack: a bucket that was restored from a backup is noticed, even if it has grown longer
// than the one before, and brings nobody back.
func TestSetBack(t *testing.T) {
	w := newWorld(t, 1, 1, 1)
	w.config.Poll = []zmqauth.PublicKey{keyOf(1), keyOf(2)}
	w.config.Report = 100 * time.Millisecond
	w.mustPut(keyOf(1), fleet.Granted)
	w.engines.Kill(0)
	backup := t.TempDir()
	must.OK(t, os.CopyFS(backup, os.DirFS(w.engines.Dir(0))))
	w.engines.Start(0)
	w.startAll()
	accepts := func(key zmqauth.PublicKey) func(testfleet.Event) bool {
		return func(e testfleet.Event) bool {
			return e.What == testfleet.Accepted && e.Key == key.String()
		}
	}
	w.until(0, "the key is let in", accepts(keyOf(1)))
	revoked := w.mustPut(keyOf(1), fleet.Revoked)
	w.until(0, "the revocation has come", func(e testfleet.Event) bool {
		return e.What == testfleet.Revoked
	})
	w.engines.Kill(0)
	must.OK(t, os.RemoveAll(w.engines.Dir(0)))
	must.OK(t, os.CopyFS(w.engines.Dir(0), os.DirFS(backup)))
	w.engines.Start(0)
	p := w.mustPut(keyOf(2), fleet.Granted)
	for p.Revision <= revoked.Revision+20 {
		p = w.mustPut(keyOf(2), fleet.Granted)
	}
	loaded := false
	w.until(0, "the other key is let in", func(e testfleet.Event) bool {
		loaded = loaded || e.What == testfleet.Loaded
		if accepts(keyOf(1))(e) {
			t.Fatal("the revoked key is let in")
		}
		return loaded && accepts(keyOf(2))(e)
	})
}

// TestAudit: what servers record is read back with the changes of administrators, once.
func TestAudit(t *testing.T) {
	engine := newEngine(t)
	s, _ := engine.store()
	must.OK(t, s.Create(t.Context(), 1))
	grant(t, s, 1)
	events := []fleet.Event{{At: time.Now().UTC(), Kind: fleet.EventCut, Server: "s1", UserID: "ann"},
		{At: time.Now().UTC(), Kind: fleet.EventRefused, Server: "s1", Reason: "unknown-key"}}
	must.OK(t, s.Record(t.Context(), "s1", events))
	must.OK(t, s.Record(t.Context(), "s1", events)) // the answer was lost
	if err := s.Record(t.Context(), "s2", events); err == nil {
		t.Error("a server records events of another one")
	}
	var kinds []fleet.EventKind
	read := func(since time.Time, stop int) {
		kinds = nil
		must.OK(t, s.Events(t.Context(), since, func(e fleet.Event) bool {
			kinds = append(kinds, e.Kind)
			return len(kinds) != stop
		}))
	}
	read(time.Time{}, 0)
	if len(kinds) != 3 || !slices.Contains(kinds, fleet.EventChanged) {
		t.Errorf("the events are %v", kinds)
	}
	if read(time.Time{}, 1); len(kinds) != 1 {
		t.Errorf("it goes on: %v", kinds)
	}
	if read(time.Now().Add(time.Hour), 0); kinds != nil {
		t.Errorf("in an hour: %v", kinds)
	}
	list := []fleet.Pending{{Domain: "d", Key: keyOf(1), Address: "192.0.2.1", Attempts: 2}}
	must.OK(t, s.ReportPending(t.Context(), "s1", append(list, list...)))
	must.OK(t, s.ReportPending(t.Context(), "s1", list))
	must.OK(t, s.ReportPending(t.Context(), "s2", list))
	all, err := s.Pending(t.Context())
	must.OK(t, err)
	if len(all) != 2 || all[0].Server != "s1" || all[1].Server != "s2" || all[0].Attempts != 2 {
		t.Errorf("pending are %v", all)
	}
}

// TestSeal: sums are put, and again.
func TestSeal(t *testing.T) {
	engine := newEngine(t)
	s, _ := engine.store()
	must.OK(t, s.Create(t.Context(), 1))
	grant(t, s, 1)
	signer := admin.Public().(ed25519.PublicKey)
	for range 2 {
		count, err := s.Seal(t.Context(), "test", "ann", admin, signer)
		must.OK(t, err)
		if count != 1 {
			t.Errorf("%d entries are sealed", count)
		}
	}
	entries, _, err := s.Load(t.Context())
	must.OK(t, err)
	current, refused := fleet.Current("test", entries, signer)
	if len(entries) != 3 || len(current) != 1 || refused != nil {
		t.Errorf("%v, %v, %v", entries, current, refused)
	}
}
