// Package enrol has clients whose CURVE key nobody knows wait until somebody has looked at them.
//
// Such a client is told to try again (status 300), and its key is put on a list: the handshake has
// proved that it holds the secret key. Who runs the server compares the fingerprint with what the
// client's owner says, and lets the key in, or not. The list is bounded, whatever strangers send.
//
//	desk := enrol.New(enrol.Options{})
//	desk.Open("orders", time.Now().Add(10*time.Minute))
//	auth, err := zmqauth.New(ctx, &zmqauth.Config{UnknownKey: desk.UnknownKey})
package enrol

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/admission"
)

// The defaults of Options.
const (
	defaultMax        = 1000
	defaultPerAddress = 8
	defaultExpiry     = 24 * time.Hour
)

// Options bound what a Desk keeps. The zero value is good for use.
type Options struct {
	// Max is how many keys wait at once, and how many denied keys are remembered. 0: 1000. In a full
	// list the address that has the most keys gives up its newest one, if the newcomer's has fewer.
	Max int

	// PerAddress is how many keys of one address wait at once. 0: 8. An address is one of IPv4, the
	// first 64 bits of one of IPv6, or the user of an IPC peer.
	PerAddress int

	// Expiry is how long a key waits after it has last tried, and how long a denial holds. 0: 24 h.
	Expiry time.Duration
}

// Request is a key that waits.
type Request struct {
	Key         zmqauth.PublicKey
	Domain      string
	Address     string    // of the last try, as ZAP has it (RFC 27)
	Tries       int       // how often it has tried to get in
	First, Last time.Time // when
}

// Fingerprint is that of its key.
func (r Request) Fingerprint() string { return Fingerprint(r.Key) }

// fingerprintName says which digest a fingerprint is of, as ssh-keygen does.
const fingerprintName = "SHA256:"

// Fingerprint is the SHA-256 digest of a key's 32 bytes, in the form that ssh-keygen has:
// "SHA256:" and 43 characters of unpadded base64.
func Fingerprint(key zmqauth.PublicKey) string {
	digest := sha256.Sum256(key[:])
	return fingerprintName + base64.RawStdEncoding.EncodeToString(digest[:])
}

// ErrUnknown says that no key that waits has this fingerprint.
var ErrUnknown = errors.New("no such key waits")

// ErrAmbiguous says that a fingerprint stands for more than one request.
var ErrAmbiguous = errors.New("more than one key or domain has it: name the domain")

// Desk is a list of keys that wait, and of those that were denied. New makes one. Its methods may
// be called by any goroutine at any time.
type Desk struct {
	options Options
	now     func() time.Time

	mu     sync.Mutex
	open   map[string]time.Time // domains, and until when; zero: for ever
	wait   map[place]*waiting
	counts map[admission.Client]int
	having []int     // how many clients have so many keys
	stale  time.Time // no key has waited for too long before that
	denied map[place]time.Time
	missed uint64
}

// place is where a key asks to be let in.
type place struct {
	domain string
	key    zmqauth.PublicKey
}

type waiting struct {
	Request
	client admission.Client
}

// New makes a Desk that is open for no domain.
func New(o Options) *Desk {
	o.Max = cmp.Or(max(o.Max, 0), defaultMax)
	o.PerAddress = cmp.Or(max(o.PerAddress, 0), defaultPerAddress)
	o.Expiry = cmp.Or(max(o.Expiry, 0), defaultExpiry)
	return &Desk{
		options: o, now: time.Now,
		open: make(map[string]time.Time), wait: make(map[place]*waiting),
		counts: make(map[admission.Client]int), having: make([]int, o.PerAddress+1),
		denied: make(map[place]time.Time),
	}
}

// Open has unknown keys of a domain wait, until a time; the zero time is for ever. The domain
// zmqauth.AnyDomain stands for those that have not been opened themselves.
func (d *Desk) Open(domain string, until time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open[domain] = until
}

// Close has unknown keys of a domain refused, as if it had never been opened. What waits goes on to
// wait until it is looked at, and is refused when it tries.
func (d *Desk) Close(domain string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.open, domain)
}

// IsOpen tells whether unknown keys of a domain wait now.
func (d *Desk) IsOpen(domain string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.isOpen(domain, d.now())
}

func (d *Desk) isOpen(domain string, now time.Time) bool {
	until, ok := d.open[domain]
	if !ok {
		until, ok = d.open[zmqauth.AnyDomain]
	}
	return ok && (until.IsZero() || now.Before(until))
}

// UnknownKey is what zmqauth.Config.UnknownKey wants. It returns true where the domain is open and
// the key has not been denied. A key that there is no room for is not on the list, and tries again
// like the others.
func (d *Desk) UnknownKey(domain string, key zmqauth.PublicKey, address string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	now, at := d.now(), place{domain, key}
	if !d.isOpen(domain, now) {
		return false
	}
	if until, ok := d.denied[at]; ok && now.Before(until) {
		return false
	}
	if w := d.wait[at]; w != nil {
		w.Tries++
		w.Last, w.Address = now, address
		return true
	}
	client := admission.ClientOf(address)
	if !d.makeRoom(client, now) {
		d.missed++
		return true
	}
	d.count(client, 1)
	d.wait[at] = &waiting{Request{key, domain, address, 1, now, now}, client}
	return true
}

// count counts one key more or less of a client.
func (d *Desk) count(client admission.Client, change int) {
	before := d.counts[client]
	after := before + change
	d.having[before]--
	d.having[after]++
	d.counts[client] = after
	if after == 0 {
		delete(d.counts, client)
	}
}

// most is how many keys that client has that has the most.
func (d *Desk) most() int {
	n := len(d.having) - 1
	for n > 0 && d.having[n] == 0 {
		n--
	}
	return n
}

// makeRoom makes room for one more key of a client, if it may have one.
func (d *Desk) makeRoom(client admission.Client, now time.Time) bool {
	if d.counts[client] < d.options.PerAddress && len(d.wait) < d.options.Max {
		return true
	}
	d.forget(now)
	if d.counts[client] >= d.options.PerAddress {
		return false
	}
	if len(d.wait) < d.options.Max {
		return true
	}
	most := d.most()
	if most < d.counts[client]+2 {
		return false
	}
	var newest *waiting
	for _, w := range d.wait {
		if d.counts[w.client] == most && (newest == nil || w.First.After(newest.First)) {
			newest = w
		}
	}
	d.remove(newest)
	d.missed++
	return true
}

// forget removes what has waited for too long.
func (d *Desk) forget(now time.Time) {
	if now.Before(d.stale) {
		return
	}
	d.stale = now.Add(d.options.Expiry)
	for _, w := range d.wait {
		end := w.Last.Add(d.options.Expiry)
		if !now.Before(end) {
			d.remove(w)
		} else if end.Before(d.stale) {
			d.stale = end
		}
	}
}

func (d *Desk) remove(w *waiting) {
	delete(d.wait, place{w.Domain, w.Key})
	d.count(w.client, -1)
}

// Pending are the keys that wait, in the order in which they came.
func (d *Desk) Pending() []Request {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forget(d.now())
	all := make([]Request, 0, len(d.wait))
	for _, w := range d.wait {
		all = append(all, w.Request)
	}
	slices.SortFunc(all, func(a, b Request) int {
		return cmp.Or(a.First.Compare(b.First), strings.Compare(a.Domain, b.Domain),
			strings.Compare(string(a.Key[:]), string(b.Key[:])))
	})
	return all
}

// Missed is how often a key was not put on the list, or was taken off it, for want of room.
func (d *Desk) Missed() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.missed
}

// minFingerprint is how many characters of a fingerprint's base64 stand for the whole: 96 bits,
// which nobody can find another key for.
const minFingerprint = 16

// Find is the key that waits with this fingerprint, or with one that begins so: 16 characters after
// "SHA256:" at least. "SHA256:" may be left out. domain is that of the request; "": whichever it
// is. The error matches ErrUnknown or ErrAmbiguous, or says that the fingerprint is too short.
func (d *Desk) Find(fingerprint, domain string) (Request, error) {
	digest := strings.TrimPrefix(fingerprint, fingerprintName)
	if len(digest) < minFingerprint {
		return Request{}, fmt.Errorf("fingerprint %q: at least %d characters are needed",
			fingerprint, minFingerprint)
	}
	var found []Request
	for _, r := range d.Pending() {
		if (domain == "" || r.Domain == domain) &&
			strings.HasPrefix(r.Fingerprint(), fingerprintName+digest) {
			found = append(found, r)
		}
	}
	switch len(found) {
	case 0:
		return Request{}, fmt.Errorf("fingerprint %q: %w", fingerprint, ErrUnknown)
	case 1:
		return found[0], nil
	default:
		return Request{}, fmt.Errorf("fingerprint %q: %w", fingerprint, ErrAmbiguous)
	}
}

// Remove takes a key off the list, for one because it has been let in.
func (d *Desk) Remove(r Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if w := d.wait[place{r.Domain, r.Key}]; w != nil {
		d.remove(w)
	}
}

// Deny takes a key off the list, and has it refused for as long as a key waits. It tells the client
// so the next time that it tries.
func (d *Desk) Deny(r Request) {
	d.Remove(r)
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	if len(d.denied) >= d.options.Max {
		d.forgetDenials(now)
	}
	d.denied[place{r.Domain, r.Key}] = now.Add(d.options.Expiry)
}

// forgetDenials makes room for one more denial.
func (d *Desk) forgetDenials(now time.Time) {
	var oldest place
	for at, until := range d.denied {
		if !now.Before(until) {
			delete(d.denied, at)
		} else if end, ok := d.denied[oldest]; !ok || until.Before(end) {
			oldest = at
		}
	}
	if len(d.denied) >= d.options.Max {
		delete(d.denied, oldest)
	}
}
