// Package relay knows who is behind the connections that fronts make to sockets. Each client of a
// front has a loopback address of its own there, from which the front dials. libzmq names that
// address in its ZAP request. The package has the address rules in force for the fronts, too.
package relay

import (
	"encoding/binary"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/zmqauth/zmqauth/internal/acl"
)

// The addresses that fronts dial from. The one after last is a broadcast address.
const (
	first = 127<<24 | 16<<16
	last  = 127<<24 | 0xfffffe
)

// Client is somebody behind a front.
type Client struct {
	Domain  string         // of the socket
	Address string         // the true one, as ZAP would have it
	TCP     netip.AddrPort // the same with its port; zero for IPC
	Peer    string         // of IPC: uid:gid:pid, else empty
	Port    uint16         // that the front dials from, and no other process can

	// Decided is told of the status of each reply to the client's request, Ended of the end of its
	// session. They must not block.
	Decided func(status int)
	Ended   func()
}

// Table is all clients behind fronts. The zero value is empty. Any goroutine may call its methods.
type Table struct {
	fronted atomic.Bool // a domain was opened
	rules   atomic.Pointer[acl.Rules]

	mu       sync.Mutex
	next     uint32
	clients  map[netip.Addr]*Client
	domains  map[string]bool
	watchers map[*func()]struct{}
}

// SetRules tells the fronts of the address rules in force, and returns when they all know. The
// rules must not change any more.
func (t *Table) SetRules(r *acl.Rules) {
	if t.rules.Swap(r) == r {
		return
	}
	t.mu.Lock()
	watchers := slices.Collect(maps.Keys(t.watchers))
	t.mu.Unlock()
	for _, changed := range watchers {
		(*changed)()
	}
}

// Rules are the address rules in force, as SetRules had them last; nil: none.
func (t *Table) Rules() *acl.Rules { return t.rules.Load() }

// Watch has a function called whenever the rules have changed, until stop is called. A call may
// still be under way then. The function must not block.
func (t *Table) Watch(changed func()) (stop func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.watchers == nil {
		t.watchers = make(map[*func()]struct{})
	}
	t.watchers[&changed] = struct{}{}
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.watchers, &changed)
	}
}

// Open says that a domain has a front. From then on, for ever, an address of fronts that no front
// has chosen is nobody's in that domain.
func (t *Table) Open(domain string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.domains == nil {
		t.domains = make(map[string]bool)
		t.clients = make(map[netip.Addr]*Client)
		t.next = first + rand.Uint32N(last-first)
	}
	t.domains[domain] = true
	t.fronted.Store(true)
}

// Add chooses an address for a client, of a domain that is open. Addresses take turns, so that one
// is used again as late as can be. It returns false where none is free.
func (t *Table) Add(c *Client) (netip.Addr, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for range min(len(t.clients)+1, last-first) {
		addr := address(t.next)
		if t.next++; t.next > last {
			t.next = first
		}
		if t.clients[addr] == nil {
			t.clients[addr] = c
			return addr, true
		}
	}
	return netip.Addr{}, false
}

// Remove frees an address.
func (t *Table) Remove(addr netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.clients, addr)
}

// Find returns the client behind an address, as a ZAP request has it. dialled says that the address
// is one that fronts dial from, in a domain that has one: without a client it is nobody's.
func (t *Table) Find(domain, address []byte) (c *Client, dialled bool) {
	if !t.fronted.Load() {
		return nil, false
	}
	addr, err := netip.ParseAddr(string(address))
	if addr = addr.Unmap(); err != nil || !isDialled(addr) {
		return nil, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.domains[string(domain)] {
		return nil, false
	}
	if c = t.clients[addr]; c != nil && c.Domain != string(domain) {
		c = nil
	}
	return c, true
}

func address(number uint32) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, number)))
}

func isDialled(addr netip.Addr) bool {
	if !addr.Is4() {
		return false
	}
	bytes := addr.As4()
	number := binary.BigEndian.Uint32(bytes[:])
	return number >= first && number <= last
}

// Socket is a socket behind a front.
type Socket struct {
	*Table
	Domain string
	Done   <-chan struct{} // closed when the socket is
}
