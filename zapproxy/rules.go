package zapproxy

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/zmqauth/zmqauth"
)

// Rules say who may ask what. A [Server] copies them.
type Rules struct {
	// Programs may ask, and nobody else. nil: over a Unix socket, whoever can connect may ask for
	// every domain; over TCP nobody may. Empty: nobody may at all.
	Programs []Program

	// Grace is how long relays let a client in without the service, from its last acceptance by the
	// service on, by domain; [zmqauth.AnyDomain] is for those that are not named. Without an entry,
	// or with 0, they do not. Only relays of this package do so. At most MaxGrace.
	Grace map[string]time.Duration
}

// MaxGrace is the longest time that Rules.Grace may have.
const MaxGrace = time.Hour

// Program is one that may ask. It is known by any of its users, groups and keys; one without any of
// them is nobody.
type Program struct {
	Name   string
	Users  []int               // ids of its processes' users
	Groups []int               // the same for groups, supplementary ones included
	Keys   []zmqauth.PublicKey // of its relays that come by TCP

	// Domains are those that it may ask for; [zmqauth.AnyDomain] is every one. None: no domain.
	Domains []string
}

// is tells whether a peer is the program.
func (p *Program) is(peer *Peer) bool {
	if peer.Address != "" {
		return slices.Contains(p.Keys, peer.Key)
	}
	return slices.Contains(p.Users, peer.UID) || slices.ContainsFunc(p.Groups, peer.in)
}

// clone is a deep copy; nil stays nil.
func (r *Rules) clone() *Rules {
	c := &Rules{Grace: maps.Clone(r.Grace), Programs: slices.Clone(r.Programs)}
	for i := range c.Programs {
		p := &c.Programs[i]
		p.Users, p.Groups = slices.Clone(p.Users), slices.Clone(p.Groups)
		p.Keys, p.Domains = slices.Clone(p.Keys), slices.Clone(p.Domains)
	}
	return c
}

func (r *Rules) check() error {
	for domain, grace := range r.Grace {
		if grace < 0 || grace > MaxGrace {
			return fmt.Errorf("zmqauth: grace of the domain %q: %v, want 0 to %v", domain, grace, MaxGrace)
		}
	}
	for _, p := range r.Programs {
		if slices.Contains(p.Keys, zmqauth.PublicKey{}) {
			return fmt.Errorf("zmqauth: the program %q has an empty key", p.Name)
		}
	}
	return nil
}

// admits finds the program that a peer is. ok tells whether the peer may ask at all.
func (r *Rules) admits(peer *Peer) (name string, ok bool) {
	if r.Programs == nil {
		return "", peer.Address == ""
	}
	at := slices.IndexFunc(r.Programs, func(p Program) bool { return p.is(peer) })
	if at < 0 {
		return "", false
	}
	return r.Programs[at].Name, true
}

// serves tells whether a peer may ask for a domain.
func (r *Rules) serves(peer *Peer, domain string) bool {
	if r.Programs == nil {
		return peer.Address == ""
	}
	return slices.ContainsFunc(r.Programs, func(p Program) bool {
		return p.is(peer) && (slices.Contains(p.Domains, domain) ||
			slices.Contains(p.Domains, zmqauth.AnyDomain))
	})
}

// grace is how long relays let a client of a domain in without the service.
func (r *Rules) grace(domain string) time.Duration {
	if grace, ok := r.Grace[domain]; ok {
		return grace
	}
	return r.Grace[zmqauth.AnyDomain]
}
