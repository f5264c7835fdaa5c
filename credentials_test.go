package zmqauth

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/zap"
)

// acceptedAs asks about a request and returns the user id, "" for a refusal.
func acceptedAs(t testing.TB, a *Authenticator, request [][]byte) string {
	t.Helper()
	status, userID := ask(t, a, request)
	if status != "200" {
		return ""
	}
	return userID
}

func curveRequest(domain string, key PublicKey) [][]byte {
	return zapRequest(domain, "127.0.0.1", "CURVE", string(key[:]))
}

// TestCredentials: keys, users and principals come and go while they are in force, in two
// Authenticators and two domains at once.
func TestCredentials(t *testing.T) {
	var c Credentials
	first, second := newAuthenticator(t, Config{}), newAuthenticator(t, Config{})
	must.OK(t, errors.Join(first.ConfigureCredentials("d", &c), first.ConfigureCredentials("*", &c),
		second.ConfigureCredentials("d", &c)))
	key := newCertificate(t).Public
	hash := cheapBcrypt(t, "$2y$", "secret")
	requests := map[string][][]byte{
		"key":       curveRequest("d", key),
		"user":      plainRequest("d", "ann", "secret"),
		"principal": zapRequest("d", "127.0.0.1", "GSSAPI", "host/a@R"),
	}
	expect := func(what string, want map[string]string) {
		t.Helper()
		for name, request := range requests {
			for _, a := range []*Authenticator{first, second} {
				if got := acceptedAs(t, a, request); got != want[name] {
					t.Errorf("%s: the %s is accepted as %q, want %q", what, name, got, want[name])
				}
			}
		}
	}
	expect("empty", nil)
	must.OK(t, errors.Join(c.SetKey(key, Entry{}), c.SetUser("ann", hash, Entry{}),
		c.SetPrincipal("host/*@R", Entry{})))
	all := map[string]string{"key": key.String(), "user": "ann", "principal": "host/a@R"}
	expect("set", all)
	if keys, users, principals := c.Len(); keys != 1 || users != 1 || principals != 1 {
		t.Errorf("%s", c.String())
	}
	named := Entry{Identity: Identity{UserID: "somebody", Metadata: map[string]string{"Role": "x"}}}
	must.OK(t, errors.Join(c.SetKey(key, named), c.SetUser("ann", hash, named),
		c.SetPrincipal("host/a@R", named)))
	expect("named", map[string]string{"key": "somebody", "user": "somebody", "principal": "somebody"})
	reply := first.HandleZAPMessage(context.Background(), requests["key"])
	if want := string(zap.EncodeMetadata(named.Identity.Metadata, nil)); string(reply[5]) != want {
		t.Errorf("metadata %q", reply[5])
	}
	c.DeleteKey(key)
	c.DeleteUser("ann")
	c.DeletePrincipal("host/a@R")
	expect("deleted", map[string]string{"principal": "host/a@R"}) // by the pattern
	c.DeletePrincipal("host/*@R")
	c.DeletePrincipal("host/*@R") // again
	expect("all deleted", nil)
}

// TestCredentialsExpire: each kind is refused outside its time, with a reason of its own.
func TestCredentialsExpire(t *testing.T) {
	var c Credentials
	reasons := make(chan string, 1)
	a := newAuthenticator(t, Config{OnDecision: func(d Decision) { reasons <- d.Reason }})
	must.OK(t, a.ConfigureCredentials("d", &c))
	key, now := newCertificate(t).Public, time.Now()
	late, early := Entry{NotAfter: now.Add(-time.Minute)}, Entry{NotBefore: now.Add(time.Hour)}
	good := Entry{NotBefore: now.Add(-time.Minute), NotAfter: now.Add(time.Hour)}
	for _, test := range []struct {
		entry Entry
		want  [3]string
	}{
		{late, [3]string{ReasonKeyExpired, ReasonUserExpired, ReasonPrincipalExpired}},
		{early, [3]string{ReasonKeyNotYetValid, ReasonUserNotYetValid, ReasonPrincipalNotYetValid}},
		{good, [3]string{ReasonAccepted, ReasonAccepted, ReasonAccepted}},
	} {
		must.OK(t, errors.Join(c.SetKey(key, test.entry), c.SetUser("ann", "secret", test.entry),
			c.SetPrincipal("ann@R", test.entry)))
		for i, request := range [][][]byte{
			curveRequest("d", key), plainRequest("d", "ann", "secret"),
			zapRequest("d", "127.0.0.1", "GSSAPI", "ann@R"),
		} {
			ask(t, a, request)
			if got := <-reasons; got != test.want[i] {
				t.Errorf("%+v: %s, want %s", test.entry, got, test.want[i])
			}
		}
	}
}

// TestCredentialsRefuseBadEntries: each is an error that changes nothing and shows no password.
func TestCredentialsRefuseBadEntries(t *testing.T) {
	var c Credentials
	key, now := newCertificate(t).Public, time.Now()
	bad := func(metadata map[string]string, id string) Entry {
		return Entry{Identity: Identity{UserID: id, Metadata: metadata}}
	}
	for name, err := range map[string]error{
		"the zero key":    c.SetKey(PublicKey{}, Entry{}),
		"a NUL":           c.SetKey(key, bad(nil, "a\x00b")),
		"libzmq's name":   c.SetKey(key, bad(map[string]string{"User-Id": "x"}, "")),
		"no time":         c.SetKey(key, Entry{NotBefore: now, NotAfter: now}),
		"no user":         c.SetUser("", "hunter2", Entry{}),
		"no password":     c.SetUser("ann", "", Entry{}),
		"another hash":    c.SetUser("ann", "$6$hunter2$hunter2", Entry{}),
		"half a hash":     c.SetUser("ann", "$2y$10$hunter2", Entry{}),
		"metadata of ann": c.SetUser("ann", "hunter2", bad(map[string]string{"": "x"}, "")),
		"no principal":    c.SetPrincipal("ann", Entry{}),
		"everybody":       c.SetPrincipal(GSSAPIAllowAny, Entry{}),
		"no update":       c.Update(nil),
	} {
		if err == nil || !strings.HasPrefix(err.Error(), "zmqauth: ") ||
			strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if keys, users, principals := c.Len(); keys+users+principals != 0 {
		t.Errorf("%v", &c)
	}
	a := newAuthenticator(t, Config{})
	if err := a.ConfigureCredentials("d", nil); err == nil {
		t.Error("nil credentials")
	}
	if err := a.ConfigureCredentials("", &c); err == nil {
		t.Error("the empty domain")
	}
}

// TestCredentialsUpdate: many changes come into force together, or none.
func TestCredentialsUpdate(t *testing.T) {
	var c Credentials
	a := newAuthenticator(t, Config{})
	must.OK(t, a.ConfigureCredentials("d", &c))
	keys := make([]PublicKey, 100)
	for i := range keys {
		keys[i] = PublicKey{byte(i), 1}
	}
	fault := errors.New("no")
	change := func(end func() error) func(*Credentials) error {
		return func(draft *Credentials) error {
			for _, key := range keys {
				if err := draft.SetKey(key, Entry{}); err != nil {
					return err
				}
			}
			if acceptedAs(t, a, curveRequest("d", keys[0])) != "" {
				t.Error("in force before the end")
			}
			return end()
		}
	}
	if err := c.Update(change(func() error { return fault })); err != fault {
		t.Errorf("%v", err)
	}
	func() {
		defer func() { _ = recover() }()
		_ = c.Update(change(func() error { panic("boom") }))
	}()
	if n, _, _ := c.Len(); n != 0 {
		t.Fatalf("%d keys after updates that failed", n)
	}
	must.OK(t, c.Update(func(draft *Credentials) error {
		must.OK(t, draft.SetKey(keys[1], Entry{}))
		if err := draft.Update(func(inner *Credentials) error {
			inner.DeleteKey(keys[1])
			return errors.Join(inner.SetKey(keys[2], Entry{}), fault)
		}); !errors.Is(err, fault) {
			t.Errorf("a draft of a draft: %v", err)
		}
		return draft.SetKey(keys[3], Entry{})
	}))
	for n, want := range []bool{1: true, 2: false, 3: true} {
		if got := acceptedAs(t, a, curveRequest("d", keys[n])) != ""; got != want {
			t.Errorf("key %d, whose update of a draft has failed: %t", n, got)
		}
	}
	must.OK(t, c.Update(change(func() error { return nil })))
	for _, key := range keys {
		if acceptedAs(t, a, curveRequest("d", key)) == "" {
			t.Fatal("not in force")
		}
	}
}

// TestCredentialsAtOnce: changes by many goroutines and decisions at once. Pairs of keys that
// change together are never seen apart.
func TestCredentialsAtOnce(t *testing.T) {
	var c Credentials
	a := newAuthenticator(t, Config{})
	must.OK(t, a.ConfigureCredentials("d", &c))
	one, two := PublicKey{1}, PublicKey{2}
	must.OK(t, c.SetKey(one, Entry{}))
	var all sync.WaitGroup
	done := make(chan bool)
	all.Go(func() {
		defer close(done)
		for n := range 2000 {
			must.OK(t, c.Update(func(draft *Credentials) error {
				gone, come := one, two
				if n%2 == 1 {
					gone, come = two, one
				}
				draft.DeleteKey(gone)
				return draft.SetKey(come, Entry{})
			}))
		}
	})
	for worker := range 3 {
		all.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				name := fmt.Sprint(worker, "-", n)
				must.OK(t, c.SetUser(name, "secret", Entry{}))
				if acceptedAs(t, a, plainRequest("d", name, "secret")) != name {
					t.Errorf("%s is not in", name)
				}
				c.DeleteUser(name)
				if keys, _, _ := c.Len(); keys != 1 {
					t.Errorf("%d keys", keys)
				}
			}
		})
	}
	all.Wait()
}

// TestCredentialsMemory: a million keys with empty identities take at most 60 bytes each.
func TestCredentialsMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("it makes a million keys")
	}
	const keys, limit = 1_000_000, 60
	before := heapAlloc()
	c := credentialsOf(t, keys)
	if each := int64(heapAlloc()-before) / keys; each > limit {
		t.Errorf("%d bytes for each key, want at most %d", each, limit)
	}
	runtime.KeepAlive(c)
}

func numberedKey(n int) PublicKey {
	return PublicKey{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24), 1}
}

func credentialsOf(t testing.TB, keys int) *Credentials {
	t.Helper()
	c := new(Credentials)
	must.OK(t, c.Update(func(draft *Credentials) error {
		for n := range keys {
			if err := draft.SetKey(numberedKey(n), Entry{}); err != nil {
				return err
			}
		}
		return nil
	}))
	return c
}

// BenchmarkCredentials: a change at a million keys, and decisions with and without changes.
func BenchmarkCredentials(b *testing.B) {
	const keys = 1_000_000
	c := credentialsOf(b, keys)
	a := newAuthenticator(b, Config{})
	must.OK(b, a.ConfigureCredentials("d", c))
	b.Run("SetKey", func(b *testing.B) {
		for n := 0; b.Loop(); n++ {
			must.OK(b, c.SetKey(numberedKey(n%keys), Entry{}))
		}
	})
	decide := func(b *testing.B) {
		for n := 0; b.Loop(); n++ {
			ask(b, a, curveRequest("d", numberedKey(n%keys)))
		}
	}
	b.Run("decide", decide)
	b.Run("decide during 10,000 changes a second", func(b *testing.B) {
		stop, stopped := make(chan bool), make(chan bool)
		go func() {
			defer close(stopped)
			for tick := time.NewTicker(time.Millisecond); ; {
				select {
				case <-stop:
					tick.Stop()
					return
				case <-tick.C:
				}
				for n := range 10 {
					_ = c.SetKey(numberedKey(n*7919%keys), Entry{})
				}
			}
		}()
		decide(b)
		close(stop)
		<-stopped
	})
}
