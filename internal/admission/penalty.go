package admission

import (
	"container/list"
	"hash/maphash"
	"time"
)

// Penalties are the delays of peers that are refused time and again. The first refusal of a peer
// goes out at once. Each further one waits longer than the one before, up to a bound. A peer that
// is let in is forgotten, and so is one that has not been refused for a while.
//
// The exported fields are set before the first use and do not change. A Penalties is for one
// goroutine at a time.
type Penalties struct {
	First  time.Duration // delay of a peer's second refusal; every further one doubles it
	Max    time.Duration // no delay is longer
	Memory time.Duration // how long a refusal counts
	Peers  int           // how many are remembered, at least 1; of more, those refused last

	byKey map[uint64]*list.Element
	order list.List // of *penalty, the peer refused longest ago in front
}

// penalty is what one peer has to expect. The peer is known by a keyed hash, so that it takes the
// same little memory however long its names are. Nobody outside can find two peers with the same
// hash, and two such would but share their delays.
type penalty struct {
	key   uint64
	last  time.Time     // of its refusals
	delay time.Duration // of the refusal that comes next
}

// Refuse takes note that a peer, an address and a name, is refused at a time. It returns how long
// that refusal is to be held back.
func (p *Penalties) Refuse(address, name []byte, now time.Time) (delay time.Duration) {
	p.forgetOld(now)
	key := keyOf(address, name)
	element := p.byKey[key]
	if element == nil {
		p.add(&penalty{key, now, p.First})
		return 0
	}
	p.order.MoveToBack(element)
	known := element.Value.(*penalty)
	delay = known.delay
	known.last, known.delay = now, min(2*delay, p.Max)
	return delay
}

// Accept forgets a peer, because it is let in.
func (p *Penalties) Accept(address, name []byte) {
	if element := p.byKey[keyOf(address, name)]; element != nil {
		p.remove(element)
	}
}

func (p *Penalties) add(first *penalty) {
	if p.byKey == nil {
		p.byKey = make(map[uint64]*list.Element)
	}
	if p.order.Len() >= p.Peers {
		p.remove(p.order.Front())
	}
	p.byKey[first.key] = p.order.PushBack(first)
}

func (p *Penalties) forgetOld(now time.Time) {
	for {
		front := p.order.Front()
		if front == nil || now.Sub(front.Value.(*penalty).last) <= p.Memory {
			return
		}
		p.remove(front)
	}
}

func (p *Penalties) remove(element *list.Element) {
	delete(p.byKey, p.order.Remove(element).(*penalty).key)
}

func keyOf(address, name []byte) uint64 {
	return maphash.Comparable(seed, [2]string{string(address), string(name)})
}
