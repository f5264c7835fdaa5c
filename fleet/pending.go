package fleet

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zmqauth/zmqauth"
)

// Pending is a client whose key nobody knows and who asks to be let in. The handshake has proved
// that he has the key.
type Pending struct {
	Domain   string            `json:"domain"`
	Key      zmqauth.PublicKey `json:"key"`
	Address  string            `json:"address"` // of the last attempt
	Attempts int               `json:"attempts"`
	First    time.Time         `json:"first"`
	Last     time.Time         `json:"last"`
	Server   string            `json:"server,omitempty"` // that he asked
}

// Fingerprint is the SHA-256 of a key in base64 without padding, after "SHA256:", as ssh-keygen
// writes it. The client's owner reads it out, and the administrator compares.
func Fingerprint(key zmqauth.PublicKey) string {
	sum := sha256.Sum256(key[:])
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}

// Fingerprint is that of the key.
func (p Pending) Fingerprint() string { return Fingerprint(p.Key) }

// Grant is the entry that lets the client in. It needs By, Why, At and a revision, and is to be
// signed.
func (p Pending) Grant(userID string, metadata map[string]string) Entry {
	return Entry{Kind: KindKey, Domain: p.Domain, PublicKey: p.Key, State: Granted, UserID: userID,
		Metadata: metadata}
}

// PendingStore is a store for pending keys. Its methods may be called by many goroutines.
type PendingStore interface {
	// ReportPending puts the pending keys of a server in place of those before.
	ReportPending(ctx context.Context, server string, list []Pending) error
	// Pending are those of all servers.
	Pending(ctx context.Context) ([]Pending, error)
}

// PendingLimits bound a PendingList. The zero value has the defaults.
type PendingLimits struct {
	Max        int           // keys in all; 0: 1000, the most
	PerAddress int           // keys that one address (IPv6: one /64) asks with; 0: 8
	Expire     time.Duration // after the last attempt; 0: 1 h
}

// MaxPending is how many pending keys a server reports at most.
const MaxPending = 1000

// PendingList is a bounded list of pending keys. Whoever is one too many is not taken: strangers
// push nobody out. Any goroutine may call its methods. Use NewPendingList.
type PendingList struct {
	limits PendingLimits

	mu   sync.Mutex
	keys map[pendingKey]*Pending
}

type pendingKey struct {
	domain string
	key    zmqauth.PublicKey
}

// NewPendingList is an empty list.
func NewPendingList(l PendingLimits) *PendingList {
	if l.Max <= 0 || l.Max > MaxPending {
		l.Max = MaxPending
	}
	if l.PerAddress <= 0 {
		l.PerAddress = 8
	}
	if l.Expire <= 0 {
		l.Expire = time.Hour
	}
	return &PendingList{limits: l, keys: make(map[pendingKey]*Pending)}
}

// Add notes an attempt. isNew says that the key was not in the list. ok is false if there is no
// room for it.
func (l *PendingList) Add(domain string, key zmqauth.PublicKey, address string, now time.Time) (
	isNew, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expire(now)
	at := pendingKey{domain, key}
	address = cleanText(address)
	if p := l.keys[at]; p != nil {
		p.Attempts, p.Last, p.Address = p.Attempts+1, wall(now), address
		return false, true
	}
	same, from := 0, network(address)
	for _, p := range l.keys {
		if network(p.Address) == from {
			same++
		}
	}
	if len(l.keys) >= l.limits.Max || same >= l.limits.PerAddress || checkDomain(domain) != nil {
		return true, false
	}
	l.keys[at] = &Pending{Domain: domain, Key: key, Address: address, Attempts: 1, First: wall(now),
		Last: wall(now)}
	return true, true
}

// Remove takes a key out of the list.
func (l *PendingList) Remove(domain string, key zmqauth.PublicKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.keys, pendingKey{domain, key})
}

// List is what is pending, the latest first.
func (l *PendingList) List(now time.Time) []Pending {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expire(now)
	list := make([]Pending, 0, len(l.keys))
	for _, p := range l.keys {
		list = append(list, *p)
	}
	slices.SortFunc(list, func(a, b Pending) int {
		return cmp.Or(b.Last.Compare(a.Last), cmp.Compare(a.Domain, b.Domain),
			slices.Compare(a.Key[:], b.Key[:]))
	})
	return list
}

func (l *PendingList) expire(now time.Time) {
	for at, p := range l.keys {
		if now.Sub(p.Last) >= l.limits.Expire {
			delete(l.keys, at)
		}
	}
}

// CheckPending is for stores: it tells whether ReportPending may take a list.
func CheckPending(server string, list []Pending) error {
	if err := checkToken("server", server); err != nil {
		return err
	}
	if len(list) > MaxPending {
		return errors.New("fleet: too many pending keys")
	}
	for _, p := range list {
		if err := checkDomain(p.Domain); err != nil {
			return err
		}
		if p.Address != cleanText(p.Address) || p.Key == (zmqauth.PublicKey{}) {
			return errors.New("fleet: a pending key without a key, or with a broken address")
		}
	}
	return nil
}

// network is what counts as one client: an IPv4 address, an IPv6 /64, a user of the machine.
func network(address string) string {
	if ip, err := netip.ParseAddr(address); err == nil {
		if ip = ip.Unmap(); ip.Is6() {
			prefix, _ := ip.WithZone("").Prefix(64) // 64 bits fit
			return prefix.String()
		}
		return ip.String()
	}
	if parts := strings.Split(address, ":"); len(parts) > 2 {
		return strings.Join(parts[:2], ":") // localhost:uid:gid:pid
	}
	return address
}
