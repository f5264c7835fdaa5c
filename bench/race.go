package main

import "time"

// Each figure of a race is measured several times. In each repeat the entrants take turns of some
// milliseconds, so that all run under the same conditions. Conditions change: two threads that pass
// work to each other are several times faster on one processor than on two, and the system moves
// them.
const (
	turns      = 10
	repeatTime = 100 * time.Millisecond // a slow entrant gets no more turns after this time
)

// entrant is work to be measured. do does it count times.
type entrant struct {
	name string
	do   func(count int) (cost, error)
}

// cost is the time that some work took, and the processor time of the process that did it, if that
// is measured.
type cost struct{ elapsed, cpu time.Duration }

// rules are the rules of a race.
type rules struct {
	repeats int
	least   int           // how often to do the work in a turn, at least
	turn    time.Duration // about how long a turn takes
}

// lane is an entrant in a race.
type lane struct {
	entrant
	count   int  // in a turn
	done    int  // in this repeat
	spent   cost // in this repeat
	samples []sample
}

// sample is the cost of doing the work once, in seconds.
type sample struct{ elapsed, cpu float64 }

// race measures all entrants in turns.
func race(r rules, entrants []entrant) ([]*lane, error) {
	var lanes []*lane
	for _, e := range entrants {
		l, err := newLane(r, e)
		if err != nil {
			return nil, err
		}
		lanes = append(lanes, l)
	}
	for range r.repeats {
		for range turns {
			for _, l := range lanes {
				if err := l.turn(); err != nil {
					return nil, err
				}
			}
		}
		for _, l := range lanes {
			l.finishRepeat()
		}
	}
	return lanes, nil
}

// newLane finds out how often to do the work in a turn.
func newLane(r rules, e entrant) (*lane, error) {
	l := &lane{entrant: e, count: r.least}
	spent, err := l.do(l.count)
	for err == nil && spent.elapsed < r.turn/2 {
		l.count *= 2
		spent, err = l.do(l.count)
	}
	return l, err
}

func (l *lane) turn() error {
	if l.spent.elapsed >= repeatTime {
		return nil
	}
	spent, err := l.do(l.count)
	l.spent.elapsed += spent.elapsed
	l.spent.cpu += spent.cpu
	l.done += l.count
	return err
}

func (l *lane) finishRepeat() {
	done := float64(l.done)
	l.samples = append(l.samples, sample{
		elapsed: l.spent.elapsed.Seconds() / done,
		cpu:     l.spent.cpu.Seconds() / done,
	})
	l.spent, l.done = cost{}, 0
}

func elapsed(s sample) float64 { return s.elapsed }
func cpu(s sample) float64     { return s.cpu }

// ratios returns the cost of one lane's work, times that of another, for each repeat.
func ratios(of, to *lane, what func(sample) float64) []float64 {
	var out []float64
	for i := range of.samples {
		out = append(out, what(of.samples[i])/what(to.samples[i]))
	}
	return out
}
