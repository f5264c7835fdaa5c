//go:build unix

package follow

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// many is a watcher that follows as many directories as files.
type many struct {
	*Watcher
	directories []*mirror
	files       []*recorder
	paths       []string // of the files
}

// followMany returns one that has nothing left to do. The files lie in directories of 100.
func followMany(t *testing.T, count int) *many {
	t.Helper()
	m := &many{Watcher: New(func(func(*slog.Logger)) {})}
	t.Cleanup(m.Close)
	base := t.TempDir()
	directories := make([]string, count)
	for i := range count { // before any is followed: this would be a lot of events
		directories[i] = filepath.Join(base, fmt.Sprint("directory", i))
		must.OK(t, os.Mkdir(directories[i], 0o755))
		above := filepath.Join(base, fmt.Sprint("files", i/100))
		must.OK(t, os.MkdirAll(above, 0o755))
		m.paths = append(m.paths, filepath.Join(above, fmt.Sprint("file", i)))
		must.OK(t, os.WriteFile(m.paths[i], []byte("one"), 0o600))
	}
	for i := range count {
		m.directories = append(m.directories, follow(t, m.Watcher, directories[i]))
		target := new(recorder)
		f, err := m.FollowFile(m.paths[i], fileLimit, target)
		must.OK(t, err)
		f.Start()
		target.take()
		m.files = append(m.files, target)
	}
	got := m.Stats()
	want := Stats{Directories: count, Files: count, Watches: count, Parents: got.Parents}
	if got != want || got.Parents > 1+(count+99)/100 {
		t.Fatalf("%+v", got)
	}
	time.Sleep(4 * checkInterval) // the first look of each
	return m
}

// cost returns which part of a processor this process takes while nothing happens: the least of
// some windows, because the rest of the system disturbs it.
func cost(t *testing.T) float64 {
	t.Helper()
	used := func() time.Duration {
		var usage syscall.Rusage
		must.OK(t, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
		return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	least := 1.0
	for range 3 {
		begun, before := time.Now(), used()
		time.Sleep(3 * time.Second)
		least = min(least, (used()-before).Seconds()/time.Since(begun).Seconds())
	}
	return least
}

// TestIdle: while nothing happens, 2,000 directories and 2,000 files take next to nothing of a
// processor (0.3 % of one that does nothing else), and no more than a quarter of them would if the
// cost were linear. A change in the last of them is seen all the same.
func TestIdle(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes most of a minute")
	}
	if !testpeer.Child(t, nil) {
		return
	}
	const limit = 0.03 // processors that others keep busy, and the race detector, take their share
	quarter := followMany(t, 500)
	few := cost(t)
	quarter.Close()
	m := followMany(t, 2000)
	all := cost(t)
	t.Logf("500 of both take %.3f %%, 2,000 take %.3f %%", 100*few, 100*all)
	if all > limit {
		t.Errorf("2,000 of both take %.3f %% of a processor", 100*all)
	}
	if all > 4*few {
		t.Errorf("500 of both take %.3f %% of a processor, 2,000 take %.3f %%", 100*few, 100*all)
	}

	const last = 1999
	begun := time.Now()
	m.directories[last].write("a", "one")
	m.directories[last].shows("a change of the last directory", content{"a": "one"})
	directory := time.Since(begun)
	must.OK(t, os.WriteFile(m.paths[last], []byte("another"), 0o600))
	begun = time.Now()
	testpeer.Eventually(t, "a change of the last file", func() bool {
		return slices.Equal(m.files[last].take(), []string{"load another"})
	})
	file := time.Since(begun)
	t.Logf("a change takes %v in a directory and %v in a file", directory, file)
	// A second is promised. A loaded machine gets more.
	if max(directory, file) > 10*time.Second {
		t.Errorf("a change takes %v in a directory and %v in a file", directory, file)
	}
}

// TestManyEnd: nothing is left of many.
func TestManyEnd(t *testing.T) {
	testpeer.NothingLeft(t)
	m := followMany(t, 300)
	m.Close()
	testpeer.Eventually(t, "nothing is followed", func() bool { return m.Stats() == Stats{} })
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.byID)+len(m.byPath)+len(m.Watcher.paths.places)+len(m.links.places) > 0 {
		t.Errorf("left: %d and %d watches, %d and %d places",
			len(m.byID), len(m.byPath), len(m.Watcher.paths.places), len(m.links.places))
	}
}

// TestSweepList: the sweep looks at each place once in a round, whatever is added and removed.
func TestSweepList(t *testing.T) {
	w := withoutSweep(t)
	var places []*place
	for range 3*sweepBatch - 1 {
		p := new(place)
		places = append(places, p)
		w.mu.Lock()
		w.enlist(p, true)
		w.mu.Unlock()
	}
	round := func() map[*place]int {
		seen := make(map[*place]int)
		for i := 1; ; i++ {
			batch, last := w.nextBatch()
			for _, p := range batch {
				seen[p]++
			}
			if len(batch) > sweepBatch || i > 3 {
				t.Fatalf("batch %d has %d places", i, len(batch))
			}
			if last {
				return seen
			}
		}
	}
	check := func(what string) {
		t.Helper()
		seen := round()
		for i, p := range places {
			if seen[p] != 1 {
				t.Fatalf("%s: place %d is looked at %d times", what, i, seen[p])
			}
		}
		if len(seen) != len(places) {
			t.Errorf("%s: %d places of %d", what, len(seen), len(places))
		}
	}
	check("all")
	check("once more")
	for len(places) > sweepBatch {
		w.mu.Lock()
		w.strike(places[len(places)/2])
		w.mu.Unlock()
		places = slices.Delete(places, len(places)/2, len(places)/2+1)
	}
	check("fewer")
	w.mu.Lock()
	w.enlist(places[0], false)
	w.mu.Unlock()
	if got := w.Stats().Polled; got != 1 {
		t.Errorf("%d are polled", got)
	}
	places = places[1:]
	check("one is polled")
	for _, p := range places {
		w.mu.Lock()
		w.strike(p)
		w.mu.Unlock()
	}
	places = nil
	check("none")
}
