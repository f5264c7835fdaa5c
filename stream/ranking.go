package stream

import "container/list"

// ranking has crowds by a number that is small and not negative. Crowds with the same number are in
// the order in which they came by it. The zero value is empty.
type ranking struct {
	ranks []*list.List // of *crowd, by the number; the last one is not empty
}

// place is where a crowd is in a ranking. The zero value is nowhere.
type place struct {
	rank    int
	element *list.Element
}

// put gives a crowd, whose place is at, another number. A negative number takes it out.
func (r *ranking) put(c *crowd, at *place, rank int) {
	if at.element != nil {
		if at.rank == rank {
			return
		}
		r.ranks[at.rank].Remove(at.element)
		*at = place{}
	}
	if rank >= 0 {
		for rank >= len(r.ranks) {
			r.ranks = append(r.ranks, list.New())
		}
		*at = place{rank, r.ranks[rank].PushBack(c)}
	}
	for n := len(r.ranks); n > 0 && r.ranks[n-1].Len() == 0; n-- {
		r.ranks = r.ranks[:n-1]
	}
}

// lowest returns the first crowd with the lowest number; nil: there is none.
func (r *ranking) lowest() *crowd {
	for _, rank := range r.ranks {
		if rank.Len() > 0 {
			return rank.Front().Value.(*crowd)
		}
	}
	return nil
}

// highest returns the first crowd with the highest number; nil: there is none.
func (r *ranking) highest() *crowd {
	if len(r.ranks) == 0 {
		return nil
	}
	return r.ranks[len(r.ranks)-1].Front().Value.(*crowd)
}
