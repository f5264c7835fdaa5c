package zmqauth

import (
	"container/list"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// libzmq's client takes the one refusal that it honours over GSSAPI (see zap.StatusCut) for an
// accident and tries again every 0.1 to 0.2 s, for ever. This file makes it wait: refusals of one
// address and principal are held back, each longer than the one before, up to a bound. It calms
// clients that are not wanted; it keeps nobody out who would come in otherwise.

const (
	firstRefusalDelay = 100 * time.Millisecond // of the second refusal, the first goes out at once; then it doubles

	// maxRefusalDelay is less than 2 s, so that Connect keeps its word to a client that has been
	// refused before; and less than the handshake interval of server sockets, whose end would have the
	// client come back by itself.
	maxRefusalDelay = 1600 * time.Millisecond

	// refusalMemory is how long a refusal counts: long enough for a client that pauses before it tries
	// again, short enough for one whose access has been mended meanwhile.
	refusalMemory = time.Minute

	// maxRefusedPeers bounds what is remembered, to some 2 MB. Beyond it the peer refused longest ago
	// is forgotten: to have one forgotten before its time takes as many handshakes of other peers, and
	// saves it a handful of delays.
	maxRefusedPeers = 1 << 14

	// maxHeldRefusals bounds the refusals that wait; one more goes out at once.
	maxHeldRefusals = 1 << 12
)

// refusedPeers remembers who has been refused lately. The loop's goroutine owns it.
type refusedPeers struct {
	seed  maphash.Seed
	byKey map[uint64]*list.Element
	order list.List // of *refusedPeer, the one refused longest ago in front
}

// refusedPeer is known by a keyed hash, so that it takes the same little memory however long its
// names are. Nobody outside can find two peers with the same, and two such would but share their
// delays.
type refusedPeer struct {
	key   uint64
	last  time.Time
	delay time.Duration // of the refusal that comes next
}

func newRefusedPeers() *refusedPeers {
	return &refusedPeers{seed: maphash.MakeSeed(), byKey: make(map[uint64]*list.Element)}
}

// refuse takes note of a refusal and returns how long it is to be held back.
func (p *refusedPeers) refuse(address, principal []byte, now time.Time) (delay time.Duration) {
	p.forgetOld(now)
	key := p.key(address, principal)
	element := p.byKey[key]
	if element == nil {
		if p.order.Len() >= maxRefusedPeers {
			p.remove(p.order.Front())
		}
		p.byKey[key] = p.order.PushBack(&refusedPeer{key, now, firstRefusalDelay})
		return 0
	}
	p.order.MoveToBack(element)
	peer := element.Value.(*refusedPeer)
	delay = peer.delay
	peer.last, peer.delay = now, min(2*delay, maxRefusalDelay)
	return delay
}

// accept forgets a peer.
func (p *refusedPeers) accept(address, principal []byte) {
	if element := p.byKey[p.key(address, principal)]; element != nil {
		p.remove(element)
	}
}

func (p *refusedPeers) forgetOld(now time.Time) {
	for front := p.order.Front(); front != nil && now.Sub(front.Value.(*refusedPeer).last) > refusalMemory; front = p.order.Front() {
		p.remove(front)
	}
}

func (p *refusedPeers) remove(element *list.Element) {
	delete(p.byKey, p.order.Remove(element).(*refusedPeer).key)
}

func (p *refusedPeers) key(address, principal []byte) uint64 {
	return maphash.Comparable(p.seed, [2]string{string(address), string(principal)})
}

// heldRefusals are refusals that wait for their time. When it comes, they wake the loop, which
// takes them.
type heldRefusals struct {
	wake  func()
	count *atomic.Int64 // of Stats

	mu       sync.Mutex
	timers   map[*heldRefusal]*time.Timer
	due      []*heldRefusal
	released bool
}

type heldRefusal struct {
	ticket  *ticket
	verdict verdict
}

func newHeldRefusals(wake func(), count *atomic.Int64) *heldRefusals {
	return &heldRefusals{wake: wake, count: count, timers: make(map[*heldRefusal]*time.Timer)}
}

// hold keeps a refusal; it returns false where that is to go out at once, because there are too
// many or the loop ends.
func (h *heldRefusals) hold(r *heldRefusal, delay time.Duration) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.released || len(h.timers) >= maxHeldRefusals {
		return false
	}
	h.timers[r] = time.AfterFunc(delay, func() { h.expire(r) })
	h.count.Add(1)
	return true
}

func (h *heldRefusals) expire(r *heldRefusal) {
	h.mu.Lock()
	_, held := h.timers[r]
	if held {
		delete(h.timers, r)
		h.due = append(h.due, r)
	}
	h.mu.Unlock()
	if held {
		h.wake()
	}
}

// takeDue takes those whose time has come.
func (h *heldRefusals) takeDue() []*heldRefusal {
	h.mu.Lock()
	defer h.mu.Unlock()
	due := h.due
	h.due = nil
	h.count.Add(-int64(len(due)))
	return due
}

// release makes all of them due, and leaves no timer: from now on nothing is held.
func (h *heldRefusals) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.released = true
	for r, timer := range h.timers {
		timer.Stop()
		h.due = append(h.due, r)
	}
	clear(h.timers)
}
