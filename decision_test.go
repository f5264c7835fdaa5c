package zmqauth

import (
	"log/slog"
	"strings"
	"testing"
	"time"
)

// TestDecisionsAndLogLines: one Decision for each request, and a line with the same facts.
func TestDecisionsAndLogLines(t *testing.T) {
	var log logBuffer
	decisions := make(chan Decision, 10)
	a := startAuthenticator(t, Config{Logger: log.logger(), OnDecision: func(d Decision) { decisions <- d }})
	must(t, a.DenyDomain("closed", "192.0.2.1"))
	must(t, a.ConfigurePlain("d", map[string]string{"ann": "secret"}))
	zap := newZAPClient(t, a.Context())
	for _, test := range []struct {
		request [][]byte
		want    Decision
		line    string
	}{
		{nullRequest(), Decision{Domain: "d", Mechanism: "NULL", Address: "127.0.0.1", Status: 200, Reason: ReasonAccepted},
			`level=DEBUG msg="zmqauth: accepted" reason=accepted status=200 domain=d address=127.0.0.1 mechanism=NULL`},
		{zapRequest("closed", "192.0.2.1", "NULL"), Decision{Domain: "closed", Mechanism: "NULL", Address: "192.0.2.1", Status: 400, Reason: ReasonAddressDenied},
			`level=INFO msg="zmqauth: refused" reason=address-denied status=400 domain=closed address=192.0.2.1 mechanism=NULL`},
		{plainRequest("d", "ann", "secret"), Decision{Domain: "d", Mechanism: "PLAIN", Address: "127.0.0.1", UserID: "ann", Status: 200, Reason: ReasonAccepted}, "user=ann"},
		{plainRequest("d", "ann", "guess"), Decision{Domain: "d", Mechanism: "PLAIN", Address: "127.0.0.1", Status: 400, Reason: ReasonWrongPassword}, "reason=wrong-password"},
		{plainRequest("d", "bob", "guess"), Decision{Domain: "d", Mechanism: "PLAIN", Address: "127.0.0.1", Status: 400, Reason: ReasonUnknownUser}, "reason=unknown-user"},
		{plainRequest("e", "bob", "guess"), Decision{Domain: "e", Mechanism: "PLAIN", Address: "127.0.0.1", Status: 400, Reason: ReasonNotConfigured}, "reason=not-configured"},
		{zapRequest("d", "::1", "OTHER"), Decision{Domain: "d", Mechanism: "OTHER", Address: "::1", Status: 400, Reason: ReasonUnknownMechanism}, "mechanism=OTHER"},
		{zapRequest("d\nlevel=INFO", "::1", "OTHER"), Decision{Domain: "d\nlevel=INFO", Mechanism: "OTHER", Address: "::1", Status: 400, Reason: ReasonUnknownMechanism}, `domain="d\nlevel=INFO"`},
	} {
		zap.ask(test.request)
		got := <-decisions
		if got.Duration < 0 || got.Duration > patience {
			t.Errorf("duration %v", got.Duration)
		}
		got.Duration = 0
		if got != test.want {
			t.Errorf("decision %+v, want %+v", got, test.want)
		}
		if !strings.Contains(log.String(), test.line) {
			t.Errorf("no line with %q in\n%s", test.line, log.String())
		}
	}
	select {
	case d := <-decisions:
		t.Errorf("one decision too many: %+v", d)
	default:
	}
}

// TestSlowHookDelaysNobody: neither a hook nor a log handler that takes its time.
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
	must(t, <-closed)
}

func TestPanickingHookAndLogger(t *testing.T) {
	var log logBuffer
	called := make(chan bool, 10)
	a := startAuthenticator(t, Config{Logger: log.logger(), OnDecision: func(Decision) { called <- true; panic("boom") }})
	zap := newZAPClient(t, a.Context())
	for range 2 {
		if reply := zap.ask(nullRequest()); reply[2] != "200" {
			t.Fatalf("status %s", reply[2])
		}
		<-called
	}
	eventually(t, "the panic is in the log", func() bool { return strings.Count(log.String(), "boom") == 2 })
}

// TestReporterLimit: who is far behind slows the reports down, and release ends that.
func TestReporterLimit(t *testing.T) {
	free := make(chan bool)
	r := newReporter(quiet(), func(Decision) { <-free })
	r.add(report{})
	eventually(t, "the hook is called", func() bool { r.mu.Lock(); defer r.mu.Unlock(); return len(r.queue) == 0 })
	for range maxReports {
		r.add(report{})
	}
	added := make(chan bool)
	go func() { r.add(report{}); added <- true }()
	select {
	case <-added:
		t.Error("more than the limit")
	case <-time.After(20 * time.Millisecond): // nothing announces that it waits
	}
	r.release()
	<-added
	close(free)
}

func TestWants(t *testing.T) {
	info := slog.New(slog.NewTextHandler(new(logBuffer), &slog.HandlerOptions{Level: slog.LevelInfo}))
	r := newReporter(info, nil)
	for status, want := range map[int]bool{200: false, 300: true, 400: true, 500: true} {
		if got := r.wants(status); got != want {
			t.Errorf("status %d: %v", status, got)
		}
	}
}
