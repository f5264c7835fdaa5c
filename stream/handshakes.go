package stream

import (
	"cmp"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"time"
)

var (
	errTimeout = errors.New("the handshake took too long")
	errEvicted = errors.New("closed in favour of a newer client, as too many handshakes went on")
)

// A handshake cannot be evicted during the first part of HandshakeTimeout.
const (
	// silentShare is the divisor for a client that has sent nothing yet. A 200th is enough for the
	// first packet, which most protocols send as soon as they are connected.
	silentShare = 200
	// spokenShare is the divisor for a client that has sent something. If a 20th were shorter than a
	// handshake takes on a busy machine, a crowd of honest clients would evict each other for ever.
	spokenShare = 20
)

// handshakes are the handshakes in progress, by the client's network, the oldest first.
type handshakes struct {
	networks map[netip.Prefix][]*session
	count    int
}

func (h *handshakes) add(c *session) {
	if h.networks == nil {
		h.networks = make(map[netip.Prefix][]*session)
	}
	h.networks[c.network] = append(h.networks[c.network], c)
	h.count++
}

func (h *handshakes) remove(c *session) {
	rest := slices.DeleteFunc(h.networks[c.network], func(other *session) bool { return other == c })
	h.count--
	if len(rest) == 0 {
		delete(h.networks, c.network)
		return
	}
	h.networks[c.network] = rest
}

func (h *handshakes) all() []*session {
	return slices.Concat(slices.Collect(maps.Values(h.networks))...)
}

// of returns how many handshakes of an address are in progress.
func (h *handshakes) of(network netip.Prefix) int { return len(h.networks[network]) }

// victim returns the handshake to evict for a newcomer of an address. Addresses with more
// handshakes come first. Within one address, it is the oldest silent client whose protection is
// over, or else the oldest client.
//
// Clients that have sent something are protected from newcomers, but only as long as silent ones
// are if their address will still have as many handshakes as the newcomer's. In the addresses with
// fewer handshakes than the largest, a silent client is protected as long as one that has sent
// something, and one that has is protected from the larger crowds for the whole timeout: a crowd
// evicts its own. If every handshake is protected, victim returns nil and the time after which
// there may be one.
func (h *handshakes) victim(
	newcomer netip.Prefix, now time.Time, timeout time.Duration,
) (c *session, wait time.Duration) {
	silent, spoken := timeout/silentShare, timeout/spokenShare
	crowds := slices.SortedFunc(maps.Values(h.networks), func(a, b []*session) int {
		return cmp.Or(cmp.Compare(len(b), len(a)), a[0].begun.Compare(b[0].begun))
	})
	wait = spoken
	for _, crowd := range crowds {
		quietly, aloud := silent, spoken // how long either is protected
		if len(crowd) < len(crowds[0]) {
			quietly = spoken
		}
		if len(crowd) >= h.of(newcomer)+2 {
			quietly, aloud = silent, silent
		} else if len(crowd) < h.of(newcomer) {
			aloud = timeout
		}
		for _, c := range crowd {
			wait = min(wait, aloud-now.Sub(c.begun))
			if age := now.Sub(c.accepted); age < quietly {
				wait = min(wait, quietly-age)
			} else if !c.hasSpoken() {
				return c, 0
			}
		}
		if oldest := crowd[0]; now.Sub(oldest.begun) >= aloud {
			return oldest, 0
		}
	}
	return nil, wait
}
