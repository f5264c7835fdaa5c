// Package acl judges where clients come from: address rules, an access control list for each scope.
//
// A scope is everything, or one domain. Its rules are a list of entries that allows or denies. The
// general rules always hold, and those of the request's domain besides.
package acl

import "fmt"

// General is, in the place of a domain's name, the scope of everything.
const General = "*"

// Rules are the rules of all scopes. The zero value has none: every address passes. A change shows
// in no copy (see [Rules.Clone]), so that whoever reads one needs no lock.
type Rules struct {
	general List
	domains map[string]*List
}

// Clone is a copy. It costs as much as there are domains, however long their lists are.
func (r *Rules) Clone() *Rules {
	c := &Rules{general: r.general, domains: make(map[string]*List, len(r.domains))}
	for domain, list := range r.domains {
		copied := *list
		c.domains[domain] = &copied
	}
	return c
}

// Add adds all of the entries to the scope of a domain, [General] for everything, or none of them
// and tells why. See [List.Add] for entries and errors, which name the domain.
func (r *Rules) Add(kind Kind, domain string, entries []string) error {
	return r.change(domain, func(list *List) error { return list.Add(kind, entries) })
}

// Set puts a list of these entries in the place of a scope's. See [List.Set].
func (r *Rules) Set(kind Kind, domain string, entries []string) error {
	return r.change(domain, func(list *List) error { return list.Set(kind, entries) })
}

// Remove takes entries out of a scope's list. See [List.Remove].
func (r *Rules) Remove(domain string, entries []string) error {
	return r.change(domain, func(list *List) error { return list.Remove(entries) })
}

// Take puts the list that other rules have for a scope in the place of its own.
func (r *Rules) Take(other *Rules, domain string) {
	if domain == General {
		r.general = other.general
		return
	}
	delete(r.domains, domain)
	if list := other.domains[domain]; list != nil {
		if r.domains == nil {
			r.domains = make(map[string]*List)
		}
		r.domains[domain] = list
	}
}

func (r *Rules) change(domain string, change func(*List) error) error {
	if domain == General {
		return change(&r.general)
	}
	var list List
	if before := r.domains[domain]; before != nil {
		list = *before
	}
	if err := change(&list); err != nil {
		return fmt.Errorf("domain %q: %w", domain, err)
	}
	if r.domains == nil {
		r.domains = make(map[string]*List)
	}
	if list.kind == None {
		delete(r.domains, domain)
		return nil
	}
	r.domains[domain] = &list
	return nil
}

// HasDomain tells whether a domain has rules of its own.
func (r *Rules) HasDomain(domain []byte) bool { return r.domains[string(domain)] != nil }

// Pass judges the address of a request for a domain (see [ParsePeer]). One that cannot be read
// passes only where no rules hold.
func (r *Rules) Pass(domain, address []byte) bool {
	list := r.domains[string(domain)]
	if r.general.kind == None && list == nil {
		return true
	}
	peer, _ := ParsePeer(string(address)) // the zero Peer where it cannot be read
	return r.general.passes(peer) && (list == nil || list.passes(peer))
}
