package fleet

import (
	"errors"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/zmqauth/zmqauth"
)

// enforcer puts what holds in force in an Authenticator.
type enforcer struct {
	auth      *zmqauth.Authenticator
	only      []string // domains; nil: all that there are entries for
	domains   map[string]*domain
	suspended bool

	// What decisions look at: whether nobody new gets in, or the last proof says so by now. A process
	// that stood still decides before it has looked at the clock elsewhere.
	closed  atomic.Bool
	proof   atomic.Pointer[time.Time]
	isStale func(proof time.Time) bool
}

// domain is one that the fleet decides about.
type domain struct {
	credentials *zmqauth.Credentials // nil: there were addresses only
}

func newEnforcer(auth *zmqauth.Authenticator, o Options) *enforcer {
	f := &enforcer{auth: auth, only: o.Domains, domains: make(map[string]*domain)}
	f.isStale = func(proof time.Time) bool { return ageOf(proof, o.Clock(), o.MaxStale) == stale }
	f.closed.Store(true)
	f.proof.Store(new(time.Time))
	return f
}

// refuses tells decisions whether nobody new gets in.
func (f *enforcer) refuses() bool { return f.closed.Load() || f.isStale(*f.proof.Load()) }

// begin closes the domains that are known from the beginning: nobody is let in before the fleet
// says so.
func (f *enforcer) begin() error {
	for _, name := range f.only {
		if err := f.configure(name); err != nil {
			return err
		}
	}
	return nil
}

// put puts changes in force, those of each domain in one step. The errors are those of entries,
// whose clients are refused, and of the Authenticator.
func (f *enforcer) put(changes []change) error {
	var faults []error
	counts := make(map[string]int) // of clients, by domain, as it stands in keys
	for _, c := range changes {
		if c.kind.isClient() {
			counts[c.domain()]++
		} else if c.kind == KindAddresses {
			faults = append(faults, f.putAddresses(c))
		}
	}
	clients := make(map[string][]change, len(counts))
	for _, c := range changes {
		if name := c.domain(); c.kind.isClient() {
			known := clients[name]
			clients[name] = append(slices.Grow(known, counts[name]-len(known)), c)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(clients)) {
		faults = append(faults, f.putClients(clients[name])...)
	}
	return errors.Join(faults...)
}

// decides tells whether the fleet decides about a domain here.
func (f *enforcer) decides(domain string) bool {
	return f.only == nil || slices.Contains(f.only, domain)
}

// putClients puts changes of clients of one domain in force.
func (f *enforcer) putClients(changes []change) (faults []error) {
	one, err := parseKey(changes[0].key)
	if err == nil && !f.decides(one.Domain) {
		return nil
	}
	if err == nil {
		err = f.configure(one.Domain)
	}
	if err != nil {
		return []error{err}
	}
	err = f.domains[one.Domain].credentials.Update(func(set *zmqauth.Credentials) error {
		faults = putAll(changes, set)
		return nil
	})
	return append(faults, err)
}

// putAll puts the standing of clients into credentials. The values are read on all processors, some
// at a time, and in the same memory: an entry is many times larger than what is kept of it.
func putAll(changes []change, set *zmqauth.Credentials) (faults []error) {
	const atOnce = 1024
	type read struct {
		entry    Entry
		err      error
		metadata map[string]string
	}
	all := make([]read, min(len(changes), atOnce))
	for part := range slices.Chunk(changes, atOnce) {
		inParallel(len(part), func(i int) {
			r := &all[i]
			if r.metadata == nil {
				r.metadata = make(map[string]string)
			}
			r.entry, r.err = part[i].entryInto(r.metadata)
		})
		for i, c := range part {
			e, err := all[i].entry, all[i].err
			if err == nil {
				err = putInto(set, e, c.now)
			}
			if err != nil {
				_ = putInto(set, e, out)
				faults = append(faults, entryError(c.key, err))
			}
		}
	}
	return faults
}

// putInto puts the standing of a client into credentials. To take one away never fails.
func putInto(set *zmqauth.Credentials, e Entry, now standing) error {
	known := zmqauth.Entry{Identity: zmqauth.Identity{UserID: e.UserID, Metadata: e.Metadata},
		NotBefore: e.NotBefore, NotAfter: e.NotAfter, Suspended: now == suspended}
	switch isIn := now != out; {
	case e.Kind == KindKey && isIn:
		return set.SetKey(e.PublicKey, known)
	case e.Kind == KindKey:
		set.DeleteKey(e.PublicKey)
	case e.Kind == KindUser && isIn:
		return set.SetUser(e.Name, string(e.Hash), known)
	case e.Kind == KindUser:
		set.DeleteUser(e.Name)
	case e.Kind == KindPrincipal && isIn:
		return set.SetPrincipal(e.Name, known)
	case e.Kind == KindPrincipal:
		set.DeletePrincipal(e.Name)
	}
	return nil
}

func (f *enforcer) putAddresses(c change) error {
	e, err := c.entry()
	if err != nil || !f.decides(e.Domain) {
		return err
	}
	if err := f.know(e.Domain); err != nil {
		return err
	}
	if e.List == Deny {
		return f.auth.SetDenied(e.Domain, e.Addresses...)
	}
	return f.auth.SetAllowed(e.Domain, e.Addresses...)
}

// know makes a domain one of the fleet's, if it is not yet.
func (f *enforcer) know(name string) error {
	if f.domains[name] != nil {
		return nil
	}
	if err := f.auth.SuspendWhile(name, f.refuses); err != nil {
		return err
	}
	f.domains[name] = new(domain)
	return nil
}

// configure has a domain's clients decided on by the fleet alone. They stay so: nobody is in it
// where no entry is left.
func (f *enforcer) configure(name string) error {
	if err := f.know(name); err != nil {
		return err
	}
	d := f.domains[name]
	if d.credentials != nil {
		return nil
	}
	credentials := new(zmqauth.Credentials)
	if err := f.auth.ConfigureCredentials(name, credentials); err != nil {
		return err
	}
	d.credentials = credentials
	return nil
}

// suspend has new clients of all domains told to try again, or ends that.
func (f *enforcer) suspend(on bool) error {
	f.suspended = on
	f.closed.Store(on)
	var faults []error
	for name := range f.domains { // which tells whether the Authenticator is there
		faults = append(faults, f.auth.SuspendWhile(name, f.refuses))
	}
	return errors.Join(faults...)
}

// count is how many clients there are in force.
func (f *enforcer) count() (keys, users, principals int) {
	for _, d := range f.domains {
		if d.credentials != nil {
			k, u, p := d.credentials.Len()
			keys, users, principals = keys+k, users+u, principals+p
		}
	}
	return keys, users, principals
}
