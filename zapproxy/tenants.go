package zapproxy

import (
	"slices"
	"strconv"
	"sync"

	"github.com/zmqauth/zmqauth/internal/admission"
)

// tenant is a user, or a key, with all its links. What it may have at once is limited, so that one
// program cannot take the place of the others.
type tenant struct {
	mu   sync.Mutex
	open int // questions
}

// begin opens a question. It returns false where too many are open.
func (t *tenant) begin() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open >= maxOpen {
		return false
	}
	t.open++
	return true
}

func (t *tenant) done() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open--
}

// tenants are all links of a server. The zero value has none.
type tenants struct {
	mu     sync.Mutex
	links  map[*link]string // the name of its tenant
	byName map[string]*tenancy
}

// tenancy is a tenant that has links.
type tenancy struct {
	tenant
	links int
}

// tenantOf names the tenant that a peer is: by user, by key, or, until that is known, none.
func tenantOf(p *Peer) string {
	switch {
	case p.Address == "":
		return "uid " + strconv.Itoa(p.UID)
	case p.Key != [32]byte{}:
		return "key " + string(p.Key[:])
	}
	return unproven
}

// unproven names those whose key is not known yet.
const unproven = ""

// add enters a link. It returns false where there are too many. Handshakes give way to newer ones:
// a relay makes its own faster than strangers can connect.
func (t *tenants) add(k *link) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	name := tenantOf(&k.peer)
	if owner := t.byName[name]; name == unproven && owner != nil && owner.links >= maxLinksOf {
		t.evict()
	}
	if len(t.links) >= maxLinks {
		return false
	}
	return t.enter(k, name)
}

// evict ends the oldest handshake of the address that has most of them. The caller holds mu.
func (t *tenants) evict() {
	crowds := make(map[admission.Client][]*link)
	var largest []*link
	for k, name := range t.links {
		if name != unproven {
			continue
		}
		crowd := append(crowds[k.from], k)
		crowds[k.from] = crowd
		if len(crowd) > len(largest) {
			largest = crowd
		}
	}
	oldest := slices.MinFunc(largest, func(a, b *link) int { return a.begun.Compare(b.begun) })
	t.leave(unproven)
	delete(t.links, oldest)
	oldest.cut()
}

// enter gives a link to a tenant. The caller holds mu.
func (t *tenants) enter(k *link, name string) bool {
	if t.links == nil {
		t.links, t.byName = make(map[*link]string), make(map[string]*tenancy)
	}
	owner := t.byName[name]
	if owner == nil {
		owner = &tenancy{}
		t.byName[name] = owner
	}
	if owner.links >= maxLinksOf {
		return false
	}
	owner.links++
	t.links[k], k.tenant = name, &owner.tenant
	return true
}

// move gives a link to the tenant that its peer turned out to be. It returns false where that has
// too many; the link is entered still.
func (t *tenants) move(k *link, peer Peer) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	name := tenantOf(&peer)
	before, ok := t.links[k]
	if !ok || before == name {
		return ok
	}
	if !t.enter(k, name) {
		return false
	}
	t.leave(before)
	return true
}

// leave takes a link from a tenant. The caller holds mu.
func (t *tenants) leave(name string) {
	owner := t.byName[name]
	if owner.links--; owner.links == 0 {
		delete(t.byName, name)
	}
}

func (t *tenants) remove(k *link) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if name, ok := t.links[k]; ok {
		t.leave(name)
		delete(t.links, k)
	}
}

// cut ends the links whose peers are out. out sets the program of the others.
func (t *tenants) cut(out func(*Peer) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k := range t.links {
		k.mu.Lock()
		peer := k.peer
		k.mu.Unlock()
		if tenantOf(&peer) == unproven {
			continue // its handshake asks the rules
		}
		if out(&peer) {
			k.cut()
			continue
		}
		k.mu.Lock()
		k.peer.Program = peer.Program
		k.mu.Unlock()
	}
}

// cutListener ends the links of a listener.
func (t *tenants) cutListener(l *Listener) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k := range t.links {
		if k.l == l {
			k.cut()
		}
	}
}
