package admin

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/zmqauth/zmqauth/fleet"
	"github.com/zmqauth/zmqauth/front"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// fullProgram has everything that is shown.
func fullProgram() Program {
	reloads := new(Reloads)
	reloads.Began()
	reloads.Done(ReloadFailed, os.ErrInvalid)
	return Program{Name: "test", Version: "v1", Reloads: reloads, Level: new(slog.LevelVar),
		Fronts: func() map[string]front.Stats {
			return map[string]front.Stats{"orders\xff": {Open: 1, Accepted: 3, Refused: 2, Dropped: 4,
				Reasons: map[string]uint64{front.ReasonNotZMTP: 2}}}
		},
		Followed: func() []Followed {
			return []Followed{{Kind: "fleet", Path: "nats://\xff", Since: time.Now().Add(-61 * time.Minute)},
				{Kind: "fleet", Path: "nats://\xfe"}} // the same place, for Prometheus
		}}
}

// TestMetrics: promtool has nothing to say about the metrics, and they have what was decided.
func TestMetrics(t *testing.T) {
	promtool := testpeer.Program(t, "prometheus", "promtool")
	auth, member, _ := newMember(t)
	must.OK(t, errors.Join(auth.ConfigurePlain("orders", map[string]string{"ann": "a"}),
		auth.ConfigurePlainFile("jobs", passwordFile(t))))
	program := fullProgram()
	program.Fleet = member
	s := serveHTTP(t, "127.0.0.1:0", HTTPConfig{Auth: auth, Program: program})
	ask(t, auth, "orders", "10.0.0.1", "ann", "a")
	ask(t, auth, "orders", "10.0.0.1", "ann", "b")
	ask(t, auth, "orders", "10.0.0.1", "mallory<b>\n", "b")
	ask(t, auth, `x"} 1`, "10.0.0.1", "eve", "b")
	answer, text := s.do(t, http.MethodGet, "/metrics")
	if answer.StatusCode != http.StatusOK {
		t.Fatal(text)
	}
	check := exec.Command(promtool, "check", "metrics")
	check.Stdin = strings.NewReader(text)
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool: %v\n%s", err, out)
	}
	for _, want := range []string{
		"zmqauth_front_refused_total{frontend=\"orders\ufffd\",reason=\"not-zmtp\"} 2",
		`zmqauth_decisions_total{domain="orders",mechanism="PLAIN",reason="accepted",status="200"} 1`,
		`zmqauth_decisions_total{domain="orders",mechanism="PLAIN",reason="wrong-password",` +
			`status="400"} 1`,
		`zmqauth_decisions_total{domain="other",mechanism="PLAIN",reason="not-configured",` +
			`status="400"} 1`,
		`zmqauth_decision_duration_seconds_count{mechanism="PLAIN"} 4`, `zmqauth_requests_total 4`,
		`zmqauth_queue_waiting{queue="hashes"} 0`, `zmqauth_up 1`, `zmqauth_config_current 0`,
		`zmqauth_reloads_total{result="failed"} 1`, `zmqauth_build_info{version="v1"} 1`,
		`zmqauth_followed_age_seconds{domain="jobs",kind="password file",path="`,
		`zmqauth_followed_age_seconds{domain="",kind="fleet",path="nats://�"} 36`,
		"zmqauth_fleet_fresh 1", `zmqauth_fleet_entries{kind="principal"} 0`,
		"go_goroutines", "process_open_fds",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, regexp.MustCompile("(?m)^zmq.*").FindAllString(text, -1))
		}
	}
	for _, bad := range []string{"10.0.0.1", "ann", "mallory", "x\\"} {
		if strings.Contains(text, bad) {
			t.Errorf("a client has put %q there", bad)
		}
	}
}

func passwordFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users")
	must.OK(t, os.WriteFile(path, []byte("ann=a\n"), 0o600))
	return path
}

// TestLabelsAreBounded: strangers add no series.
func TestLabelsAreBounded(t *testing.T) {
	auth := newAuth(t, nil)
	registry := prometheus.NewRegistry()
	must.OK(t, registry.Register(Collector(auth, nil)))
	series := func() (count int) {
		families, err := registry.Gather()
		must.OK(t, err)
		for _, f := range families {
			count += len(f.Metric)
		}
		return count
	}
	ask(t, auth, "a", "10.0.0.1", "ann", "a")
	before := series()
	for i := range 1000 {
		name := fmt.Sprint("stranger", i)
		ask(t, auth, name, "10.0.0."+fmt.Sprint(i%250), name, name)
	}
	if after := series(); after != before {
		t.Errorf("%d series, then %d", before, after)
	}
}

// TestTwoAuthenticators: a program with several registers each with labels of its own.
func TestTwoAuthenticators(t *testing.T) {
	registry := prometheus.NewRegistry()
	for i := range 2 {
		labelled := prometheus.WrapRegistererWith(prometheus.Labels{"port": fmt.Sprint(i)}, registry)
		must.OK(t, labelled.Register(Collector(newAuth(t, nil), nil)))
	}
	_, err := registry.Gather()
	must.OK(t, err)
}

// TestDashboard: the dashboard asks for metrics that exist, with labels that they have.
func TestDashboard(t *testing.T) {
	text, err := os.ReadFile("../docs/grafana.json")
	must.OK(t, err)
	descriptions := make(chan *prometheus.Desc, 100)
	program := fullProgram()
	program.Fleet = new(fleet.Member) // which Describe does not ask
	Collector(newAuth(t, nil), &program).Describe(descriptions)
	close(descriptions)
	known := make(map[string]string)
	for d := range descriptions {
		m := regexp.MustCompile(`fqName: "([^"]+)".*variableLabels: \{([^}]*)\}`).FindStringSubmatch(
			d.String())
		known[m[1]] = m[2]
	}
	used := regexp.MustCompile(`zmqauth_[a-z_]+`).FindAllString(string(text), -1)
	if len(used) < 10 {
		t.Errorf("%d metrics are used", len(used))
	}
	seen := make(map[string]bool)
	for _, name := range used {
		name = strings.TrimSuffix(name, "_bucket")
		seen[name] = true
		if _, ok := known[name]; !ok {
			t.Errorf("there is no metric %s", name)
		}
	}
	for name := range known {
		if !seen[name] {
			t.Errorf("the dashboard does not show %s", name)
		}
	}
}
