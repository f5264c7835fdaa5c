package soak

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// world is an authenticator, the sockets that it guards, and everybody who comes to them.
type world struct {
	tally   *tally
	zctx    *zmq4.Context
	auth    *zmqauth.Authenticator
	service standing // in: it serves
	key     *zmqauth.Certificate
	houses  map[string]*house
	rules   *rules

	visits  sync.Map // of *visit, by number
	number  atomic.Uint64
	serving sync.WaitGroup // the houses' goroutines
	end     chan struct{}  // closed: they end
	wrong   chan string    // what must not be

	unusable atomic.Int64 // password files that the log has called so
}

const (
	callbackTimeout = 250 * time.Millisecond
	maxConcurrent   = 8 // few, so that some wait
	maxPending      = 16
)

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{tally: newTally(), houses: make(map[string]*house), end: make(chan struct{}), wrong: make(chan string, 100)}
	var err error
	w.key, err = zmqauth.NewCertificate()
	must.OK(t, err)
	w.zctx, err = zmq4.NewContext()
	must.OK(t, err)
	w.auth, err = zmqauth.New(w.zctx, &zmqauth.Config{
		Logger:          slog.New(slog.NewTextHandler(logWatch{w}, &slog.HandlerOptions{Level: slog.LevelDebug})),
		CallbackTimeout: callbackTimeout, MaxConcurrent: maxConcurrent, MaxPending: maxPending,
		OnDecision: w.decided, Properties: []string{"Role"},
	})
	must.OK(t, err)
	w.rules = newRules(t, w)
	w.expectAll()
	must.OK(t, w.service.change(true, w.auth.Start))
	for _, h := range w.houses {
		h.open(t)
		w.serving.Go(h.serve)
	}
	return w
}

// decided is the authenticator's report.
func (w *world) decided(d zmqauth.Decision) {
	w.tally.count("decisions", d.Reason)
	w.tally.count("decisions on "+mechanismOf(d), fmt.Sprint(d.Status))
	if d.Status != 200 {
		return
	}
	if strings.HasPrefix(d.Address, "127.66.") || d.UserID == strangersUser || d.Domain == "nowhere" {
		w.fault("accepted, but must never be: %+v", d)
	}
}

func mechanismOf(d zmqauth.Decision) string {
	switch d.Mechanism {
	case "NULL", "PLAIN", "CURVE", "GSSAPI":
		return d.Mechanism
	}
	return "others"
}

// fault takes note of what must not be.
func (w *world) fault(format string, args ...any) {
	select {
	case w.wrong <- fmt.Sprintf(format, args...):
	default: // there are enough of them
	}
}

// logWatch is a log that looks for secrets.
type logWatch struct{ *world }

func (l logWatch) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte(secretMark)) {
		l.fault("a password in the log: %s", line)
	}
	if bytes.Contains(line, []byte("others can write it")) {
		l.unusable.Add(1)
	}
	for _, level := range []string{"INFO", "WARN", "ERROR"} {
		if bytes.Contains(line, []byte("level="+level)) {
			l.tally.count("lines in the log", level)
		}
	}
	return len(line), nil
}

// press has everything happen at once, for some time, and then until enough has happened: in a
// short form, something rare may come late.
func (w *world) press(t *testing.T, duration time.Duration, enough func() bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var all sync.WaitGroup
	for _, do := range []func(context.Context){
		w.goodVisits, w.goodVisits, w.goodVisits, w.otherVisits, w.otherVisits, w.otherVisits, w.otherVisits,
		w.goodPrincipals, w.changingPrincipals, w.otherPrincipals, w.askDirectly, w.askLive, w.askTooMuch, w.handMade,
		w.hostile, w.hostile, w.hostile, w.retries,
		w.rules.restarts, w.rules.addresses, w.rules.tables, w.rules.keys, w.rules.principals, w.rules.directory,
		w.rules.passwordFile, w.rules.callbacks, w.rules.mistakes,
	} {
		all.Go(func() { do(ctx) })
	}
	begun := time.Now()
	for len(w.wrong) == 0 && (time.Since(begun) < duration || !enough() && time.Since(begun) < duration+patience) {
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	all.Wait()
	w.drain(t)
}

// quiet waits until nobody is left, and measures.
func (w *world) quiet(t *testing.T) resources {
	t.Helper()
	testpeer.Eventually(t, "nothing is pending", func() bool {
		s := w.auth.Stats()
		return s.Pending == 0 && s.Requests == s.Allowed+s.Denied+s.Temporary+s.Errors
	})
	// The server's ends of connections go when libzmq has noticed; what callbacks still hold they let
	// go of soon.
	var last [2]int
	since := time.Now()
	testpeer.Eventually(t, "it is quiet", func() bool {
		all, _ := descriptors()
		if now := [2]int{runtime.NumGoroutine(), all}; now != last {
			last, since = now, time.Now()
		}
		return time.Since(since) > 2*callbackTimeout
	})
	w.drain(t)
	return measure(t)
}

// drain reports what is wrong.
func (w *world) drain(t *testing.T) {
	t.Helper()
	for {
		select {
		case wrong := <-w.wrong:
			t.Error(wrong)
		default:
			return
		}
	}
}

func (w *world) close(t *testing.T) {
	t.Helper()
	stats := w.auth.Stats()
	if stats.Unreported != 0 {
		t.Errorf("%+v", stats)
	}
	close(w.end)
	w.serving.Wait()
	for _, h := range w.houses {
		must.OK(t, h.socket.Close())
	}
	must.OK(t, w.auth.Close())
	must.OK(t, w.zctx.Term())
	w.drain(t)
	t.Logf("%+v", stats)
}

// directory makes one that lasts as long as the test.
func directory(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	must.OK(t, os.Mkdir(dir, 0o700))
	return dir
}
