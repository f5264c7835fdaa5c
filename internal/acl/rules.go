// Package acl judges where clients come from: address rules, an access control list for each scope.
//
// A scope is everything, or one domain. Its rules are a list of entries that allows or denies. The
// general rules always hold, and those of the request's domain besides.
package acl

import "fmt"

// General is, in the place of a domain's name, the scope of everything.
const General = "*"

// Rules are the rules of all scopes. The zero value has none: every address passes. They may be
// read by several goroutines while none adds to them.
type Rules struct {
	general List
	domains map[string]*List
}

// Add adds all of the entries to the scope of a domain, [General] for everything, or none of them
// and tells why. See [List.Add] for entries and errors, which name the domain.
func (r *Rules) Add(kind Kind, domain string, entries []string) error {
	if domain == General {
		return r.general.Add(kind, entries)
	}
	list := r.domains[domain]
	if list == nil {
		list = new(List)
	}
	if err := list.Add(kind, entries); err != nil {
		return fmt.Errorf("domain %q: %w", domain, err)
	}
	if r.domains == nil {
		r.domains = make(map[string]*List)
	}
	r.domains[domain] = list
	return nil
}

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
