package zmqauth

import (
	"fmt"

	"github.com/zmqauth/zmqauth/internal/acl"
)

// Allow adds addresses to the general allow list: only what the list names passes. Entries are IPv4
// and IPv6 addresses, networks in CIDR notation, and for IPC peers "ipc" (all of them), "uid:N",
// "gid:N" and "pid:N"; ::ffff:a.b.c.d is a.b.c.d. An address that passes still needs a credential.
// A bad entry, or a scope that has denied addresses, is an error that changes nothing. Without
// addresses Allow makes a list that names nobody, if there is no list yet.
func (a *Authenticator) Allow(addresses ...string) error {
	return a.addAddresses(acl.Allow, AnyDomain, addresses)
}

// Deny adds addresses to the general deny list: all but what the list names pass. Without addresses
// it does nothing. For entries and errors see [Allow].
//
// [Allow]: Authenticator.Allow
func (a *Authenticator) Deny(addresses ...string) error {
	return a.addAddresses(acl.Deny, AnyDomain, addresses)
}

// AllowDomain is Allow for the requests of one domain. They must pass the general rules, too.
func (a *Authenticator) AllowDomain(domain string, addresses ...string) error {
	return a.addAddresses(acl.Allow, domain, addresses)
}

// DenyDomain is Deny for the requests of one domain. They must pass the general rules, too.
func (a *Authenticator) DenyDomain(domain string, addresses ...string) error {
	return a.addAddresses(acl.Deny, domain, addresses)
}

// SetAllowed replaces the rules of a scope by an allow list, in one step, whichever kind they were.
// The scope is a domain, or AnyDomain for the general rules. Without addresses the list names
// nobody. A bad entry is an error that changes nothing.
func (a *Authenticator) SetAllowed(domain string, addresses ...string) error {
	return a.changeAddresses(domain, func(rules *acl.Rules) error {
		return rules.Set(acl.Allow, domain, addresses)
	})
}

// SetDenied replaces the rules of a scope by a deny list, in one step, whichever kind they were.
// The scope is a domain, or AnyDomain for the general rules. Without addresses every address
// passes. A bad entry is an error that changes nothing.
func (a *Authenticator) SetDenied(domain string, addresses ...string) error {
	return a.changeAddresses(domain, func(rules *acl.Rules) error {
		return rules.Set(acl.Deny, domain, addresses)
	})
}

// RemoveAddresses takes addresses out of the list of a scope, in one step. The scope is a domain,
// or AnyDomain for the general rules. An entry is taken out as it was added: a network as a whole,
// and no part of it. An entry that is not in the list does not matter. An allow list that loses its
// last entry names nobody. A deny list that loses its last entry lets every address pass. A bad
// entry is an error that changes nothing.
func (a *Authenticator) RemoveAddresses(domain string, addresses ...string) error {
	return a.changeAddresses(domain, func(rules *acl.Rules) error {
		return rules.Remove(domain, addresses)
	})
}

func (a *Authenticator) addAddresses(kind acl.Kind, domain string, addresses []string) error {
	return a.changeAddresses(domain, func(rules *acl.Rules) error {
		return rules.Add(kind, domain, addresses)
	})
}

func (a *Authenticator) changeAddresses(domain string, edit func(*acl.Rules) error) error {
	if err := checkDomain(domain); err != nil {
		return err
	}
	return a.change(func(next *policy) error {
		next.addresses = next.addresses.Clone()
		if err := edit(next.addresses); err != nil {
			return fmt.Errorf("zmqauth: %w", err)
		}
		return nil
	})
}

// ResetAddresses removes the address rules of all scopes: every address passes. SetAllowed and
// SetDenied put others in their place, and leave no moment without rules. After Close
// ResetAddresses does nothing.
func (a *Authenticator) ResetAddresses() {
	_ = a.change(func(next *policy) error { // ErrClosed: nobody is let in any more
		next.addresses = new(acl.Rules)
		return nil
	})
}
