package enrol

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/must"
)

// clock is a Desk's time, which the test sets.
type clock struct{ time.Time }

func newDesk(o Options) (*Desk, *clock) {
	d, c := New(o), &clock{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	d.now = func() time.Time { return c.Time }
	return d, c
}

func key(n int) (k zmqauth.PublicKey) {
	binary.BigEndian.PutUint64(k[:], uint64(n))
	return k
}

func wants(t *testing.T, d *Desk, pending bool, domain string, n int, address string) {
	t.Helper()
	if got := d.UnknownKey(domain, key(n), address); got != pending {
		t.Fatalf("key %d of %s in %q waits: %v", n, address, domain, got)
	}
}

// TestOpen: keys wait in domains that are open, as long as they are.
func TestOpen(t *testing.T) {
	d, now := newDesk(Options{})
	wants(t, d, false, "a", 1, "192.0.2.1")
	d.Open("a", now.Add(10*time.Minute))
	wants(t, d, true, "a", 1, "192.0.2.1")
	wants(t, d, false, "b", 1, "192.0.2.1")
	d.Open(zmqauth.AnyDomain, time.Time{})
	wants(t, d, true, "b", 1, "192.0.2.1")
	now.Time = now.Add(10 * time.Minute)
	wants(t, d, false, "a", 1, "192.0.2.1")
	wants(t, d, true, "b", 1, "192.0.2.1")
	if until, ok := d.OpenUntil("b"); !ok || !until.IsZero() {
		t.Errorf("b is open until %v, %v", until, ok)
	}
	d.Close("b")
	wants(t, d, false, "b", 1, "192.0.2.1")
	wants(t, d, true, "c", 1, "192.0.2.1") // by "*"
	d.SetOpen(map[string]time.Time{"a": now.Add(time.Hour)})
	wants(t, d, true, "a", 1, "192.0.2.1")
	wants(t, d, false, "c", 1, "192.0.2.1")
	d.SetOpen(nil)
	wants(t, d, false, "a", 1, "192.0.2.1")
	d.Open("a", time.Time{})
	wants(t, d, true, "a", 1, "192.0.2.1")
	if n := len(d.Pending()); n != 3 {
		t.Errorf("%d wait, not 3", n)
	}
}

// TestPending: a key is there once, with what is known of it.
func TestPending(t *testing.T) {
	d, now := newDesk(Options{Expiry: time.Hour})
	d.Open("a", time.Time{})
	first := now.Time
	wants(t, d, true, "a", 1, "192.0.2.1")
	now.Time = now.Add(time.Minute)
	wants(t, d, true, "a", 2, "192.0.2.1")
	wants(t, d, true, "a", 1, "192.0.2.9")
	got := d.Pending()
	want := Request{key(1), "a", "192.0.2.9", 2, first, now.Time}
	if len(got) != 2 || got[0] != want {
		t.Fatalf("%v waits, not %v", got, want)
	}
	now.Time = now.Add(time.Hour)
	if got := d.Pending(); len(got) != 0 {
		t.Errorf("%v waits after its time", got)
	}
	if len(d.counts) != 0 {
		t.Errorf("what is gone is counted: %v", d.counts)
	}
}

// TestBounds: nothing grows with what strangers send, and one address leaves room for others.
func TestBounds(t *testing.T) {
	d, now := newDesk(Options{Max: 10, PerAddress: 6})
	d.Open("a", time.Time{})
	for n := range 100 {
		now.Time = now.Add(time.Millisecond)
		wants(t, d, true, "a", n, fmt.Sprintf("2001:db8::%x", n)) // one network, one client
	}
	if n := len(d.Pending()); n != 6 {
		t.Fatalf("%d keys of one network wait", n)
	}
	for n := range 100 {
		wants(t, d, true, "a", 100+n, fmt.Sprintf("192.0.2.%d", n))
	}
	all := d.Pending()
	if len(all) != 10 {
		t.Fatalf("%d keys wait, not 10", len(all))
	}
	networks := 0
	for _, r := range all {
		if strings.HasPrefix(r.Address, "2001:") {
			networks++
		}
	}
	if networks != 1 || all[0].Key != key(0) {
		t.Errorf("%d keys of the greedy network are left, the first is %v", networks, all[0].Key)
	}
	if d.Missed() != 94+5+91 {
		t.Errorf("%d keys had no room", d.Missed())
	}
	now.Time = now.Add(24 * time.Hour)
	wants(t, d, true, "a", 999, "192.0.2.200")
	if all := d.Pending(); len(all) != 1 {
		t.Errorf("%v wait after the time of the others", all)
	}
}

// TestDeny: who is denied is refused for a time, in that domain; the memory of it is bounded.
func TestDeny(t *testing.T) {
	d, now := newDesk(Options{Max: 5, Expiry: time.Hour})
	d.Open(zmqauth.AnyDomain, time.Time{})
	for n := range 20 {
		wants(t, d, true, "a", n, "192.0.2.1")
		d.Deny(d.Pending()[0])
		wants(t, d, false, "a", n, "192.0.2.1")
		now.Time = now.Add(time.Second)
	}
	if len(d.denied) != 5 || len(d.Pending()) != 0 {
		t.Fatalf("%d denials, %v", len(d.denied), d.Pending())
	}
	wants(t, d, true, "b", 19, "192.0.2.1")
	now.Time = now.Add(time.Hour)
	wants(t, d, true, "a", 19, "192.0.2.1")
}

// TestFind: a key is found by its fingerprint, or by so much of it that no other can have it.
func TestFind(t *testing.T) {
	d, _ := newDesk(Options{})
	d.Open(zmqauth.AnyDomain, time.Time{})
	wants(t, d, true, "a", 1, "192.0.2.1")
	wants(t, d, true, "a", 2, "192.0.2.1")
	wants(t, d, true, "b", 2, "192.0.2.1")
	whole := Fingerprint(key(1))
	for _, text := range []string{whole, whole[7:], whole[:23], whole[7:23]} {
		r, err := d.Find(text, "")
		if err != nil || r.Key != key(1) || r.Domain != "a" || r.Fingerprint() != whole {
			t.Errorf("%q finds %v, %v", text, r, err)
		}
	}
	if _, err := d.Find(whole[:22], ""); err == nil || errors.Is(err, ErrUnknown) {
		t.Errorf("a short fingerprint: %v", err)
	}
	if _, err := d.Find(Fingerprint(key(3)), ""); !errors.Is(err, ErrUnknown) {
		t.Errorf("a fingerprint of nobody: %v", err)
	}
	if _, err := d.Find(whole, "b"); !errors.Is(err, ErrUnknown) {
		t.Errorf("another domain's: %v", err)
	}
	if _, err := d.Find(Fingerprint(key(2)), ""); !errors.Is(err, ErrAmbiguous) {
		t.Errorf("two domains: %v", err)
	}
	r, err := d.Find(Fingerprint(key(2)), "b")
	must.OK(t, err)
	d.Remove(r)
	d.Remove(r) // once more does not matter
	if r, err := d.Find(Fingerprint(key(2)), ""); err != nil || r.Domain != "a" {
		t.Errorf("the other domain's is %v, %v", r, err)
	}
}

// TestFingerprint: it is the digest that other programs compute.
func TestFingerprint(t *testing.T) {
	k := key(42)
	digest := exec.Command("openssl", "dgst", "-sha256", "-binary")
	digest.Stdin = strings.NewReader(string(k[:]))
	sum, err := digest.Output()
	must.OK(t, err)
	encode := exec.Command("base64")
	encode.Stdin = strings.NewReader(string(sum))
	text, err := encode.Output()
	must.OK(t, err)
	want := "SHA256:" + strings.TrimRight(strings.TrimSpace(string(text)), "=")
	if got := Fingerprint(k); got != want {
		t.Errorf("%s, not %s", got, want)
	}
}

// BenchmarkUnknownKey is what a stranger's key costs a decision where the list is full.
func BenchmarkUnknownKey(b *testing.B) {
	d, _ := newDesk(Options{})
	d.Open("a", time.Time{})
	for n := range b.N + defaultMax {
		d.UnknownKey("a", key(n), fmt.Sprintf("10.%d.%d.%d", n>>16&255, n>>8&255, n&255))
	}
}

// TestLetInAndStillUnknown: a key that was let in, and tries before its certificate is known, does
// not come back to the list, but is told to try again. If it is still unknown later, it waits anew.
func TestLetInAndStillUnknown(t *testing.T) {
	d := New(Options{})
	now := time.Now()
	d.now = func() time.Time { return now }
	d.Open("d", time.Time{})
	key := zmqauth.PublicKey{1}
	for _, step := range []struct {
		later   time.Duration
		waiting int
	}{{0, 0}, {settleTime - 1, 0}, {settleTime, 1}} {
		if step.later == 0 {
			d.UnknownKey("d", key, "192.0.2.1")
			d.Remove(d.Pending()[0])
		}
		now = now.Add(step.later)
		if !d.UnknownKey("d", key, "192.0.2.1") {
			t.Errorf("after %v: not told to try again", step.later)
		}
		if got := len(d.Pending()); got != step.waiting {
			t.Errorf("after %v: %d wait", step.later, got)
		}
	}
}
