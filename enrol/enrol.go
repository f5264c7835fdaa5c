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
	"maps"
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

	// OnNew is told of each key that is put on the list. It must return at once, because decisions
	// wait for it, and must not call the Desk. nil: nobody is told.
	OnNew func(Request)
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
	having []int               // how many clients have so many keys
	stale  time.Time           // no key has waited for too long before that
	denied map[place]time.Time // until when
	letIn  map[place]time.Time // until when they may still be unknown
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
		denied: make(map[place]time.Time), letIn: make(map[place]time.Time),
	}
}

// Open has unknown keys of a domain wait, until a time; the zero time is for ever. The domain
// zmqauth.AnyDomain stands for those that have not been opened themselves.
func (d *Desk) Open(domain string, until time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open[domain] = until
}

// Close has unknown keys of a domain refused, also where zmqauth.AnyDomain is open. What waits
// stays on the list, and is refused when it tries.
func (d *Desk) Close(domain string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open[domain] = d.now()
}

// SetOpen puts domains, and until when they are open, in place of all that Open and Close have
// said. The zero time is for ever; one that is over means closed, as Close does.
func (d *Desk) SetOpen(domains map[string]time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open = maps.Clone(domains)
	if d.open == nil {
		d.open = make(map[string]time.Time)
	}
}

// OpenUntil tells until when a domain is open, the zero time for ever, and whether it is.
func (d *Desk) OpenUntil(domain string) (until time.Time, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.openUntil(domain, d.now())
}

func (d *Desk) openUntil(domain string, now time.Time) (until time.Time, ok bool) {
	until, ok = d.open[domain]
	if !ok {
		until, ok = d.open[zmqauth.AnyDomain]
	}
	return until, ok && (until.IsZero() || now.Before(until))
}

// UnknownKey is what zmqauth.Config.UnknownKey wants. It returns true where the domain is open and
// the key has not been denied. A key that there is no room for is not on the list, and tries again
// like the others.
func (d *Desk) UnknownKey(domain string, key zmqauth.PublicKey, address string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	now, at := d.now(), place{domain, key}
	if _, ok := d.openUntil(domain, now); !ok {
		return false
	}
	if until, ok := d.denied[at]; ok && now.Before(until) {
		return false
	}
	if until, ok := d.letIn[at]; ok && now.Before(until) {
		return true
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
	w := &waiting{Request{key, domain, address, 1, now, now}, client}
	d.wait[at] = w
	if d.options.OnNew != nil {
		d.options.OnNew(w.Request)
	}
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

// Find is the request with this fingerprint among some, or with one that begins so: with 16
// characters after "SHA256:" at least. "SHA256:" may be left out. domain is that of the request;
// "": whichever it is. The error matches ErrUnknown or ErrAmbiguous, or says that the fingerprint
// is too short.
func Find(all []Request, fingerprint, domain string) (i int, err error) {
	digest := strings.TrimPrefix(fingerprint, fingerprintName)
	if len(digest) < minFingerprint {
		return -1, fmt.Errorf("fingerprint %q: at least %d characters are needed", fingerprint,
			minFingerprint)
	}
	found := -1
	for i, r := range all {
		if domain != "" && r.Domain != domain ||
			!strings.HasPrefix(r.Fingerprint(), fingerprintName+digest) {
			continue
		}
		if found >= 0 {
			return -1, fmt.Errorf("fingerprint %q: %w", fingerprint, ErrAmbiguous)
		}
		found = i
	}
	if found < 0 {
		return -1, fmt.Errorf("fingerprint %q: %w", fingerprint, ErrUnknown)
	}
	return found, nil
}

// Find is the key that waits with this fingerprint: see [Find].
func (d *Desk) Find(fingerprint, domain string) (Request, error) {
	all := d.Pending()
	i, err := Find(all, fingerprint, domain)
	if err != nil {
		return Request{}, err
	}
	return all[i], nil
}

// settleTime is how long a key that has been let in may still be unknown: a directory is read, or a
// fleet is told, a moment later.
const settleTime = time.Minute

// Remove takes a key off the list, for one because it has been let in. It does not come back within
// a minute: until its certificate is known, its client is told to try again.
func (d *Desk) Remove(r Request) { d.decide(r, d.letIn, settleTime) }

// Deny takes a key off the list, and has it refused for as long as a key waits. It tells the client
// so the next time that it tries.
func (d *Desk) Deny(r Request) { d.decide(r, d.denied, d.options.Expiry) }

// decide takes a key off the list, and remembers for some time what was decided.
func (d *Desk) decide(r Request, decided map[place]time.Time, hold time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now, at := d.now(), place{r.Domain, r.Key}
	if w := d.wait[at]; w != nil {
		d.remove(w)
	}
	if len(decided) >= d.options.Max {
		forgetOne(decided, now)
	}
	decided[at] = now.Add(hold)
}

// forgetOne forgets the decisions that hold no more, and at least the oldest one.
func forgetOne(decided map[place]time.Time, now time.Time) {
	before := len(decided)
	var oldest place
	for at, until := range decided {
		if !now.Before(until) {
			delete(decided, at)
		} else if end, ok := decided[oldest]; !ok || until.Before(end) {
			oldest = at
		}
	}
	if len(decided) == before {
		delete(decided, oldest)
	}
}
