package observe

import "time"

// Batch counts decisions that are made together. One goroutine uses it. The zero value is ready.
type Batch struct {
	made []made

	// The decision before, whose like mostly follows.
	domain, mechanism, reason string
	status                    int
	cell                      *cell // nil: it has to be looked for
}

// made is like decisions that have not been counted.
type made struct {
	cell    *cell
	arrived time.Time
	count   uint64
}

// batchKept is how many decisions are worth keeping the memory of.
const batchKept = 1024

// Add takes a decision on a request that has arrived then. It keeps no slice.
func (b *Batch) Add(t *Tally, domain, mechanism []byte, reason string, status int,
	arrived time.Time) {
	c := b.cell
	if c == nil || b.reason != reason || b.status != status || b.domain != string(domain) ||
		b.mechanism != string(mechanism) {
		var fixed bool
		c, fixed = t.cell(domain, mechanism, reason, status)
		b.cell = nil // the domain may be configured before the next decision
		if fixed {
			b.domain, b.mechanism = string(domain), string(mechanism)
			b.reason, b.status, b.cell = reason, status, c
		}
	}
	if last := len(b.made) - 1; last >= 0 && b.made[last].cell == c &&
		b.made[last].arrived == arrived {
		b.made[last].count++
		return
	}
	b.made = append(b.made, made{c, arrived, 1})
}

// Count counts what was added. It reads the clock once.
func (b *Batch) Count() {
	if len(b.made) == 0 {
		return
	}
	now := time.Now()
	for _, m := range b.made {
		m.cell.add(m.count, now.Sub(m.arrived))
	}
	if cap(b.made) > batchKept {
		b.made = nil
	}
	b.made = b.made[:0]
}
