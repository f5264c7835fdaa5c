// Package passwd has the users of PLAIN and their passwords (RFC 24): tables of them, the question
// whether a password is right, and the files that hold them.
package passwd

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/zmqauth/zmqauth/internal/passhash"
	"github.com/zmqauth/zmqauth/internal/pause"
	"github.com/zmqauth/zmqauth/internal/table"
)

// MaxName is how many bytes a user name may have: what PLAIN has room for on the wire (RFC 24).
const MaxName = 255

// Digest is a password under a key that lives in memory alone.
type Digest [sha256.Size]byte

// key is another one in each process. Nobody changes it.
var key = func() (k [32]byte) {
	_, _ = rand.Read(k[:]) // never fails
	return k
}()

// DigestOf is SHA-256 of the key and the password, of MaxPassword bytes at most. It never leaves
// memory. HMAC would stand up to the extension of a known digest, which nobody knows here, and
// costs several times as much.
func DigestOf(password []byte) Digest {
	var buffer [len(key) + passhash.MaxPassword]byte
	text := append(append(buffer[:0], key[:]...), password...)
	defer clear(text)
	return sha256.Sum256(text)
}

// User is what is kept of a user: enough to recognise the password, nothing to read it from. Value
// is whatever else is known.
type User[V any] struct {
	Value V

	hash   *passhash.Hash         // nil: the password was given in clear
	digest atomic.Pointer[Digest] // nil: the hash has not been found right yet
}

// NewUser is a user with a password, or with what [passhash.Parse] recognises as the hash of one.
func NewUser[V any](name, password string, value V) (*User[V], error) {
	switch {
	case name == "":
		return nil, errors.New("the user name is empty")
	case len(name) > MaxName:
		return nil, fmt.Errorf("a user name has at most %d bytes", MaxName)
	case strings.IndexByte(name, 0) >= 0:
		return nil, errors.New("a NUL byte in the user name")
	case password == "":
		return nil, errors.New("the password is empty")
	case len(password) > passhash.MaxPassword:
		return nil, fmt.Errorf("a password or its hash has at most %d bytes", passhash.MaxPassword)
	}
	hash, recognised, err := passhash.Parse(password)
	if err != nil {
		return nil, err
	}
	u := &User[V]{Value: value}
	if recognised {
		u.hash = hash
	} else {
		digest := DigestOf([]byte(password))
		u.digest.Store(&digest)
	}
	return u, nil
}

// Keep takes over what another one remembers of the same hash. The other may be nil.
func (u *User[V]) Keep(other *User[V]) {
	if u.SameHash(other) {
		u.digest.CompareAndSwap(nil, other.digest.Load())
	}
}

// IsRemembered tells whether the password is known, so that no hash has to be computed for it.
func (u *User[V]) IsRemembered() bool { return u.digest.Load() != nil }

// SameHash tells whether both have a hash, and that is the same. The other may be nil.
func (u *User[V]) SameHash(other *User[V]) bool {
	return u != nil && other != nil && u.hash != nil && other.hash != nil &&
		u.hash.Text() == other.hash.Text()
}

// SamePassword tells whether both have the same password, as far as that can be told: the same
// hash, or the same password in clear. The other may be nil.
func (u *User[V]) SamePassword(other *User[V]) bool {
	if u == other || u.SameHash(other) {
		return u != nil
	}
	if u == nil || other == nil || u.hash != nil || other.hash != nil {
		return false
	}
	a, b := u.digest.Load(), other.digest.Load()
	return a != nil && b != nil && subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// Table is a table of users by name, which never changes: a change makes another. The zero value is
// empty. Its cost does not grow with the table.
type Table[V any] struct {
	users table.Table[string, *User[V]]
	costs []cost // of the users' hashes, in the order of their text; never changed
}

// Is tells whether two tables are the same one, not only alike.
func (t Table[V]) Is(other Table[V]) bool { return t.users == other.users }

// cost is how many users have hashes that take the same time, and one of those hashes. It is
// computed for who is refused without one, so that the time of a refusal tells nothing about
// whether there is such a user.
type cost struct {
	text  string // passhash.Hash.Cost
	users int
	hash  *passhash.Hash
}

// None is an empty table, another one than each before.
func None[V any]() Table[V] { return NewTable(0, func(func(string, *User[V]) bool) {}) }

// NewTable is the table of some users, n of them at most. A later one of a name counts.
func NewTable[V any](n int, users iter.Seq2[string, *User[V]]) (t Table[V]) {
	t.users = t.users.WithAll(n, users)
	byCost := make(map[string]*cost)
	var pauses pause.Pauses
	for _, u := range t.users.All() {
		pauses.Step()
		if u.hash == nil {
			continue
		}
		text := u.hash.Cost()
		if byCost[text] == nil {
			byCost[text] = &cost{text: text, hash: u.hash}
		}
		byCost[text].users++
	}
	for _, text := range slices.Sorted(maps.Keys(byCost)) {
		t.costs = append(t.costs, *byCost[text])
	}
	return t
}

// TableOf is the table of users with passwords or hashes, of whom nothing else is known. broken is
// the first in the order of the names for whom [NewUser] has an error, and err that error.
func TableOf[V any](passwords map[string]string) (t Table[V], broken string, err error) {
	var nothing V
	t = NewTable(len(passwords), func(yield func(string, *User[V]) bool) {
		for name, password := range passwords {
			user, why := NewUser(name, password, nothing)
			if why != nil {
				if err == nil || name < broken {
					broken, err = name, why
				}
			} else if !yield(name, user) {
				return
			}
		}
	})
	return t, broken, err
}

// Len is how many users there are.
func (t Table[V]) Len() int { return t.users.Len() }

// Get is a user, nil where there is none of that name.
func (t Table[V]) Get(name string) *User[V] {
	u, _ := t.users.Get(name)
	return u
}

// With is the table with another user of that name, or one user more. What is remembered of the
// same hash is kept.
func (t Table[V]) With(name string, u *User[V]) Table[V] {
	before := t.Get(name)
	u.Keep(before)
	return Table[V]{t.users.With(name, u), count(count(t.costs, before, -1), u, 1)}
}

// Without is the table without the user of that name.
func (t Table[V]) Without(name string) Table[V] {
	return Table[V]{t.users.Without(name), count(t.costs, t.Get(name), -1)}
}

// Keep takes over what another table remembers of users whose hash is the same.
func (t Table[V]) Keep(other Table[V]) {
	if other.Len() == 0 {
		return
	}
	for name, u := range t.users.All() {
		u.Keep(other.Get(name))
	}
}

// count counts one user more or less. nil is none.
func count[V any](costs []cost, u *User[V], change int) []cost {
	if u == nil || u.hash == nil {
		return costs
	}
	costs = slices.Clone(costs)
	text := u.hash.Cost()
	at, found := slices.BinarySearchFunc(costs, text, func(c cost, text string) int {
		return cmp.Compare(c.text, text)
	})
	if !found {
		costs = slices.Insert(costs, at, cost{text: text, hash: u.hash})
	}
	if costs[at].users += change; costs[at].users == 0 {
		costs = slices.Delete(costs, at, at+1)
	}
	return costs
}

// noDigest equals no password's.
var noDigest Digest

// Attempt is a password that takes a hash to be judged.
type Attempt[V any] struct {
	user  *User[V] // nil: there is none with a hash
	hash  *passhash.Hash
	given Digest
}

// Check judges the password that somebody has given for a name. isRight is the one yes. user is the
// one of that name, right or not; nil: there is none. Where only a hash can tell, attempt is not
// nil, and isRight is false until that has been made. An unknown user costs what a wrong password
// does: the same digest and comparison, and the same hash.
func (t Table[V]) Check(name, password []byte) (user *User[V], isRight bool, attempt *Attempt[V]) {
	user = t.Get(string(name))
	given, want := DigestOf(password), &noDigest
	if user != nil {
		if known := user.digest.Load(); known != nil {
			want = known
		}
	}
	if subtle.ConstantTimeCompare(want[:], given[:]) == 1 && user != nil {
		return user, true, nil
	}
	if len(t.costs) == 0 {
		return user, false, nil
	}
	attempt = &Attempt[V]{hash: t.decoy(name), given: given}
	if user != nil && user.hash != nil {
		attempt.user, attempt.hash = user, user.hash
	}
	return user, false, attempt
}

// decoy picks a hash for a name, the same each time, as if the name were a user's: one that takes
// long is picked as often as users have such.
func (t Table[V]) decoy(name []byte) *passhash.Hash {
	total := 0
	for _, c := range t.costs {
		total += c.users
	}
	digest := DigestOf(name)
	pick := int(binary.BigEndian.Uint64(digest[:]) % uint64(total))
	for _, c := range t.costs {
		if pick -= c.users; pick < 0 {
			return c.hash
		}
	}
	return nil // not reached: pick is less than all users
}

// Matches computes the hash of the password, which takes long, and tells whether it is the user's.
func (a *Attempt[V]) Matches(password []byte) bool {
	return a.hash.Matches(password) && a.user != nil
}

// Remember remembers that the password was found right, for the user as it is now. It is false
// where that has another hash by now, or is nil.
func (a *Attempt[V]) Remember(now *User[V]) bool {
	if !a.user.SameHash(now) {
		return false
	}
	now.digest.Store(&a.given)
	return true
}
