package proxy

import "github.com/zmqauth/zmqauth/internal/libzmq"

// owed tells how many replies a service owes. A request of REQ, whose second frame is empty, is
// answered by one reply of that kind. Other messages may be one-way: they count as requests once
// the service has answered one of them.
type owed struct {
	delimited, other uint64 // requests that will never be answered
}

// count returns the number of requests that may still be answered.
func (o *owed) count(up, down libzmq.Way) uint64 {
	delimited, other := o.open(up, down)
	return delimited + other
}

func (o *owed) open(up, down libzmq.Way) (delimited, other uint64) {
	delimited = less(up.Delimited, down.Delimited+o.delimited)
	if answers := down.Passed - down.Delimited; answers > 0 {
		other = less(up.Passed-up.Delimited, answers+o.other)
	}
	return delimited, other
}

// giveUp forgets the requests that the service had when its connection ended. Those that are still
// with libzmq reach it later. It returns how many were forgotten.
func (o *owed) giveUp(up, down libzmq.Way) uint64 {
	delimited, other := o.open(up, down)
	lost := less(delimited+other, up.Open)
	fromOther := min(other, lost)
	o.other += fromOther
	o.delimited += lost - fromOther
	return lost
}

// less is a - b, or 0 if b is greater.
func less(a, b uint64) uint64 {
	if a < b {
		return 0
	}
	return a - b
}
