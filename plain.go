package zmqauth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/zmqauth/zmqauth/internal/follow"
	"github.com/zmqauth/zmqauth/internal/passhash"
	"github.com/zmqauth/zmqauth/internal/zap"
)

// plainSetup decides on the PLAIN clients of a domain (RFC 24): by the table, or by the callback if
// there is one.
type plainSetup struct {
	table    *passwordTable
	callback PlainCallback
	file     *follow.File // that the table comes from, nil: it comes from elsewhere
}

// passwordTable is the users of a domain.
type passwordTable struct {
	users map[string]*passwordEntry
	// decoys are the users' hashes: one of them is computed for who is refused without one, so that
	// the time of a refusal tells nothing about whether there is such a user. Empty: no user has a
	// hash.
	decoys []*passhash.Hash
}

// passwordEntry is what is kept of a user's password: enough to recognise it, nothing to read it
// from.
type passwordEntry struct {
	hash   *passhash.Hash                 // nil: the password was given in clear
	digest atomic.Pointer[passwordDigest] // nil: the hash has not been found right yet
}

// passwordDigest is a password under a key that lives in memory alone.
type passwordDigest [sha256.Size]byte

// ConfigurePlain lets in the users of a domain with these passwords. It replaces the domain's
// table; an empty one means nobody. A value that begins with $2a$, $2b$, $2y$ (bcrypt) or
// $argon2id$ is a hash (see [HashPassword]); hashes are verified beside the loop, at most one for
// each processor at once, and a password that was found right is remembered in memory until its
// entry changes. The user id is the user name. A name or password that is empty or longer than 255
// bytes, a NUL byte in a name, or a hash that cannot be read or costs too much, is an error that
// changes nothing.
func (a *Authenticator) ConfigurePlain(domain string, passwords map[string]string) error {
	if err := checkDomain(domain); err != nil {
		return err
	}
	table := newPasswordTable()
	for _, name := range slices.Sorted(maps.Keys(passwords)) {
		if err := table.add(a, name, passwords[name]); err != nil {
			return fmt.Errorf("zmqauth: domain %q: user %.40q: %w", domain, name, err)
		}
	}
	a.configurePlain(domain, &plainSetup{table: table})
	return nil
}

// ConfigurePlainCallback has a callback decide on the users of a domain: a directory service, a
// database. It replaces what the domain had before.
func (a *Authenticator) ConfigurePlainCallback(domain string, cb PlainCallback) error {
	if err := checkDomain(domain); err != nil {
		return err
	}
	if cb == nil {
		return fmt.Errorf("zmqauth: domain %q: the callback is nil", domain)
	}
	a.configurePlain(domain, &plainSetup{callback: cb})
	return nil
}

// HashPassword makes an entry for a table or file of passwords from a password of 1 to 255 bytes:
// an argon2id hash with a new salt, in the PHC string format ($argon2id$v=19$m=19456,t=2,p=1$…).
func HashPassword(password string) (string, error) {
	hash, err := passhash.New(password)
	if err != nil {
		return "", fmt.Errorf("zmqauth: %w", err)
	}
	return hash, nil
}

// configurePlain puts a setup in force, and lets go of the file of the one before it.
func (a *Authenticator) configurePlain(domain string, setup *plainSetup) {
	if old := configure(a, &a.policy.plain, domain, setup); old != nil && old.file != nil {
		old.file.Stop()
	}
}

func newPasswordTable() *passwordTable {
	return &passwordTable{users: make(map[string]*passwordEntry)}
}

// add adds a user, or replaces one. The password may be a hash.
func (t *passwordTable) add(a *Authenticator, name, password string) error {
	switch {
	case name == "":
		return errors.New("the user name is empty")
	case len(name) > zap.MaxCredential:
		return fmt.Errorf("a user name has at most %d bytes", zap.MaxCredential)
	case strings.IndexByte(name, 0) >= 0:
		return errors.New("a NUL byte in the user name")
	case password == "":
		return errors.New("the password is empty")
	case len(password) > zap.MaxCredential:
		return fmt.Errorf("a password or its hash has at most %d bytes", zap.MaxCredential)
	}
	hash, recognised, err := passhash.Parse(password)
	if err != nil {
		return err
	}
	entry := new(passwordEntry)
	if recognised {
		entry.hash = hash
		t.decoys = append(t.decoys, hash)
	} else {
		digest := a.digest([]byte(password))
		entry.digest.Store(&digest)
	}
	t.users[name] = entry
	return nil
}

// keep takes over from an older table what was remembered of users whose hash is the same.
func (t *passwordTable) keep(old *passwordTable) {
	for name, entry := range t.users {
		if before := old.users[name]; entry.sameHash(before) {
			t.users[name] = before
		}
	}
}

func (e *passwordEntry) sameHash(other *passwordEntry) bool {
	return other != nil && e.hash != nil && other.hash != nil && e.hash.Text() == other.hash.Text()
}

// digest is SHA-256 of a secret and the password. It never leaves memory, so that HMAC, which would
// stand up to the extension of a known digest, is not needed: it costs several times as much.
func (a *Authenticator) digest(password []byte) passwordDigest {
	var buffer [len(a.passwordKey) + zap.MaxCredential]byte
	text := append(append(buffer[:0], a.passwordKey[:]...), password...)
	defer clear(text)
	return sha256.Sum256(text)
}

func (a *Authenticator) judgePlain(r *zap.Request) (verdict, *inquiry) {
	setup := setupFor(a.policy.plain, r.Domain)
	if setup == nil {
		return denied(ReasonNotConfigured), nil
	}
	if setup.callback != nil {
		return setup.askAbout(string(r.Domain), string(r.Credentials[0]), string(r.Credentials[1]))
	}
	return setup.table.judge(a, r)
}

// noDigest equals no password's.
var noDigest passwordDigest

// judge decides from memory where it can: right passwords that are known, and everybody where no
// user has a hash. An unknown user costs what a wrong password does: the same digest and
// comparison, and the same hash.
func (t *passwordTable) judge(a *Authenticator, r *zap.Request) (verdict, *inquiry) {
	name, password := r.Credentials[0], r.Credentials[1]
	entry := t.users[string(name)]
	given, want := a.digest(password), &noDigest
	if entry != nil {
		if known := entry.digest.Load(); known != nil {
			want = known
		}
	}
	if subtle.ConstantTimeCompare(want[:], given[:]) == 1 && entry != nil {
		return a.accepted(string(name), nil), nil
	}
	refusal := denied(ReasonUnknownUser)
	if entry != nil {
		refusal = denied(ReasonWrongPassword).about("user", string(name))
	}
	if len(t.decoys) == 0 {
		return refusal, nil
	}
	return verdict{}, t.verify(a, entry, r.Clone(), given, refusal)
}

// verify computes a hash beside the loop: the user's, or for whom there is none, one that costs as
// much.
func (t *passwordTable) verify(
	a *Authenticator, entry *passwordEntry, r zap.Request, given passwordDigest, refusal verdict,
) *inquiry {
	name, password := string(r.Credentials[0]), r.Credentials[1]
	hash, real := t.decoy(a, name), false
	if entry != nil && entry.hash != nil {
		hash, real = entry.hash, true
	}
	return &inquiry{
		lane: a.hashes,
		ask: func(context.Context) (*Identity, error) {
			if !hash.Matches(password) || !real {
				return nil, ErrDenied
			}
			now := a.userNow(r.Domain, name)
			if !entry.sameHash(now) {
				return nil, ErrDenied
			}
			now.digest.Store(&given)
			return &Identity{}, nil
		},
		defaultID: name,
		refusal:   &refusal,
	}
}

// userNow is a user's entry in force, nil where there is none: it may have been changed or removed
// while a hash was computed. A table that was replaced by one with the same hash lets the user in
// all the same.
func (a *Authenticator) userNow(domain []byte, name string) *passwordEntry {
	a.mu.RLock()
	defer a.mu.RUnlock()
	setup := setupFor(a.policy.plain, domain)
	if setup == nil || setup.table == nil {
		return nil
	}
	return setup.table.users[name]
}

// decoy picks the same hash for a name each time, as if the name were a user's.
func (t *passwordTable) decoy(a *Authenticator, name string) *passhash.Hash {
	digest := a.digest([]byte(name))
	return t.decoys[binary.BigEndian.Uint64(digest[:])%uint64(len(t.decoys))]
}

func (s *plainSetup) askAbout(domain, name, password string) (verdict, *inquiry) {
	if zap.CheckUserID(name) != nil { // no reader of the user id would see all of it
		return denied(ReasonMalformed), nil
	}
	return verdict{}, &inquiry{
		ask: func(ctx context.Context) (*Identity, error) {
			return s.callback(ctx, domain, name, password)
		},
		defaultID: name,
		secret:    password,
	}
}
