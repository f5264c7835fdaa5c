package zmqauth

import (
	"fmt"

	"github.com/zmqauth/zmqauth/internal/acl"
)

// Allow adds addresses to the general allow list: only what it names passes. Entries are IPv4 and
// IPv6 addresses, networks in CIDR notation, and for IPC peers "ipc" (all of them), "uid:N",
// "gid:N" and "pid:N"; ::ffff:a.b.c.d is a.b.c.d. Passing it replaces no credential. A bad entry,
// or a scope that has denied addresses, is an error that changes nothing. Without any entry the
// list names nobody.
func (a *Authenticator) Allow(addresses ...string) error {
	return a.addAddresses(acl.Allow, AnyDomain, addresses)
}

// Deny adds addresses to the general deny list: all but what it names pass. For entries and errors
// see [Allow].
//
// [Allow]: Authenticator.Allow
func (a *Authenticator) Deny(addresses ...string) error {
	return a.addAddresses(acl.Deny, AnyDomain, addresses)
}

// AllowDomain is Allow for the requests of one domain. They must pass the general rules besides.
func (a *Authenticator) AllowDomain(domain string, addresses ...string) error {
	return a.addAddresses(acl.Allow, domain, addresses)
}

// DenyDomain is Deny for the requests of one domain. They must pass the general rules besides.
func (a *Authenticator) DenyDomain(domain string, addresses ...string) error {
	return a.addAddresses(acl.Deny, domain, addresses)
}

// SetAllowed puts an allow list in the place of a scope's rules, of whichever kind they were, in
// one step. domain is AnyDomain for the general rules. Without addresses the list names nobody. A
// bad entry is an error that changes nothing.
func (a *Authenticator) SetAllowed(domain string, addresses ...string) error {
	return a.changeAddresses(domain, func(rules *acl.Rules) error {
		return rules.Set(acl.Allow, domain, addresses)
	})
}

// SetDenied puts a deny list in the place of a scope's rules, of whichever kind they were, in one
// step. domain is AnyDomain for the general rules. Without addresses every address passes. A bad
// entry is an error that changes nothing.
func (a *Authenticator) SetDenied(domain string, addresses ...string) error {
	return a.changeAddresses(domain, func(rules *acl.Rules) error {
		return rules.Set(acl.Deny, domain, addresses)
	})
}

// RemoveAddresses takes addresses out of a scope's list, in one step. domain is AnyDomain for the
// general rules. An entry is taken out as it was added: a network, not a part of it. One that is
// not in the list does not matter. An allow list without its last entry names nobody; without that
// of a deny list every address passes. A bad entry is an error that changes nothing.
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

// ResetAddresses removes the address rules of all scopes: every address passes. To put others in
// their place use SetAllowed or SetDenied, which leave no moment without rules. After Close it does
// nothing.
func (a *Authenticator) ResetAddresses() {
	_ = a.change(func(next *policy) error { // ErrClosed: nobody is let in any more
		next.addresses = new(acl.Rules)
		return nil
	})
}
