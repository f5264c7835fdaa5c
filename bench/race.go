package main

import "time"

// repeats is how many times each figure of a race is measured. A repeat is made of turns of some milliseconds, in which one
// contestant follows the other, so that all meet the same machine: two threads that hand each other the work are several
// times faster while the system runs them on one processor than while it runs them on two, and it changes its mind.
const (
	repeats = 21
	turns   = 10

	repeatTime = 100 * time.Millisecond // after which a contestant whose work is slow gets no more turns
)

// work is what contestants race at: it is done count times by one, which took so long.
type work struct {
	least int           // at once, and so in a turn
	turn  time.Duration // of a contestant, about
	do    func(c *contestant, count int) (cost, error)
}

// cost is what some work took: time, and where that is measured the processor time of the contestant.
type cost struct{ elapsed, cpu time.Duration }

// lane is a contestant in a race.
type lane struct {
	*contestant
	count   int  // in a turn
	done    int  // in this repeat
	spent   cost // in this repeat
	samples []sample
}

// sample is the cost of doing the work once, in seconds.
type sample struct{ elapsed, cpu float64 }

// race has all contestants take turns.
func race(contestants field, w work) ([]*lane, error) {
	var lanes []*lane
	for _, c := range contestants {
		l, err := newLane(c, w)
		if err != nil {
			return nil, err
		}
		lanes = append(lanes, l)
	}
	for range repeats {
		for range turns {
			for _, l := range lanes {
				if err := l.turn(w); err != nil {
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
func newLane(c *contestant, w work) (*lane, error) {
	count := max(w.least, 1)
	spent, err := w.do(c, count)
	for err == nil && spent.elapsed < w.turn/2 {
		count *= 2
		spent, err = w.do(c, count)
	}
	return &lane{contestant: c, count: count}, err
}

func (l *lane) turn(w work) error {
	if l.spent.elapsed >= repeatTime {
		return nil
	}
	spent, err := w.do(l.contestant, l.count)
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
