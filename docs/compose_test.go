package docs

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// composed is what TestComposeMetrics reads of docker/compose.yaml.
type composed struct {
	Services map[string]struct {
		Command []string
		Network string `yaml:"network_mode"`
	}
}

// TestComposeMetrics: the commands of docker/compose.yaml, run here without containers, have
// Prometheus scrape the proxy, and the question in its header has an answer with nobody connected.
func TestComposeMetrics(t *testing.T) {
	prometheus := testpeer.Program(t, "prometheus", "prometheus")
	docker := filepath.Join(root, "docker")
	var compose composed
	text, err := os.ReadFile(filepath.Join(docker, "compose.yaml"))
	must.OK(t, err)
	must.OK(t, yaml.Unmarshal(text, &compose))
	if got := compose.Services["prometheus"].Network; got != "service:proxy" {
		t.Errorf("Prometheus is in the network %q: metrics are at a loopback address", got)
	}
	_, question, _ := strings.Cut(string(text), "promtool query instant http://127.0.0.1:9091 ")
	question, _, _ = strings.Cut(question, "\n")
	w := newWalk(t, "5555", "6666", "9090", "9091")
	command := func(service string) string {
		words := strings.Join(compose.Services[service].Command, " ")
		return strings.NewReplacer("/etc/zmqauth/", "", "/etc/prometheus/", "").Replace(words)
	}
	for _, name := range []string{"zmqauth.zpl", "prometheus.yml"} {
		text, err := os.ReadFile(filepath.Join(docker, "demo", name))
		must.OK(t, err)
		w.write(name, strings.ReplaceAll(string(text), "backend:", "127.0.0.1:"))
	}
	w.run("go install github.com/zmqauth/zmqauth/cmd/zmqauth@latest\n" +
		"zmqauth keygen server && zmqauth keygen ann && mkdir clients && mv ann.key clients")
	w.start("exec zmqauth " + command("proxy"))
	w.awaitPort("9090")
	server := w.start("exec " + prometheus + " --storage.tsdb.path=data " + command("prometheus"))
	t.Cleanup(func() { server.signal(syscall.SIGTERM) })
	testpeer.Eventually(t, "Prometheus has scraped the proxy", func() bool {
		response, err := http.Get(w.here("http://127.0.0.1:9091/api/v1/query?query=" + question))
		if err != nil {
			return false
		}
		defer response.Body.Close()
		var answer struct {
			Data struct {
				Result []struct{ Value [2]any }
			}
		}
		return json.NewDecoder(response.Body).Decode(&answer) == nil &&
			len(answer.Data.Result) == 1 && answer.Data.Result[0].Value[1] == "1"
	})
}

// TestComposeRefusal: the administrator of docker/compose.fleet.yaml takes a refusal for one, and
// nothing else: not a proxy that is away.
func TestComposeRefusal(t *testing.T) {
	script, err := os.ReadFile(filepath.Join(root, "docker", "fleet", "client.sh"))
	must.OK(t, err)
	for _, c := range []struct {
		says string
		good bool
	}{
		{"zmqauth: tcp://one:5555: access denied (status 400): the server does not", true},
		{"zmqauth: tcp://one:5555: nobody has accepted a connection", false},
	} {
		cmd := exec.Command("/bin/sh", "-c", `revoked=
zmqauth() {
    case "$1 $2" in
    "fleet revoke") revoked=yes ;;
    connect*) [ -z "$revoked" ] || { echo "`+c.says+`" >&2; return 1; } ;;
    esac
}
`+strings.Replace(string(script), "cd /fleet", "", 1))
		if said, err := cmd.CombinedOutput(); (err == nil) != c.good {
			t.Errorf("a client hears %q: %v\n%s", c.says, err, said)
		}
	}
}
