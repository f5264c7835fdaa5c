package front

import (
	"net/netip"
	"slices"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/zmqauth/zmqauth/internal/session"
)

// shed has the kernel drop the connections of denied addresses while there is a flood of them: it
// drops their first packet, before a handshake of TCP and a place among those who wait. It does so
// for networks of which no address passes the rules, for shedTime, and begins again if the flood
// goes on. Otherwise those connections are closed and counted one by one, as ever.
//
// Nobody who passes is ever dropped: a change of the rules or of the balancers ends it at once.
type shed struct {
	engine *engine
	flood  chan struct{} // there is one
	over   chan struct{} // closed: it ends
	ended  chan struct{} // closed: it has ended
	once   sync.Once
	timer  *time.Timer   // ends the dropping
	tally  session.Tally // of what is to be logged

	mu       sync.Mutex
	trigger  int           // floodCount
	hold     time.Duration // shedTime
	begun    time.Time     // when the floodTime began in which count connections were refused
	count    int
	seen     []netip.Addr   // their addresses, at most maxSeen
	networks []netip.Prefix // that the kernel drops, which do not count; nil: none
	failed   time.Time      // when the kernel took no filter
	counter  uint32         // the kernel's, as last seen
	dropped  uint64
}

const (
	// floodCount is how many connections of denied addresses within floodTime are a flood. Those
	// of libzmq's clients come ten times a second each.
	floodCount = 500
	floodTime  = time.Second
	// shedTime is how long a network's connections are dropped.
	shedTime = 5 * time.Second
	// maxNetworks is how many networks' are: the time for each packet and the kernel's memory for
	// a socket's options (net.core.optmem_max, once 20 KiB) are limits. maxBalancers likewise.
	maxNetworks  = 128
	maxBalancers = 32
	// maxSeen is how many addresses of a flood are looked at together.
	maxSeen = 32
	// shedRetry is when the kernel is asked again that took no filter.
	shedRetry = time.Minute
)

// newShed makes a shed of the engine's listener. nil: there is none. Only TCP has one, and a socket
// that ends with this process: in another one the filter would stay when this process dies.
func newShed(e *engine) *shed {
	if !e.public.sheds {
		return nil
	}
	return &shed{engine: e, trigger: floodCount, hold: shedTime, flood: make(chan struct{}, 1),
		over: make(chan struct{}), ended: make(chan struct{}), timer: time.NewTimer(shedTime)}
}

func (s *shed) start() {
	if s == nil {
		return
	}
	unwatch := s.engine.socket.Watch(s.lift)
	go func() {
		defer close(s.ended)
		defer s.lift()
		defer unwatch()
		for {
			select {
			case <-s.flood:
				s.extend()
			case <-s.timer.C:
				s.lift()
			case <-s.over:
				return
			}
		}
	}()
}

// stop ends it for good. It must have been started.
func (s *shed) stop() {
	if s == nil {
		return
	}
	s.once.Do(func() { close(s.over) })
	<-s.ended
}

// note takes note of a connection that was refused for the address of its other end.
func (s *shed) note(addr netip.Addr, now time.Time) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if contains(s.networks, addr) || now.Sub(s.failed) < shedRetry {
		return
	}
	if now.Sub(s.begun) >= floodTime {
		s.begun, s.count, s.seen = now, 0, nil
	}
	if len(s.seen) < maxSeen && !slices.Contains(s.seen, addr) {
		s.seen = append(s.seen, addr)
	}
	if s.count++; s.count == s.trigger {
		select {
		case s.flood <- struct{}{}:
		default:
		}
	}
}

func contains(networks []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(addr) })
}

// extend has the kernel drop the networks around the addresses seen as well.
func (s *shed) extend() {
	s.mu.Lock()
	seen := s.seen
	s.count, s.seen = 0, nil
	s.mu.Unlock()
	socket := s.engine.socket
	rules := socket.Rules()
	var networks []netip.Prefix
	for _, addr := range seen {
		if contains(networks, addr) {
			continue
		}
		if n, ok := rules.Refused(socket.Domain, addr); ok {
			networks = append(networks, n)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	networks = slices.DeleteFunc(networks, func(n netip.Prefix) bool {
		return contains(s.networks, n.Addr()) // the same one: none is a part of another
	})
	// Rules that change later find the filter, and lift it.
	if len(networks) == 0 || socket.Rules() != rules {
		return
	}
	if len(s.networks)+len(networks) <= maxNetworks { // else the old ones give way
		networks = append(networks, s.networks...)
	}
	s.attach(networks)
}

// attach puts a filter in the place of the one before. The caller holds s.mu.
func (s *shed) attach(networks []netip.Prefix) {
	balancers := s.engine.rules.Load().balancers
	if len(balancers) > maxBalancers {
		return
	}
	s.detach() // first, because the kernel may have no memory for both
	program := shedFilter(balancers, networks)
	err := attachFilter(s.engine.public.fd, program)
	now := time.Now()
	r := s.engine.refusals
	if err != nil {
		s.failed = now
		if s.tally.Note(session.Refusal{Reason: "error"}, now) > 0 {
			r.warn("front: the kernel does not drop connections in a flood", "error", err)
		}
		return
	}
	s.timer.Reset(s.hold)
	s.networks = networks
	s.counter = dropsOf(s.engine.public.fd)
	if times := s.tally.Note(session.Refusal{}, now); times > 0 {
		r.warn("front: a flood: the kernel drops connections from denied networks", "times", times,
			"network", networks[0].String(), "networks", len(networks), "for", s.hold.String(),
			"dropped", s.dropped)
	}
}

// lift ends the dropping, until there is a flood again.
func (s *shed) lift() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.detach()
}

// detach takes the filter away. The caller holds s.mu.
func (s *shed) detach() {
	if s.networks == nil {
		return
	}
	s.countDrops()
	s.networks = nil
	_ = unix.SetsockoptInt(s.engine.public.fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
}

// drops is how many packets were dropped.
func (s *shed) drops() uint64 {
	if s == nil {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.countDrops()
	return s.dropped
}

// countDrops adds what was dropped since it was called last. The caller holds s.mu.
func (s *shed) countDrops() {
	if s.networks == nil {
		return
	}
	now := dropsOf(s.engine.public.fd)
	s.dropped += uint64(now - s.counter)
	s.counter = now
}

// dropsOf is how many packets the kernel has dropped for a socket, for whatever reason; 0 before
// Linux 4.12.
func dropsOf(fd int) uint32 {
	const dropsIndex = 8 // SK_MEMINFO_DROPS (linux/sock_diag.h), the last one
	var values [dropsIndex + 1]uint32
	size := uint32(unsafe.Sizeof(values))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET,
		unix.SO_MEMINFO, uintptr(unsafe.Pointer(&values)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return 0
	}
	return values[dropsIndex]
}
