package observe

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

func newTally(known ...string) *Tally {
	t := new(Tally)
	t.Begin(func(domain []byte) bool {
		for _, name := range known {
			if name == string(domain) {
				return true
			}
		}
		return false
	}, "internal", "accepted", "unknown-key")
	return t
}

// TestCounts: what is not known counts as other, or as the first reason.
func TestCounts(t *testing.T) {
	tally := newTally("orders", OtherDomain, "\xff")
	for _, c := range []struct {
		domain, mechanism, reason string
		status                    int
	}{
		{"orders", "CURVE", "accepted", 200}, {"orders", "CURVE", "accepted", 200},
		{"orders", "CURVE", "unknown-key", 400}, {"orders", "HTTP", "unknown-key", 400},
		{"stranger", "NULL", "accepted", 200}, {"\xff", "NULL", "accepted", 200},
		{OtherDomain, "NULL", "accepted", 200}, {"orders", "PLAIN", "surprise", 500},
	} {
		tally.Count([]byte(c.domain), []byte(c.mechanism), c.reason, c.status, time.Millisecond)
	}
	want := []Count{
		{"orders", "PLAIN", 500, "internal", 1}, {"orders", "CURVE", 200, "accepted", 2},
		{"orders", "CURVE", 400, "unknown-key", 1}, {"orders", "other", 400, "unknown-key", 1},
		{OtherDomain, "NULL", 200, "accepted", 3},
	}
	got := tally.Counts()
	if len(got) != len(want) {
		t.Fatalf("%+v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%+v, want %+v", got[i], want[i])
		}
	}
}

// TestDomainsAreBounded: however many domains there are, the memory has an end.
func TestDomainsAreBounded(t *testing.T) {
	var tally Tally
	tally.Begin(func([]byte) bool { return true }, "internal")
	for i := range 3 * maxDomains {
		tally.Count([]byte(fmt.Sprint("d", i)), nil, "internal", 500, 0)
	}
	counts := tally.Counts()
	last := counts[len(counts)-1]
	if len(counts) != maxDomains+1 || last.Domain != OtherDomain || last.Count != 2*maxDomains {
		t.Errorf("%d, %+v", len(counts), last)
	}
}

// TestDurations: a duration counts in each bucket that is large enough.
func TestDurations(t *testing.T) {
	tally := newTally("d")
	for _, took := range []time.Duration{time.Millisecond, 20 * time.Millisecond, time.Hour} {
		tally.Count([]byte("d"), []byte("PLAIN"), "accepted", 200, took)
	}
	all := tally.Durations()
	if len(all) != 1 || all[0].Mechanism != "PLAIN" || all[0].Count != 3 ||
		all[0].Sum != time.Hour+21*time.Millisecond {
		t.Fatalf("%+v", all)
	}
	for bound, want := range map[float64]uint64{0.0005: 0, 0.001: 1, 0.01: 1, 0.025: 2, 10: 2} {
		if got := all[0].Buckets[bound]; got != want {
			t.Errorf("%v: %d, want %d", bound, got, want)
		}
	}
}

// TestBatch: a domain that is configured later counts as itself from then on.
func TestBatch(t *testing.T) {
	var tally Tally
	known := false
	tally.Begin(func([]byte) bool { return known }, "internal", "accepted")
	var batch Batch
	domain := []byte("late")
	add := func(reason string, status int) {
		batch.Add(&tally, domain, []byte("CURVE"), reason, status, time.Now())
		batch.Count()
	}
	add("accepted", 200)
	known = true
	for range 3 {
		add("accepted", 200)
	}
	add("internal", 500)
	got := fmt.Sprint(tally.Counts())
	if got != "[{late CURVE 500 internal 1} {late CURVE 200 accepted 3} "+
		"{other CURVE 200 accepted 1}]" {
		t.Error(got)
	}
}

// TestConcurrentCounts: nothing is lost where goroutines count and read at the same time.
func TestConcurrentCounts(t *testing.T) {
	tally := newTally("a", "b")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 1000 {
				tally.Count([]byte{"ab"[i%2]}, []byte("NULL"), "accepted", 200, 0)
				_, _ = tally.Counts(), tally.Durations()
			}
		})
	}
	wg.Wait()
	want := "[{a NULL 200 accepted 4000} {b NULL 200 accepted 4000}]"
	if got := fmt.Sprint(tally.Counts()); got != want {
		t.Error(got)
	}
}

// BenchmarkBatch is what a decision pays for being counted.
func BenchmarkBatch(b *testing.B) {
	tally := newTally("orders")
	var batch Batch
	domain, mechanism := []byte("orders"), []byte("CURVE")
	arrived := time.Now()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		batch.Add(tally, domain, mechanism, "accepted", 200, arrived)
		if i%64 == 63 {
			batch.Count()
			arrived = time.Now()
		}
	}
}
