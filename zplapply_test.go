package zmqauth

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// TestApplyReplacesEverything: Apply removes the rules, tables, callbacks and domains that the
// policy does not name.
func TestApplyReplacesEverything(t *testing.T) {
	testpeer.NothingLeft(t)
	dir, key := policyHome(t)
	a := newAuthenticator(t, Config{})
	everybody := func(context.Context, string, PublicKey) (*Identity, error) {
		return &Identity{}, nil
	}
	must.OK(t, errors.Join(
		a.Deny("1.1.1.1"), a.AllowDomain("b", "7.7.7.7"),
		a.ConfigurePlain("a", map[string]string{"eve": "x"}),
		a.ConfigurePlainFile("b", filepath.Join(dir, "passwords")),
		a.ConfigureCurveCallback("a", everybody),
		a.ConfigureCurve("b", filepath.Join(dir, "certificates")),
		a.ConfigureGSSAPI("a", "eve@R")))
	must.OK(t, a.Apply(mustLoadPolicy(t, dir, "domain = c\n    curve = certificates\n")))
	for _, request := range [][][]byte{
		zapRequest("a", "1.1.1.1", "NULL"),
		zapRequest("b", "1.1.1.1", "NULL"),
		zapRequest("a", "1.1.1.1", "GSSAPI", "ann@R"),
		zapRequest("c", "1.1.1.1", "CURVE", string(key[:])),
	} {
		if got, _ := ask(t, a, request); got != "200" {
			t.Errorf("%q: status %s", request, got)
		}
	}
	for _, request := range [][][]byte{
		zapRequest("a", "1.1.1.1", "PLAIN", "eve", "x"),
		zapRequest("b", "7.7.7.7", "PLAIN", "ann", "secret"),
		zapRequest("a", "1.1.1.1", "CURVE", string(key[:])),
		zapRequest("b", "7.7.7.7", "CURVE", string(key[:])),
	} {
		if got, _ := ask(t, a, request); got != "400" {
			t.Errorf("%q: status %s", request, got)
		}
	}
	must.OK(t, a.Apply(&Policy{}))
	if got, _ := ask(t, a, zapRequest("c", "1.1.1.1", "CURVE", string(key[:]))); got != "400" {
		t.Errorf("by the zero policy: status %s", got)
	}
}

// TestApplyFollows: what a policy names is followed, and nothing that it does not name any more.
func TestApplyFollows(t *testing.T) {
	dir, _ := policyHome(t)
	a := newAuthenticator(t, Config{})
	p := mustLoadPolicy(t, dir, "domain = a\n    plain = passwords\n    curve = certificates\n")
	must.OK(t, a.Apply(p))
	must.OK(t, a.Apply(p))
	bob := addClient(t, filepath.Join(dir, "certificates"), "bob")
	eventuallyAsk(t, "a new key counts", a, zapRequest("a", "1.1.1.1", "CURVE", string(bob[:])), "200")
	writePrivate(t, filepath.Join(dir, "passwords"), "ann=changed\n")
	eventuallyAsk(t, "a new password counts", a,
		zapRequest("a", "1.1.1.1", "PLAIN", "ann", "changed"), "200")
	eventuallyFollows(t, a, 1)
	must.OK(t, a.Apply(mustLoadPolicy(t, dir, "domain = a\n    curve = *\n")))
	eventuallyFollows(t, a, 0)
	if watches := a.watcher.Stats().Watches; watches != 0 {
		t.Errorf("%d watches are left", watches)
	}
}

// eventuallyFollows waits until want directories are followed.
func eventuallyFollows(t *testing.T, a *Authenticator, want int) {
	t.Helper()
	testpeer.Eventually(t, fmt.Sprintf("directories that are followed: %d", want), func() bool {
		return a.watcher.Stats().Directories == want
	})
}

// TestApplyAllOrNothing: where one file or directory of a policy cannot be used, nothing of the
// policy is in force and nothing is left behind.
func TestApplyAllOrNothing(t *testing.T) {
	testpeer.NothingLeft(t)
	dir, key := policyHome(t)
	var log logbuffer.Buffer
	a := newAuthenticator(t, Config{Logger: log.Logger()})
	must.OK(t, a.Apply(mustLoadPolicy(t, dir,
		"domain = a\n    allow = 1.1.1.1\n    plain = passwords\n    curve = certificates\n")))
	must.OK(t, os.Mkdir(filepath.Join(dir, "other"), 0o700))
	other := addClient(t, filepath.Join(dir, "other"), "other")
	const text = "domain = a\n    allow = 2.2.2.2\n    curve = other\n" +
		"domain = b\n    plain = more\ndomain = c\n    curve = gone\n"
	for name, test := range map[string]struct {
		spoil func()
		want  []string
		is    error
	}{
		"a directory that is gone": {
			spoil: func() { must.OK(t, os.RemoveAll(filepath.Join(dir, "gone"))) },
			want:  []string{"/policy.zpl:7: curve: " + dir + "/gone: no such file or directory"},
			is:    fs.ErrNotExist,
		},
		"a password file that others can read": {
			spoil: func() { must.OK(t, os.Chmod(filepath.Join(dir, "more"), 0o644)) },
			want:  []string{"/policy.zpl:5: plain: " + dir + "/more:1: a password in clear"},
		},
		"both": {
			spoil: func() {
				must.OK(t, os.RemoveAll(filepath.Join(dir, "gone")))
				must.OK(t, os.Remove(filepath.Join(dir, "more")))
			},
			want: []string{"/policy.zpl:5: plain: ", "/policy.zpl:7: curve: "},
			is:   fs.ErrNotExist,
		},
	} {
		t.Run(name, func(t *testing.T) {
			_ = os.Remove(filepath.Join(dir, "more"))
			writePrivate(t, filepath.Join(dir, "more"), "bob=secret\n")
			must.OK(t, os.MkdirAll(filepath.Join(dir, "gone"), 0o700))
			p := mustLoadPolicy(t, dir, text)
			test.spoil()
			err := a.Apply(p)
			if err == nil || test.is != nil && !errors.Is(err, test.is) {
				t.Fatalf("%v", err)
			}
			lines := strings.Split(err.Error(), "\n")
			for i, want := range test.want {
				if len(lines) != len(test.want) || !strings.HasPrefix(lines[i], "zmqauth: "+dir+want) {
					t.Fatalf("%v\nwant %s", err, want)
				}
			}
			for _, request := range [][][]byte{
				zapRequest("a", "1.1.1.1", "CURVE", string(key[:])),
				zapRequest("a", "1.1.1.1", "PLAIN", "ann", "secret"),
			} {
				if got, _ := ask(t, a, request); got != "200" {
					t.Errorf("%q: status %s", request, got)
				}
			}
			for _, request := range [][][]byte{
				zapRequest("a", "2.2.2.2", "NULL"),
				zapRequest("b", "1.1.1.1", "PLAIN", "bob", "secret"),
				zapRequest("a", "1.1.1.1", "CURVE", string(other[:])),
			} {
				if got, _ := ask(t, a, request); got != "400" {
					t.Errorf("%q: status %s", request, got)
				}
			}
		})
	}
	if strings.Contains(log.String(), "secret") {
		t.Errorf("the log holds a password: %s", log.String())
	}
	if err := a.Apply(nil); err == nil {
		t.Error("nil is a policy")
	}
}

// TestApplyLeavesOutWhatIsBroken: a broken file or line is left out, logged and counted.
func TestApplyLeavesOutWhatIsBroken(t *testing.T) {
	dir, key := policyHome(t)
	writePrivate(t, filepath.Join(dir, "certificates", "broken.key"), "curve\n")
	writePrivate(t, filepath.Join(dir, "passwords"), "ann=secret\nbroken\n")
	var log logbuffer.Buffer
	a := newAuthenticator(t, Config{Logger: log.Logger()})
	must.OK(t, a.Apply(mustLoadPolicy(t, dir,
		"domain = a\n    plain = passwords\n    curve = certificates\n")))
	if got, _ := ask(t, a, zapRequest("a", "1.1.1.1", "CURVE", string(key[:]))); got != "200" {
		t.Errorf("status %s", got)
	}
	if got := a.Stats().BrokenEntries; got != 2 {
		t.Errorf("%d broken entries", got)
	}
	waitForReports(t, a)
	for _, want := range []string{"broken.key:1", "passwords:2"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not name %s: %s", want, log.String())
		}
	}
}

// TestApplyIsAtomic: while two policies alternate, each request is judged by one of them as a
// whole.
func TestApplyIsAtomic(t *testing.T) {
	dir, _ := policyHome(t)
	keys := make([]PublicKey, 2)
	policies := make([]*Policy, 2)
	networks := []string{"1.0.0.0/8", "2.0.0.0/8"}
	for i, name := range []string{"one", "two"} {
		must.OK(t, os.Mkdir(filepath.Join(dir, name), 0o700))
		keys[i] = addClient(t, filepath.Join(dir, name), "client")
		writePrivate(t, filepath.Join(dir, name, ".passwords"), "user="+name+"\n")
		policies[i] = mustLoadPolicy(t, dir, "domain = *\n    allow = "+networks[i]+"\n"+
			"domain = a\n    curve = "+name+"\n    plain = "+name+"/.passwords\n")
	}
	a := startAuthenticator(t, Config{})
	must.OK(t, a.Apply(policies[0]))
	ctx, cancel := context.WithCancel(t.Context())
	var askers sync.WaitGroup
	var accepted [2][2]int // by address and credential
	var mu sync.Mutex
	for range 4 {
		askers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				from, of := i&1, i>>1&1
				address := []string{"1.2.3.4", "2.2.3.4"}[from]
				request := zapRequest("a", address, "CURVE", string(keys[of][:]))
				if i&4 != 0 {
					request = zapRequest("a", address, "PLAIN", "user", []string{"one", "two"}[of])
				}
				if reply := a.HandleZAPMessage(ctx, request); string(reply[2]) == "200" {
					mu.Lock()
					accepted[from][of]++
					mu.Unlock()
				}
			}
		})
	}
	for i := range 200 {
		must.OK(t, a.Apply(policies[i%2]))
		own, foreign := i%2, 1-i%2
		address := []string{"1.2.3.4", "2.2.3.4"}[own]
		for of, want := range map[int]string{own: "200", foreign: "400"} {
			if got, _ := ask(t, a, zapRequest("a", address, "CURVE", string(keys[of][:]))); got != want {
				t.Fatalf("after Apply: status %s, want %s", got, want)
			}
		}
	}
	cancel()
	askers.Wait()
	if accepted[0][1] != 0 || accepted[1][0] != 0 || accepted[0][0] == 0 || accepted[1][1] == 0 {
		t.Errorf("accepted, by address and credential: %v", accepted)
	}
}

// TestApplyRemembersPasswords: a password that was found right costs no second hash. A password
// that is being verified while the policy is applied is not refused.
func TestApplyRemembersPasswords(t *testing.T) {
	dir, _ := policyHome(t)
	hash, err := HashPassword("secret")
	must.OK(t, err)
	writePrivate(t, filepath.Join(dir, "passwords"), "ann:"+hash+"\n")
	text := "domain = a\n    plain = passwords\n"
	a := newAuthenticator(t, Config{})
	must.OK(t, a.Apply(mustLoadPolicy(t, dir, text)))
	request := zapRequest("a", "1.1.1.1", "PLAIN", "ann", "secret")
	statuses := make(chan string)
	go func() {
		reply := a.HandleZAPMessage(context.Background(), request)
		statuses <- string(reply[2])
	}()
	testpeer.Eventually(t, "the hash is being computed", func() bool {
		return a.Stats().Pending > 0 || a.Stats().Allowed > 0
	})
	// The other policy has the same user, by the setup for "*".
	must.OK(t, a.Apply(mustLoadPolicy(t, dir, "domain = *\n    plain = passwords\n")))
	if got := <-statuses; got != "200" {
		t.Errorf("status %s", got)
	}
	if got, _ := ask(t, a, request); got != "200" {
		t.Errorf("status %s", got)
	}
	must.OK(t, a.Apply(mustLoadPolicy(t, dir, text)))
	if !remembered(a, "a", "ann") {
		t.Error("the password is forgotten")
	}
}

// TestApplyAmidOtherCalls: Apply, the Configure methods and Close at once leave nothing behind.
func TestApplyAmidOtherCalls(t *testing.T) {
	testpeer.NothingLeft(t)
	dir, _ := policyHome(t)
	p := mustLoadPolicy(t, dir, "domain = a\n    plain = passwords\n    curve = certificates\n")
	for range 10 {
		a := startAuthenticator(t, Config{})
		var calls sync.WaitGroup
		for _, call := range []func() error{
			func() error { return a.Apply(p) },
			func() error { return a.Apply(p) },
			func() error { return a.ConfigureCurve("a", filepath.Join(dir, "certificates")) },
			func() error { return a.ConfigurePlainFile("a", filepath.Join(dir, "passwords")) },
			func() error { return a.Allow("1.1.1.1") },
			func() error { time.Sleep(time.Millisecond); return a.Close() },
		} {
			calls.Go(func() {
				for range 5 {
					if err := call(); err != nil && !errors.Is(err, ErrClosed) {
						t.Error(err)
					}
				}
			})
		}
		calls.Wait()
		if err := a.Apply(p); err != ErrClosed { // and no line of the policy is blamed for it
			t.Errorf("after Close: %v", err)
		}
		if err := a.Apply(&Policy{}); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	}
}
