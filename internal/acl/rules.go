// Package acl decides by the address of a client. It has an access control list for each scope.
//
// A scope is everything, or one domain. Its list has entries that are all allowed or all denied. A
// client must pass the general list and the list of its domain.
package acl

import "fmt"

// General takes the place of a domain's name and means the scope of everything.
const General = "*"

// Rules is the lists of all scopes. The zero value has no lists: every address passes. Several
// goroutines may read Rules as long as none adds to them.
type Rules struct {
	general List
	domains map[string]*List
}

// Add adds entries to the list of a domain, or to the general list if domain is [General]. After an
// error it has added none of them. See [List.Add] for the entries and errors. The errors name the
// domain.
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

// Pass reports whether an address (see [ParsePeer]) passes for a domain. An unreadable address
// passes only if there is no list for it.
func (r *Rules) Pass(domain, address []byte) bool {
	list := r.domains[string(domain)]
	if r.general.kind == None && list == nil {
		return true
	}
	peer, _ := ParsePeer(string(address)) // the zero Peer if the address is unreadable
	return r.general.passes(peer) && (list == nil || list.passes(peer))
}
