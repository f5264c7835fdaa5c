package zmqauth

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zmqauth/zmqauth/internal/keyset"
	"github.com/zmqauth/zmqauth/internal/passwd"
	"github.com/zmqauth/zmqauth/internal/principal"
	"github.com/zmqauth/zmqauth/internal/table"
	"github.com/zmqauth/zmqauth/internal/zap"
)

// Credentials is a set of keys, users and principals that a program changes while it is in force:
// in any number of domains and Authenticators at once, by [Authenticator.ConfigureCredentials]. The
// zero value is empty: nobody. It must not be copied. All methods may be called by any goroutine at
// any time. A change costs the same however many there are, no decision waits for it, and it holds
// for every request received after the call has returned.
type Credentials struct {
	changing sync.Mutex // held while a new set is made of the one in force
	now      atomic.Pointer[credentialSet]
	isDraft  bool // of Update
}

// Entry is what is known of a key, a user or a principal. The zero value says nothing: the user id
// is the mechanism's default, there is no metadata, and no bound of time.
type Entry struct {
	Identity            Identity
	NotBefore, NotAfter time.Time // accepted from NotBefore on and before NotAfter; zero: no bound

	// Suspended has the client told to try again (status 300) instead of let in, and ends its
	// sessions.
	Suspended bool
}

// credentialSet is what Credentials hold. It never changes, but is replaced.
type credentialSet struct {
	keys       table.Table[PublicKey, *credential]
	added      []keyEntry  // of a draft: keys that are to be put into keys, all at once
	bulk       *keyset.Set // further keys, of which nothing else is known
	users      passwd.Table[*credential]
	principals table.Table[string, *credential] // patterns, too
}

type keyEntry struct {
	key   PublicKey
	known *credential
}

var noCredentials credentialSet

// set is what is in force.
func (c *Credentials) set() *credentialSet {
	set := c.now.Load()
	switch {
	case set == nil:
		return &noCredentials
	case set.added != nil:
		return set.settled()
	}
	return set
}

// settled is the set with the added keys in their place.
func (s *credentialSet) settled() *credentialSet {
	settled := *s
	settled.added = nil
	settled.keys = s.keys.WithAll(len(s.added), func(yield func(PublicKey, *credential) bool) {
		for _, e := range s.added {
			if !yield(e.key, e.known) {
				return
			}
		}
	})
	return &settled
}

// credential is an Entry as decisions use it. nil is the zero Entry.
type credential struct {
	userID              string // "": the mechanism's default
	metadata            []byte // encoded
	complete            bool   // metadata has Config.Properties, too
	notBefore, notAfter time.Time
	suspended           bool
}

func newCredential(e Entry) (*credential, error) {
	if err := errors.Join(zap.CheckUserID(e.Identity.UserID),
		zap.CheckMetadata(e.Identity.Metadata)); err != nil {
		return nil, err
	}
	// Dates go by the clock, not by the monotonic one, which stands still while the system sleeps.
	e.NotBefore, e.NotAfter = e.NotBefore.Round(0), e.NotAfter.Round(0)
	if !e.NotAfter.IsZero() && !e.NotAfter.After(e.NotBefore) {
		return nil, errors.New("NotAfter is not later than NotBefore")
	}
	if e.Identity.UserID == "" && len(e.Identity.Metadata) == 0 && e.NotBefore.IsZero() &&
		e.NotAfter.IsZero() && !e.Suspended {
		return nil, nil
	}
	return &credential{userID: e.Identity.UserID,
		metadata:  zap.EncodeMetadata(e.Identity.Metadata, nil),
		notBefore: e.NotBefore, notAfter: e.NotAfter, suspended: e.Suspended}, nil
}

// until returns a copy that is refused from a time on, at the latest. That ends a period, and keeps
// its monotonic reading. c may be nil.
func (c *credential) until(end time.Time) *credential {
	shorter := new(credential)
	if c != nil {
		*shorter = *c
	}
	if shorter.notAfter.IsZero() || end.Before(shorter.notAfter) {
		shorter.notAfter = end
	}
	return shorter
}

// refusal is the verdict that keeps the client of c out now, if anything does. late and early are
// the mechanism's reasons. c may be nil.
func (c *credential) refusal(late, early string) (v verdict, refused bool) {
	switch {
	case c == nil:
		return v, false
	case c.suspended:
		return temporary(ReasonSuspended), true
	case c.notBefore.IsZero() && c.notAfter.IsZero():
		return v, false // to ask the clock takes longer than all the rest
	}
	reason := c.refusalAt(time.Now(), late, early)
	return denied(reason), reason != ""
}

// validUntil tells whether nothing is in the way now, and until when (zero: for ever). c may be
// nil.
func (c *credential) validUntil(now time.Time) (until time.Time, ok bool) {
	if c == nil {
		return time.Time{}, true
	}
	return c.notAfter, !c.suspended && c.refusalAt(now, "late", "early") == ""
}

// refusalAt is the reason for a refusal at that time; "": there is none. late and early are the
// mechanism's reasons.
func (c *credential) refusalAt(now time.Time, late, early string) string {
	switch {
	case !c.notAfter.IsZero() && !now.Before(c.notAfter):
		return late
	case now.Before(c.notBefore):
		return early
	}
	return ""
}

// SetKey lets the owner of a CURVE key in, or changes what is known of it. The zero key, metadata
// or a user id that libzmq cannot carry, and a NotAfter that is not later than NotBefore are errors
// that change nothing.
func (c *Credentials) SetKey(key PublicKey, e Entry) error {
	known, err := newCredential(e)
	if key == (PublicKey{}) {
		err = errors.New("the key is zero")
	}
	if err != nil {
		return fmt.Errorf("zmqauth: key %s: %w", key, err)
	}
	return c.change(func(next *credentialSet) error {
		if c.isDraft {
			next.added = append(next.added, keyEntry{key, known})
		} else {
			next.keys = next.keys.With(key, known)
		}
		return nil
	})
}

// SetUser lets a user in with a password, or with what is recognised as the hash of one, or changes
// what is known of the user (see [Authenticator.ConfigurePlain] for both). The errors are those of
// ConfigurePlain and of SetKey; they change nothing. A password that was found right stays
// remembered where the hash is the same as before.
func (c *Credentials) SetUser(name, passwordOrHash string, e Entry) error {
	known, err := newCredential(e)
	if err != nil {
		return fmt.Errorf("zmqauth: user %.40q: %w", name, err)
	}
	user, err := passwd.NewUser(name, passwordOrHash, known)
	if err != nil {
		return fmt.Errorf("zmqauth: user %.40q: %w", name, err)
	}
	return c.change(func(next *credentialSet) error {
		next.users = next.users.With(name, user)
		return nil
	})
}

// SetPrincipal lets a Kerberos principal in, or all that a pattern names, or changes what is known
// of them (see [Authenticator.ConfigureGSSAPI]; [GSSAPIAllowAny] is none). Where several hold for a
// principal, the one with the fewest wildcards counts. The errors are those of ConfigureGSSAPI and
// of SetKey; they change nothing.
func (c *Credentials) SetPrincipal(pattern string, e Entry) error {
	known, err := newCredential(e)
	if err == nil {
		err = principal.Check(pattern)
	} else {
		err = fmt.Errorf("principal %.100q: %w", pattern, err)
	}
	if err != nil {
		return fmt.Errorf("zmqauth: %w", err)
	}
	return c.change(func(next *credentialSet) error {
		next.principals = next.principals.With(pattern, known)
		return nil
	})
}

// DeleteKey takes a key away. It does nothing where there is none.
func (c *Credentials) DeleteKey(key PublicKey) {
	_ = c.change(func(next *credentialSet) error {
		*next = *next.settled()
		next.keys = next.keys.Without(key)
		return nil
	})
}

// DeleteUser takes a user away. It does nothing where there is none.
func (c *Credentials) DeleteUser(name string) {
	_ = c.change(func(next *credentialSet) error {
		next.users = next.users.Without(name)
		return nil
	})
}

// DeletePrincipal takes away a principal or pattern, as it was set. It does nothing where there is
// none.
func (c *Credentials) DeletePrincipal(pattern string) {
	_ = c.change(func(next *credentialSet) error {
		next.principals = next.principals.Without(pattern)
		return nil
	})
}

// Update makes many changes that come into force together. change makes them on the Credentials
// that it gets, which are its own until it returns. It must not call methods of c. If it returns an
// error, or panics, nothing is changed; Update returns the error. Other changes of c wait for
// Update; no decision does.
func (c *Credentials) Update(change func(*Credentials) error) error {
	if change == nil {
		return errors.New("zmqauth: Update: the function is nil")
	}
	return c.change(func(next *credentialSet) error {
		draft := Credentials{isDraft: true}
		draft.now.Store(new(*next))
		if err := change(&draft); err != nil {
			return err
		}
		*next = *draft.set()
		return nil
	})
}

// change puts a changed copy in force, or changes a draft. An error of edit's changes nothing.
func (c *Credentials) change(edit func(next *credentialSet) error) error {
	c.changing.Lock()
	defer c.changing.Unlock()
	next := c.now.Load()
	if !c.isDraft {
		next = new(*c.set())
	}
	if err := edit(next); err != nil {
		return err
	}
	c.now.Store(next)
	return nil
}

// Len is how many keys, users and principals (patterns, too) there are.
func (c *Credentials) Len() (keys, users, principals int) {
	set := c.set()
	return set.keys.Len() + set.bulk.Len(), set.users.Len(), set.principals.Len()
}

// String says how many there are, and nothing of what they are.
func (c *Credentials) String() string {
	keys, users, principals := c.Len()
	return fmt.Sprintf("%d keys, %d users, %d principals", keys, users, principals)
}

// ConfigureCredentials lets in the clients of a domain that are in c: keys for CURVE, users for
// PLAIN, principals for GSSAPI. It replaces what the domain had for all three. What changes in c
// later is in force at once. A later Configure method for one mechanism replaces that one alone.
// nil is an error.
func (a *Authenticator) ConfigureCredentials(domain string, c *Credentials) error {
	if err := checkDomain(domain); err != nil {
		return err
	}
	if c == nil {
		return fmt.Errorf("zmqauth: domain %q: the credentials are nil", domain)
	}
	return a.change(func(next *policy) error {
		next.plain[domain] = &plainSetup{credentials: c}
		next.curve[domain] = &curveSetup{credentials: c}
		next.gssapi[domain] = &gssapiSetup{credentials: c}
		return nil
	})
}

// metadataOf is the encoded metadata of an acceptance by c; nil: there is none. c may be nil.
func (a *Authenticator) metadataOf(c *credential) []byte {
	switch {
	case c == nil || c.metadata == nil:
		return nil // accepted puts in what Config.Properties wants
	case c.complete || len(a.metadataNames) == 0:
		return c.metadata
	}
	return zap.CompleteMetadata(c.metadata, a.metadataNames)
}

// idOf is the user id of an acceptance by c, which may be nil.
func idOf(c *credential, defaultID string) string {
	if c == nil || c.userID == "" {
		return defaultID
	}
	return c.userID
}
