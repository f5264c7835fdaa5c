package docs

import (
	"encoding/json"
	"net/http"
	"os"
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
// Prometheus scrape the proxy.
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
		response, err := http.Get(w.here("http://127.0.0.1:9091/api/v1/query?query=zmqauth_up"))
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
