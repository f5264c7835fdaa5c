package zmqauth

import (
	"context"
	"log/slog"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// TestSlowHookDelaysNobody: requests are answered while the hook for decisions is blocked.
func TestSlowHookDelaysNobody(t *testing.T) {
	free := make(chan bool)
	count := make(chan bool, 1000)
	a := startAuthenticator(t, Config{OnDecision: func(Decision) { <-free; count <- true }})
	zap := newZAPClient(t, a.Context())
	for range 1000 {
		if reply := zap.ask(nullRequest()); reply[2] != "200" {
			t.Fatalf("status %s", reply[2])
		}
	}
	close(free)
	for range 1000 {
		<-count
	}
}

func TestHookMayCallEverything(t *testing.T) {
	var a *Authenticator
	closed := make(chan error, 10)
	a = startAuthenticator(t, Config{OnDecision: func(Decision) { closed <- a.Close() }})
	newZAPClient(t, a.Context()).ask(nullRequest())
	must.OK(t, <-closed)
}

func TestPanickingHookAndLogger(t *testing.T) {
	var log logbuffer.Buffer
	called := make(chan bool, 10)
	onDecision := func(Decision) {
		called <- true
		panic("boom")
	}
	a := startAuthenticator(t, Config{Logger: log.Logger(), OnDecision: onDecision})
	zap := newZAPClient(t, a.Context())
	for range 2 {
		if reply := zap.ask(nullRequest()); reply[2] != "200" {
			t.Fatalf("status %s", reply[2])
		}
		<-called
	}
	testpeer.Eventually(t, "the panic is in the log", func() bool {
		return strings.Count(log.String(), "boom") == 2
	})
}

// TestHookMayEndItsGoroutine: a hook that ends its goroutine, as t.FailNow does, must not silence
// later reports.
func TestHookMayEndItsGoroutine(t *testing.T) {
	called := make(chan bool, 100)
	a := startAuthenticator(t, Config{OnDecision: func(Decision) { called <- true; runtime.Goexit() }})
	zap := newZAPClient(t, a.Context())
	for range 100 {
		zap.ask(nullRequest())
	}
	for range 100 {
		<-called
	}
}

// hostileHandler is a log handler that misbehaves when it is asked for its level.
type hostileHandler struct {
	slog.Handler
	enabled func()
}

func (h hostileHandler) Enabled(context.Context, slog.Level) bool {
	h.enabled()
	return false
}

// TestHostileLogHandler: whatever a log handler does, the loop serves.
func TestHostileLogHandler(t *testing.T) {
	for name, misbehave := range map[string]func(a *Authenticator){
		"calls back": func(a *Authenticator) {
			a.IsAlive()
			_ = a.Allow("127.0.0.1")
		},
		"panics": func(*Authenticator) { panic("boom") },
		"hangs":  func(*Authenticator) { select {} },
	} {
		t.Run(name, func(t *testing.T) {
			var started atomic.Pointer[Authenticator]
			enabled := func() {
				if a := started.Load(); a != nil {
					misbehave(a)
				}
			}
			logger := slog.New(hostileHandler{slog.DiscardHandler, enabled})
			a := startAuthenticator(t, Config{Logger: logger})
			started.Store(a)
			a.reports.checked.Store(-2 * int64(levelPeriod)) // ask the handler again
			zap := newZAPClient(t, a.Context())
			for _, request := range [][][]byte{
				nullRequest(), zapRequest("d", "127.0.0.1", "OTHER"), nullRequest(),
			} {
				zap.ask(request)
			}
			must.OK(t, a.Stop())
			if reply := zap.ask(nullRequest()); reply[2] != "400" {
				t.Errorf("status %s", reply[2])
			}
			must.OK(t, a.Close())
		})
	}
}

// levelLogger logs from that level on, to a buffer that nobody reads.
func levelLogger(level *slog.LevelVar) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	return slog.New(slog.NewTextHandler(new(logbuffer.Buffer), options))
}

// TestWants: an acceptance is wanted only where its level is logged.
func TestWants(t *testing.T) {
	var level slog.LevelVar
	r := newReporter(levelLogger(&level), nil, new(atomic.Uint64))
	for status, want := range map[int]bool{200: false, 300: true, 400: true, 500: true} {
		if got := r.wants(status); got != want {
			t.Errorf("status %d: %v", status, got)
		}
	}
	level.Set(slog.LevelDebug)
	testpeer.Eventually(t, "the new level is noticed", func() bool {
		r.keepUp(time.Now())
		return r.wants(200)
	})
}

// TestOnDecisionDoesNotSilenceTheLog: a hook that never returns keeps nothing else from being told.
func TestOnDecisionDoesNotSilenceTheLog(t *testing.T) {
	var log logbuffer.Buffer
	blocked := make(chan bool)
	t.Cleanup(func() { close(blocked) })
	a := newAuthenticator(t, Config{Logger: log.Logger(), OnDecision: func(Decision) { <-blocked }})
	for range 3 {
		ask(t, a, zapRequest("d", "127.0.0.1", "OTHER"))
	}
	testpeer.Eventually(t, "all are logged", func() bool {
		return strings.Count(log.String(), ReasonUnknownMechanism) == 3
	})
}

// TestBlockingLoggerTakesOneGoroutine: a logger that does not tell its level is not asked again.
func TestBlockingLoggerTakesOneGoroutine(t *testing.T) {
	blocked := make(chan bool)
	t.Cleanup(func() { close(blocked) })
	var asked atomic.Int64
	logger := slog.New(hostileHandler{slog.DiscardHandler, func() { asked.Add(1); <-blocked }})
	r := newReporter(logger, nil, new(atomic.Uint64))
	for n := range 50 {
		r.keepUp(r.begun.Add(time.Duration(n+1) * 2 * levelPeriod))
	}
	testpeer.Eventually(t, "it has been asked", func() bool { return asked.Load() > 0 })
	for range 1000 {
		runtime.Gosched()
	}
	if asked.Load() != 1 {
		t.Errorf("asked %d times at once", asked.Load())
	}
}
