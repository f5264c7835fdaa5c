// Package observe is what an Authenticator shows of itself beside its sessions: decisions by
// domain, mechanism and reason, queues, and what it follows. Nothing in it grows with what
// strangers send.
package observe

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

const (
	// OtherDomain stands for all domains that are not configured, or have a name that is no UTF-8.
	OtherDomain = "other"
	// maxDomains is how many domains have counters of their own. The rest counts as OtherDomain.
	maxDomains = 1000
	// maxReasons is how many reasons have a counter. The first one counts for the rest.
	maxReasons = 48
)

// mechanisms are those that have counters of their own. The last one stands for all others.
var mechanisms = [...]string{"NULL", "PLAIN", "CURVE", "GSSAPI", "other"}

// Buckets are the upper bounds of the durations that are counted together, in seconds.
var Buckets = [...]float64{
	0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
}

// bounds are the Buckets as durations.
var bounds = func() (all [len(Buckets)]time.Duration) {
	for i, seconds := range Buckets {
		all[i] = time.Duration(seconds * float64(time.Second))
	}
	return all
}()

// Tally counts decisions. Begin makes it ready. Its other methods may be called by any goroutine.
type Tally struct {
	known   func(domain []byte) bool
	reasons map[string]int

	mu      sync.Mutex // held while a domain is added
	domains atomic.Pointer[map[string]*domain]
	other   domain

	durations [len(mechanisms)]duration
}

// domain has the counters of a domain.
type domain struct {
	cells [len(mechanisms)][maxReasons]cell
}

// cell counts the decisions of one domain, mechanism and reason.
type cell struct {
	count  atomic.Uint64
	status atomic.Uint32
	took   *duration
}

// duration is a histogram.
type duration struct {
	buckets [len(Buckets) + 1]atomic.Uint64
	sum     atomic.Int64 // in nanoseconds
}

// Begin has the Tally count decisions for these reasons. The first one stands for those that are
// not among them. known tells whether a domain is configured; it must not block.
func (t *Tally) Begin(known func(domain []byte) bool, reasons ...string) {
	t.known, t.reasons = known, make(map[string]int)
	for i, reason := range reasons[:min(len(reasons), maxReasons)] {
		t.reasons[reason] = i
	}
	t.domains.Store(&map[string]*domain{})
	t.other.begin(t)
}

func (d *domain) begin(t *Tally) {
	for i := range d.cells {
		for j := range d.cells[i] {
			d.cells[i][j].took = &t.durations[i]
		}
	}
}

// Count counts a decision, and how long it has taken.
func (t *Tally) Count(domain, mechanism []byte, reason string, status int, took time.Duration) {
	c, _ := t.cell(domain, mechanism, reason, status)
	c.add(1, took)
}

// cell is the counter of decisions like this one. It stays the same for them if fixed is true.
func (t *Tally) cell(domain, mechanism []byte, reason string, status int) (c *cell, fixed bool) {
	d := t.domain(domain)
	c = &d.cells[indexOf(mechanism)][t.reasons[reason]]
	c.status.Store(uint32(status))
	return c, d != &t.other
}

// add counts so many decisions that have taken the same time.
func (c *cell) add(count uint64, took time.Duration) {
	c.count.Add(count)
	i := 0
	for i < len(bounds) && took > bounds[i] {
		i++
	}
	c.took.buckets[i].Add(count)
	c.took.sum.Add(int64(count) * int64(took))
}

func indexOf(mechanism []byte) int {
	for i, name := range mechanisms[:len(mechanisms)-1] {
		if string(mechanism) == name {
			return i
		}
	}
	return len(mechanisms) - 1
}

// domain has the counters for a domain. One that is configured gets its own, and keeps them.
func (t *Tally) domain(name []byte) *domain {
	if d := (*t.domains.Load())[string(name)]; d != nil {
		return d
	}
	if len(*t.domains.Load()) >= maxDomains || string(name) == OtherDomain || !utf8.Valid(name) ||
		!t.known(name) {
		return &t.other
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	before := *t.domains.Load()
	if d := before[string(name)]; d != nil {
		return d
	}
	if len(before) >= maxDomains {
		return &t.other
	}
	after, d := make(map[string]*domain, len(before)+1), new(domain)
	for name, d := range before {
		after[name] = d
	}
	d.begin(t)
	after[string(name)] = d
	t.domains.Store(&after)
	return d
}

// Count is how many decisions there were of one kind.
type Count struct {
	Domain    string // configured, or OtherDomain
	Mechanism string // NULL, PLAIN, CURVE, GSSAPI, or "other"
	Status    int
	Reason    string
	Count     uint64
}

// Counts are all that is not zero, in the order of the domains' names.
func (t *Tally) Counts() (all []Count) {
	reasons := make([]string, maxReasons)
	for reason, i := range t.reasons {
		reasons[i] = reason
	}
	domains := *t.domains.Load()
	names := make([]string, 0, len(domains))
	for name := range domains {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		all = domains[name].counts(all, name, reasons)
	}
	return t.other.counts(all, OtherDomain, reasons)
}

func (d *domain) counts(all []Count, name string, reasons []string) []Count {
	for i := range d.cells {
		for j := range d.cells[i] {
			cell := &d.cells[i][j]
			if count := cell.count.Load(); count > 0 {
				all = append(all, Count{name, mechanisms[i], int(cell.status.Load()), reasons[j],
					count})
			}
		}
	}
	return all
}

// Duration is how long the decisions for one mechanism have taken.
type Duration struct {
	Mechanism string
	Count     uint64
	Sum       time.Duration
	Buckets   map[float64]uint64 // how many have taken at most so many seconds
}

// Durations are those of the mechanisms for which there were decisions.
func (t *Tally) Durations() (all []Duration) {
	for i := range t.durations {
		d := Duration{Mechanism: mechanisms[i], Buckets: make(map[float64]uint64, len(Buckets))}
		for j := range t.durations[i].buckets {
			d.Count += t.durations[i].buckets[j].Load()
			if j < len(Buckets) {
				d.Buckets[Buckets[j]] = d.Count
			}
		}
		d.Sum = time.Duration(t.durations[i].sum.Load())
		if d.Count > 0 {
			all = append(all, d)
		}
	}
	return all
}
