package main

import "time"

// Each figure of a race is measured several times. A repeat is made of turns of some milliseconds,
// in which one entrant follows the other, so that all meet the same machine: two threads that hand
// each other the work are several times faster while the system runs them on one processor than
// while it runs them on two, and it changes its mind.
const (
	turns      = 10
	repeatTime = 100 * time.Millisecond // after which an entrant whose work is slow gets no more turns
)

// entrant does its work count times.
type entrant struct {
	name string
	do   func(count int) (cost, error)
}

// cost is what some work took: time, and where that is measured the processor time of whoever did
// it.
type cost struct{ elapsed, cpu time.Duration }

// rules are those of a race.
type rules struct {
	repeats int
	least   int           // times the work, of a turn
	turn    time.Duration // about
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

// race has all take turns.
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

// newLane finds out how much work makes a turn.
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
	l.samples = append(l.samples, sample{l.spent.elapsed.Seconds() / done, l.spent.cpu.Seconds() / done})
	l.spent, l.done = cost{}, 0
}

func elapsed(s sample) float64 { return s.elapsed }
func cpu(s sample) float64     { return s.cpu }

// ratios is what one lane's work cost in times that of another, for each repeat.
func ratios(of, to *lane, what func(sample) float64) []float64 {
	var out []float64
	for i := range of.samples {
		out = append(out, what(of.samples[i])/what(to.samples[i]))
	}
	return out
}
