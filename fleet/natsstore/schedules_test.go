package natsstore_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/fleet"
	"github.com/zmqauth/zmqauth/fleet/internal/testfleet"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// schedulesVariable is how many schedules to run instead of a few.
const schedulesVariable = "ZMQAUTH_FLEET_SCHEDULES"

const (
	scheduleKeys  = 5
	scheduleSteps = 12
	scheduleStale = 3 * time.Second
	staleSlack    = time.Second // the age is judged within that
)

// checker holds every acceptance against what the server had been told: see "The invariant" in the
// documentation of package fleet.
type checker struct {
	mu      sync.Mutex
	known   map[string]map[string]*knowledge // by server and key
	proofs  map[string]proofOf
	accepts map[string]map[string]int // the same: how often, since they were forgotten
	faults  []string
}

// knowledge is what a server was told of a key.
type knowledge struct {
	granted           uint64 // the newest revision
	noticed, revoked  uint64
	noticeAt, revokal int64 // when it had been taken
}

type proofOf struct {
	of    int64
	ahead int  // seconds that the clock was
	isOld bool // of an earlier process: the snapshot has it
}

func newChecker() *checker {
	return &checker{known: make(map[string]map[string]*knowledge),
		proofs: make(map[string]proofOf), accepts: make(map[string]map[string]int)}
}

// watch takes the events of a process until it has ended.
func (c *checker) watch(p *testfleet.Servers, done func()) {
	go func() {
		defer done()
		for e := range p.Events {
			c.mu.Lock()
			c.take(e)
			c.mu.Unlock()
		}
	}()
}

func (c *checker) take(e testfleet.Event) {
	if c.known[e.Server] == nil {
		c.known[e.Server], c.accepts[e.Server] = make(map[string]*knowledge), make(map[string]int)
	}
	k := c.known[e.Server][e.Key]
	if k == nil {
		k = new(knowledge)
		c.known[e.Server][e.Key] = k
	}
	switch e.What {
	case testfleet.Granting:
		k.granted = max(k.granted, e.Revision)
	case testfleet.Noticed:
		if e.Revision > k.noticed {
			k.noticed, k.noticeAt = e.Revision, e.At
		}
	case testfleet.Revoked:
		if e.Revision > k.revoked {
			k.revoked, k.revokal = e.Revision, e.At
		}
	case testfleet.Proving:
		c.proofs[e.Server] = proofOf{of: e.Of, ahead: e.Ahead}
	case testfleet.Failed:
		c.faults = append(c.faults, e.Server+": "+e.Status)
	case testfleet.Accepted:
		c.accepts[e.Server][e.Key]++
		c.judge(e, k)
	}
}

// judge holds an acceptance against the invariant.
func (c *checker) judge(e testfleet.Event, k *knowledge) {
	fault := func(what string, since time.Duration) {
		c.faults = append(c.faults, fmt.Sprintf("%s accepts %.8s %v after %s: %+v", e.Server, e.Key,
			since, what, *k))
	}
	if k.revoked > k.granted && e.Of > k.revokal {
		fault("its revocation was confirmed", time.Duration(e.Of-k.revokal))
	}
	if since := time.Duration(e.Of - k.noticeAt); k.noticed > k.granted && since > time.Second {
		fault("the notice of its revocation", since)
	}
	if k.granted == 0 {
		fault("nothing: it was never granted", 0)
	}
	proof := c.proofs[e.Server]
	old := time.Duration(e.Of - proof.of)
	if proof.isOld { // a process knows the time of another one's proof by the clock alone
		old += time.Duration(e.Ahead-proof.ahead) * time.Second
	}
	if old > scheduleStale+staleSlack {
		fault("the last proof that it is up to date", old)
	}
}

// restarted says that the proofs of servers are those of snapshots now.
func (c *checker) restarted(servers []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range servers {
		proof := c.proofs[name]
		proof.isOld = true
		c.proofs[name] = proof
	}
}

// accepted are the keys that a server has accepted since it was asked last.
func (c *checker) accepted(server string) map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.accepts[server]
	c.accepts[server] = make(map[string]int)
	return all
}

// schedule is one run of random faults.
type schedule struct {
	*world
	random  *rand.Rand
	checker *checker
	keys    []zmqauth.PublicKey
	clocks  map[string]int
	up      []bool // the processes
	frozen  []bool
	watches sync.WaitGroup
	trace   []string
}

func newSchedule(t *testing.T, seed uint64, engines int) *schedule {
	s := &schedule{world: newWorld(t, engines, 2, 3), random: rand.New(rand.NewPCG(seed, 7)),
		checker: newChecker(), clocks: make(map[string]int), up: make([]bool, 2),
		frozen: make([]bool, 2)}
	for n := range scheduleKeys {
		s.keys = append(s.keys, keyOf(n+1))
	}
	s.config.Snapshots, s.config.MaxStale = t.TempDir(), scheduleStale
	s.config.Report, s.config.Jitter = 300*time.Millisecond, 100*time.Millisecond
	s.config.Poll = s.keys
	return s
}

func (s *schedule) note(format string, a ...any) {
	s.trace = append(s.trace, time.Now().Format("05.000 ")+fmt.Sprintf(format, a...))
}

func (s *schedule) startServers(i int) {
	s.config.Clocks = maps.Clone(s.clocks)
	s.checker.restarted(s.names[i])
	s.start(i)
	s.up[i], s.frozen[i] = true, false
	s.watches.Add(1)
	s.checker.watch(s.processes[i], s.watches.Done)
}

func (s *schedule) killServers(i int) {
	s.processes[i].Kill()
	s.up[i] = false
}

// step is one fault, or the end of one.
func (s *schedule) step() {
	e, p := s.random.IntN(s.engines.Count()), s.random.IntN(len(s.processes))
	name := s.names[p][s.random.IntN(len(s.names[p]))]
	ahead := s.random.IntN(1200) - 600
	switch what := s.random.IntN(8); {
	case what < 2 && s.engines.IsUp(e):
		s.note("kill engine %d", e)
		s.engines.Kill(e)
	case what == 2 && s.engines.IsUp(e):
		s.note("freeze engine %d", e)
		s.engines.Freeze(e)
	case what < 4 && s.engines.IsFrozen(e):
		s.note("thaw engine %d", e)
		s.engines.Thaw(e)
	case what < 4 && !s.engines.IsUp(e):
		s.note("start engine %d", e)
		s.engines.Start(e)
	case what == 4 && s.up[p]:
		s.note("kill servers %d", p)
		s.killServers(p)
	case what == 5 && s.up[p] && !s.frozen[p]:
		s.note("freeze servers %d", p)
		must.OK(s, s.processes[p].Freeze())
		s.frozen[p] = true
	case what < 7 && !s.up[p]:
		s.note("start servers %d", p)
		s.startServers(p)
	case what < 7 && s.frozen[p]:
		s.note("thaw servers %d", p)
		must.OK(s, s.processes[p].Thaw())
		s.frozen[p] = false
	case what == 7 && s.up[p]:
		s.note("clock of %s: %d s ahead", name, ahead)
		s.clocks[name] = ahead
		must.OK(s, s.processes[p].SetClock(name, ahead))
	}
}

// administer grants and revokes at random until ctx ends.
func (s *schedule) administer(ctx context.Context, random *rand.Rand) {
	for ctx.Err() == nil {
		key := s.keys[random.IntN(len(s.keys)-1)]
		limited, cancel := context.WithTimeout(ctx, 2*time.Second)
		state := []fleet.State{fleet.Granted, fleet.Revoked}[random.IntN(2)]
		_, _ = s.put(limited, key, state) // there may be no quorum
		cancel()
		select {
		case <-time.After(time.Duration(random.IntN(100)) * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// heal ends all faults.
func (s *schedule) heal() {
	for i := range s.engines.Count() {
		switch {
		case s.engines.IsFrozen(i):
			s.engines.Thaw(i)
		case !s.engines.IsUp(i):
			s.engines.Start(i)
		}
	}
	for i := range s.processes {
		switch {
		case !s.up[i]:
			s.startServers(i)
		case s.frozen[i]:
			must.OK(s, s.processes[i].Thaw())
			s.frozen[i] = false
		}
		for _, name := range s.names[i] {
			s.clocks[name] = 0
			must.OK(s, s.processes[i].SetClock(name, 0))
		}
	}
	s.note("healed")
}

// settle puts a last entry of each key, and waits until each server lets in whom it should.
func (s *schedule) settle() {
	want := make(map[string]bool)
	for n, key := range s.keys {
		state := []fleet.State{fleet.Granted, fleet.Revoked}[s.random.IntN(2)]
		if n == len(s.keys)-1 {
			state = fleet.Granted // it says that all before has come
		}
		want[key.String()] = state == fleet.Granted
		testpeer.Eventually(s, "the engines take a write", func() bool {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			_, err := s.put(ctx, key, state)
			return err == nil
		})
	}
	barrier := s.keys[len(s.keys)-1].String()
	for _, names := range s.names {
		for _, name := range names {
			s.checker.accepted(name)
			testpeer.Eventually(s, name+" is up to date", func() bool {
				got := s.checker.accepted(name)
				for key, isIn := range want {
					if (got[key] > 0) != isIn {
						return false
					}
				}
				return got[barrier] > 0
			})
		}
	}
}

func (s *schedule) run(seed uint64) {
	s.mustPut(s.keys[0], fleet.Granted)
	s.mustPut(s.keys[len(s.keys)-1], fleet.Granted)
	for i := range s.processes {
		s.startServers(i)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var administrator sync.WaitGroup
	administrator.Go(func() { s.administer(ctx, rand.New(rand.NewPCG(seed, 8))) })
	for range scheduleSteps {
		time.Sleep(time.Duration(s.random.IntN(500)) * time.Millisecond) // a part of the schedule
		s.step()
	}
	cancel()
	administrator.Wait()
	s.heal()
	s.settle()
	for i := range s.processes {
		s.killServers(i)
	}
	s.watches.Wait()
	if s.checker.faults != nil {
		s.Errorf("seed %d:\n%s\n%s", seed, strings.Join(s.checker.faults[:min(5,
			len(s.checker.faults))], "\n"), strings.Join(s.trace, "\n"))
	}
}

// TestSchedules: in no schedule of killed and frozen engines and servers and of clocks that jump is
// the invariant broken, and in the end all servers let in the same.
func TestSchedules(t *testing.T) {
	count, first := 2, uint64(1)
	if text := os.Getenv(schedulesVariable); text != "" {
		n, err := strconv.Atoi(text)
		must.OK(t, err)
		count, first = n, uint64(time.Now().UnixNano())
	}
	for n := range count {
		seed, engines := first+uint64(n), []int{1, 3}[n%2]
		t.Run(fmt.Sprintf("%d engines, seed %d", engines, seed), func(t *testing.T) {
			newSchedule(t, seed, engines).run(seed)
		})
	}
}

// TestChecker: the checker finds what breaks the invariant, and nothing else.
func TestChecker(t *testing.T) {
	second := int64(time.Second)
	e := func(what string, at int64, revision uint64) testfleet.Event {
		return testfleet.Event{Server: "s", Key: "k", What: what, At: at, Of: at, Revision: revision}
	}
	proving := testfleet.Event{Server: "s", What: testfleet.Proving}
	for name, c := range map[string]struct {
		events []testfleet.Event
		faults int
	}{
		"granted":       {[]testfleet.Event{e(testfleet.Granting, 1, 1)}, 0},
		"never granted": {nil, 1},
		"revoked": {[]testfleet.Event{e(testfleet.Granting, 1, 1), e(testfleet.Revoked, 2, 2)},
			1},
		"granted again": {[]testfleet.Event{e(testfleet.Revoked, 2, 2),
			e(testfleet.Granting, 3, 3)}, 0},
		"asked before": {[]testfleet.Event{e(testfleet.Granting, 1, 1),
			e(testfleet.Revoked, 3*second, 2)}, 0},
		"announced": {[]testfleet.Event{e(testfleet.Granting, 1, 1), e(testfleet.Noticed, 2, 2)}, 1},
		"just announced": {[]testfleet.Event{e(testfleet.Granting, 1, 1),
			e(testfleet.Noticed, second, 2)}, 0},
	} {
		checker := newChecker()
		checker.take(proving)
		for _, one := range c.events {
			checker.take(one)
		}
		checker.take(e(testfleet.Accepted, 2*second, 0))
		if len(checker.faults) != c.faults {
			t.Errorf("%s: %v", name, checker.faults)
		}
	}
	checker := newChecker()
	for _, one := range []testfleet.Event{proving, e(testfleet.Granting, 1, 1),
		e(testfleet.Accepted, 3*second, 0), e(testfleet.Accepted, 5*second, 0)} {
		checker.take(one)
	}
	if len(checker.faults) != 1 {
		t.Errorf("without a proof: %v", checker.faults)
	}
}
