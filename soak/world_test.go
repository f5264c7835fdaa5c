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

// world is an Authenticator, its servers and their clients.
type world struct {
	tally   *tally
	zctx    *zmq4.Context
	auth    *zmqauth.Authenticator
	log     *slog.Logger
	service standing // in: the Authenticator serves
	key     *zmqauth.Certificate
	servers map[string]*server
	rules   *rules

	visits  sync.Map // of *visit, by number
	number  atomic.Uint64
	serving sync.WaitGroup // the servers' goroutines
	end     chan struct{}  // closed to end these goroutines
	wrong   chan string    // errors for the test to report

	sessions sessions

	unusable atomic.Int64 // how often the log has called the password file unusable
}

const (
	callbackTimeout = 250 * time.Millisecond
	maxConcurrent   = 8 // so few that some callbacks must wait
	maxPending      = 16
)

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		tally:   newTally(),
		servers: make(map[string]*server),
		end:     make(chan struct{}),
		wrong:   make(chan string, 100),
		sessions: sessions{open: make(map[uint64]bool),
			members: make(map[zmqauth.PublicKey]*member)},
	}
	var err error
	w.key, err = zmqauth.NewCertificate()
	must.OK(t, err)
	w.zctx, err = zmq4.NewContext()
	must.OK(t, err)
	everything := &slog.HandlerOptions{Level: slog.LevelDebug}
	w.log = slog.New(slog.NewTextHandler(logWatch{w}, everything))
	w.auth, err = zmqauth.New(w.zctx, &zmqauth.Config{
		Logger:          w.log,
		CallbackTimeout: callbackTimeout,
		MaxConcurrent:   maxConcurrent,
		MaxPending:      maxPending,
		OnDecision:      w.decided,
		OnSession:       w.sessionChanged,
		Properties:      []string{"Role"},
	})
	must.OK(t, err)
	w.rules = newRules(t, w)
	w.expectAll()
	must.OK(t, w.service.change(true, w.auth.Start))
	for _, h := range w.servers {
		h.open(t)
		w.serving.Go(h.serve)
	}
	return w
}

// decided receives the decisions of the Authenticator.
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

// fault records an error for the test to report.
func (w *world) fault(format string, args ...any) {
	select {
	case w.wrong <- fmt.Sprintf(format, args...):
	default: // enough errors are recorded already
	}
}

// logWatch receives the log and looks for secrets in it.
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

// run lets everything happen at once, for the duration and then until enough has happened: in a
// short run, rare events may come late.
func (w *world) run(t *testing.T, duration time.Duration, enough func() bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var all sync.WaitGroup
	for _, do := range []func(context.Context){
		w.goodVisits, w.goodVisits, w.goodVisits,
		w.otherVisits, w.otherVisits, w.otherVisits, w.otherVisits,
		w.goodPrincipals, w.changingPrincipals, w.otherPrincipals,
		w.askDirectly, w.askLive, w.askTooMuch, w.handMade,
		w.hostile, w.hostile, w.hostile, w.retries,
		w.stay, w.rules.leave, w.rules.leave, w.floods,
		w.rules.restarts, w.rules.addresses, w.rules.tables, w.rules.keys, w.rules.principals,
		w.rules.directory, w.rules.passwordFile, w.rules.callbacks, w.rules.mistakes,
	} {
		all.Go(func() { do(ctx) })
	}
	begun := time.Now()
	running := func() bool {
		spent := time.Since(begun)
		return spent < duration || !enough() && spent < duration+patience
	}
	for len(w.wrong) == 0 && running() {
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	all.Wait()
	w.drain(t)
}

// quiet waits until no client is left, and measures the resources.
func (w *world) quiet(t *testing.T) resources {
	t.Helper()
	testpeer.Eventually(t, "nothing is pending", func() bool {
		s := w.auth.Stats()
		return s.Pending == 0 && s.Requests == s.Allowed+s.Denied+s.Temporary+s.Errors
	})
	w.noSessions(t)
	// Connections of the servers end when libzmq has noticed that the client is gone. Callbacks may
	// still run for a short time.
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

// drain reports the recorded errors.
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
	w.turnedAway(t)
	close(w.end)
	w.serving.Wait()
	for _, h := range w.servers {
		must.OK(t, h.socket.Close())
	}
	must.OK(t, w.auth.Close())
	must.OK(t, w.zctx.Term())
	w.drain(t)
	t.Logf("%+v", stats)
}

// directory makes a directory that is removed after the test.
func directory(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	must.OK(t, os.Mkdir(dir, 0o700))
	return dir
}
