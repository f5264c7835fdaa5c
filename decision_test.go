package zmqauth

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
)

// TestDecisionsAndLogLines: each request gives one Decision, and one log line with the same facts.
func TestDecisionsAndLogLines(t *testing.T) {
	var log logbuffer.Buffer
	decisions := make(chan Decision, 10)
	onDecision := func(d Decision) { decisions <- d }
	a := startAuthenticator(t, Config{Logger: log.Logger(), OnDecision: onDecision})
	must.OK(t, a.DenyDomain("closed", "192.0.2.1"))
	must.OK(t, a.ConfigurePlain("d", map[string]string{"ann": "secret"}))
	zap := newZAPClient(t, a.Context())
	for _, test := range []struct {
		request [][]byte
		want    Decision
		line    string
	}{
		{
			nullRequest(),
			Decision{
				Domain: "d", Mechanism: "NULL", Address: "127.0.0.1",
				Status: 200, Reason: ReasonAccepted,
			},
			`level=DEBUG msg="zmqauth: accepted" reason=accepted status=200 domain=d ` +
				`address=127.0.0.1 mechanism=NULL`,
		},
		{
			zapRequest("closed", "192.0.2.1", "NULL"),
			Decision{
				Domain: "closed", Mechanism: "NULL", Address: "192.0.2.1",
				Status: 400, Reason: ReasonAddressDenied,
			},
			`level=INFO msg="zmqauth: refused" reason=address-denied status=400 domain=closed ` +
				`address=192.0.2.1 mechanism=NULL`,
		},
		{
			plainRequest("d", "ann", "secret"),
			Decision{
				Domain: "d", Mechanism: "PLAIN", Address: "127.0.0.1", UserID: "ann",
				Status: 200, Reason: ReasonAccepted,
			},
			"user=ann",
		},
		{
			plainRequest("d", "ann", "guess"),
			Decision{
				Domain: "d", Mechanism: "PLAIN", Address: "127.0.0.1",
				Status: 400, Reason: ReasonWrongPassword,
			},
			"reason=wrong-password",
		},
		{
			plainRequest("d", "bob", "guess"),
			Decision{
				Domain: "d", Mechanism: "PLAIN", Address: "127.0.0.1",
				Status: 400, Reason: ReasonUnknownUser,
			},
			"reason=unknown-user",
		},
		{
			plainRequest("e", "bob", "guess"),
			Decision{
				Domain: "e", Mechanism: "PLAIN", Address: "127.0.0.1",
				Status: 400, Reason: ReasonNotConfigured,
			},
			"reason=not-configured",
		},
		{
			zapRequest("d", "::1", "OTHER"),
			Decision{
				Domain: "d", Mechanism: "OTHER", Address: "::1",
				Status: 400, Reason: ReasonUnknownMechanism,
			},
			"mechanism=OTHER",
		},
		{
			zapRequest("d\nlevel=INFO", "::1", "OTHER"),
			Decision{
				Domain: "d\nlevel=INFO", Mechanism: "OTHER", Address: "::1",
				Status: 400, Reason: ReasonUnknownMechanism,
			},
			`domain="d\nlevel=INFO"`,
		},
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
		waitForReports(t, a)
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

// TestReasonsAreCounted: each reason has a counter of its own.
func TestReasonsAreCounted(t *testing.T) {
	source, err := os.ReadFile("decision.go")
	must.OK(t, err)
	found := regexp.MustCompile(`(?m)^\tReason\w+ += "([a-z-]+)"`).FindAllSubmatch(source, -1)
	for _, reason := range found {
		if !slices.Contains(reasons, string(reason[1])) {
			t.Errorf("%s is not among the reasons that are counted", reason[1])
		}
	}
	if len(found) != len(reasons) || reasons[0] != ReasonInternal {
		t.Errorf("%d reasons, %d are counted", len(found), len(reasons))
	}
}
