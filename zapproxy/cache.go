package zapproxy

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"slices"
	"sync"
	"time"

	"github.com/zmqauth/zmqauth/internal/zap"
)

// tag is what marks a question and its answer: 8 random bytes of the connection, and a number. So
// an answer that was made for an earlier connection is never taken for one of this.
type tag [16]byte

// tagger makes tags. The zero value is to be renewed first.
type tagger struct {
	prefix [8]byte
	number uint64
}

func (t *tagger) renew() { _, _ = rand.Read(t.prefix[:]) } // never fails

func (t *tagger) next() (next tag) {
	t.number++
	copy(next[:], t.prefix[:])
	binary.BigEndian.PutUint64(next[8:], t.number)
	return next
}

// digest stands for a client: its domain, address, mechanism and credentials. It is keyed, so that
// nobody learns a password from it.
type digest [sha256.Size]byte

// maxCached is how many clients are remembered.
const maxCached = 4096

// cache remembers for a short time whom the service has let in. Nothing is in it without
// Rules.Grace.
type cache struct {
	mac hash.Hash // keyed; the goroutine of the socket has it

	mu      sync.Mutex
	entries map[digest]cached
}

// cached is an acceptance.
type cached struct {
	until            time.Time
	userID, metadata []byte
}

func (c *cache) init() {
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails
	c.mac = hmac.New(sha256.New, key[:])
}

// digest is that of the client of a request. Its frames but the version and the id make it.
func (c *cache) digest(body [][]byte) (d digest) {
	c.mac.Reset()
	var size [8]byte
	for _, frame := range body[zap.Answerable:] {
		binary.BigEndian.PutUint64(size[:], uint64(len(frame)))
		c.mac.Write(size[:])
		c.mac.Write(frame)
	}
	c.mac.Sum(d[:0])
	return d
}

// note remembers an acceptance, or forgets one.
func (c *cache) note(client digest, a answer, grace time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a.status != zap.StatusOK || grace <= 0 {
		if a.status != zap.StatusTemporary { // which says nothing about the client
			delete(c.entries, client)
		}
		return
	}
	if c.entries == nil {
		c.entries = make(map[digest]cached)
	}
	now := time.Now()
	if _, known := c.entries[client]; !known && len(c.entries) >= maxCached {
		c.makeRoom(now)
	}
	// Without the reading of the monotonic clock, which stands still while the host sleeps.
	c.entries[client] = cached{now.Add(grace).Round(0), slices.Clone(a.userID),
		slices.Clone(a.metadata)}
}

// makeRoom forgets the acceptances that are over, or else any one.
func (c *cache) makeRoom(now time.Time) {
	for client, entry := range c.entries {
		if now.After(entry.until) {
			delete(c.entries, client)
		}
	}
	for client := range c.entries {
		if len(c.entries) < maxCached {
			return
		}
		delete(c.entries, client)
	}
}

// find is the acceptance of a client, while it lasts.
func (c *cache) find(client digest) (a answer, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	entry, ok := c.entries[client]
	if !ok || time.Now().After(entry.until) {
		delete(c.entries, client)
		return a, false
	}
	return answer{zap.StatusOK, entry.userID, entry.metadata}, true
}
