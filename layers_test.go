package zmqauth_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
)

const module = "github.com/zmqauth/zmqauth"

// layers is the table of docs/design.md: what each package may import of this module. Arrows run
// downwards only. The root is ".".
var layers = map[string][]string{
	// 0: leaves, each with one subject.
	"internal/acl":        {"internal/pause", "internal/table"},
	"internal/activation": {},
	"internal/backlog":    {},
	"internal/backoff":    {},
	"internal/endpoint":   {},
	"internal/files":      {"internal/pause"},
	"internal/keyfiles":   {"internal/files"},
	"internal/keyset":     {"internal/pause"},
	"internal/logs":       {},
	"internal/notify":     {},
	"internal/passhash":   {},
	"internal/pause":      {},
	"internal/principal":  {},
	"internal/privatedir": {"internal/files", "internal/unixpeer"},
	"internal/relay":      {"internal/acl"},
	"internal/reminder":   {},
	"internal/table":      {"internal/pause"},
	"internal/unixpeer":   {},
	"internal/z85":        {},
	"internal/zap":        {},
	"internal/zmtp":       {},
	"internal/zpl":        {},

	// 1: files that are followed, files that configure, users.
	"internal/certfile": {
		"internal/files", "internal/pause", "internal/z85", "internal/zap", "internal/zpl",
	},
	"internal/follow": {"internal/files", "internal/pause", "internal/reminder"},
	"internal/passwd": {"internal/passhash", "internal/pause", "internal/table"},
	"internal/policyfile": {
		"internal/acl", "internal/endpoint", "internal/files", "internal/principal", "internal/zpl",
	},

	// 2: libzmq, and who of many is served next.
	"internal/libzmq":    {"internal/endpoint"},
	"internal/admission": {},
	"internal/executor":  {"internal/admission"},
	"internal/observe":   {"internal/follow"},
	"internal/reactor":   {},
	"internal/session":   {"internal/reminder"},

	// 3: the library.
	".": {
		"internal/acl", "internal/admission", "internal/backlog", "internal/certfile",
		"internal/endpoint", "internal/executor", "internal/files", "internal/follow",
		"internal/keyfiles", "internal/keyset", "internal/libzmq", "internal/observe",
		"internal/passhash", "internal/passwd", "internal/pause", "internal/policyfile",
		"internal/principal", "internal/reactor", "internal/relay", "internal/session",
		"internal/table", "internal/z85", "internal/zap", "internal/zpl",
	},
	"fastcurve": {},
	"stream":    {"internal/backoff", "internal/files", "internal/privatedir", "internal/reminder"},
	"sshtunnel": {"internal/files", "internal/privatedir", "internal/reminder"},
	"zaptest":   {},

	// 4: services before and beside the library.
	"enrol": {".", "internal/admission"},
	"front": {
		".", "internal/endpoint", "internal/files", "internal/libzmq", "internal/privatedir",
		"internal/relay", "internal/session",
	},
	"fleet": {
		".", "enrol", "internal/acl", "internal/backoff", "internal/files", "internal/passhash",
		"internal/principal", "internal/reminder", "internal/zap",
	},
	"fleet/natsstore":    {"fleet"},
	"internal/fleetfile": {"fleet/natsstore", "internal/files", "internal/reminder", "internal/zpl"},
	"zapproxy": {
		".", "internal/admission", "internal/backlog", "internal/backoff", "internal/endpoint",
		"internal/files", "internal/libzmq", "internal/privatedir", "internal/reminder",
		"internal/unixpeer", "internal/zap", "internal/zmtp",
	},

	// 5: what commands of the tool run.
	"admin": {
		".", "enrol", "fleet", "front", "internal/acl", "internal/admission", "internal/files",
		"internal/privatedir", "internal/reminder", "internal/unixpeer",
	},
	"internal/doctor": {".", "internal/endpoint", "internal/zmtp"},
	"internal/links": {
		"internal/backoff", "internal/endpoint", "internal/files", "internal/policyfile",
		"internal/privatedir", "internal/reminder", "sshtunnel", "stream",
	},
	"internal/proxy": {
		".", "admin", "enrol", "fleet", "fleet/natsstore", "front", "internal/activation",
		"internal/endpoint", "internal/files",
		"internal/fleetfile", "internal/libzmq", "internal/links", "internal/notify",
		"internal/policyfile",
		"internal/privatedir", "internal/reminder",
	},
	"internal/zapservice": {
		".", "admin", "internal/notify", "internal/policyfile", "internal/privatedir",
		"internal/reminder", "zapproxy",
	},

	// 6: what is run.
	"cmd/zmqauth": {
		".", "admin", "enrol", "fastcurve", "fleet", "fleet/natsstore", "internal/activation",
		"internal/doctor",
		"internal/endpoint",
		"internal/files",
		"internal/fleetfile", "internal/links", "internal/logs", "internal/notify", "internal/passhash",
		"internal/passwd", "internal/policyfile", "internal/privatedir", "internal/proxy",
		"internal/zap", "internal/zapservice",
	},
	"cmd/zmqauth-engine": {
		"fleet/natsstore", "internal/files", "internal/fleetfile", "internal/notify",
	},
}

// observers are the packages that may import any other, and that no other may import.
var observers = []string{"bench", "browser", "docker", "docs", "examples", "soak"}

// helpers are packages for tests and measurements. Nothing of the product imports them.
var helpers = []string{"internal/daemon", "internal/logbuffer", "internal/must", "internal/testca",
	"internal/testpeer", "internal/testrealm", "fastcurve/internal/testsodium", "internal/testzap",
	"internal/testzmq", "fleet/internal/memstore", "fleet/internal/testfleet"}

// cgo are the packages that import "C".
var cgo = []string{"bench/loadgen", "fastcurve", "internal/libzmq", "fastcurve/internal/testsodium"}

// listed is what go list says of a package.
type listed struct {
	ImportPath string
	Module     *struct{ Path string }
	Imports    []string
	Deps       []string
	CgoFiles   []string
}

// list runs go list with the flag -deps and returns the module's own packages, or all of them.
func list(t *testing.T, all bool, patterns ...string) (packages []listed) {
	t.Helper()
	args := []string{"list", "-deps", "-json=ImportPath,Module,Imports,Deps,CgoFiles"}
	out, err := exec.Command("go", append(args, patterns...)...).Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		if all || p.Module != nil && p.Module.Path == module {
			packages = append(packages, p)
		}
	}
}

// short returns an import path relative to the module, and whether it belongs to the module.
func short(path string) (string, bool) {
	if path == module {
		return ".", true
	}
	return strings.CutPrefix(path, module+"/")
}

// below tells whether a path is one of tops, or below one of them.
func below(path string, tops []string) bool {
	return slices.ContainsFunc(tops, func(top string) bool {
		return path == top || strings.HasPrefix(path, top+"/")
	})
}

// TestLayers holds every import between packages of the module against the table of layers.
func TestLayers(t *testing.T) {
	packages := list(t, false, "./...")
	seen := make(map[string]bool)
	for _, p := range packages {
		name, _ := short(p.ImportPath)
		seen[name] = true
		if len(p.CgoFiles) > 0 && !slices.Contains(cgo, name) {
			t.Errorf("%s imports C: only %v may", name, cgo)
		}
		allowed, known := layers[name]
		helper := below(name, helpers)
		if !known && !helper && !below(name, observers) {
			t.Errorf("%s is not in the table of layers: give it a place there", name)
		}
		for _, path := range p.Imports {
			imported, own := short(path)
			switch {
			case !own:
			case known && !slices.Contains(allowed, imported):
				t.Errorf("%s imports %s, which the table of layers does not allow", name, imported)
			case helper && !below(imported, helpers) && !strings.HasPrefix(name, "fleet/internal/"):
				t.Errorf("%s, a helper of tests, imports %s", name, imported)
			case below(imported, observers) && !below(name, observers):
				t.Errorf("%s imports %s, which nothing else may", name, imported)
			}
		}
	}
	for name := range layers {
		if !seen[name] {
			t.Errorf("%s is in the table of layers, and there is no such package", name)
		}
	}
}

// TestRootCompilesLittle: a program that imports the root alone builds no module that only the
// tool, tests, examples or measurements need.
func TestRootCompilesLittle(t *testing.T) {
	allowed := []string{module, "github.com/pebbe/zmq4",
		"github.com/fsnotify/fsnotify", "golang.org/x/crypto", "golang.org/x/sys"}
	for _, p := range list(t, true, ".") {
		if p.Module != nil && !slices.Contains(allowed, p.Module.Path) {
			t.Errorf("the root builds %s of the module %s", p.ImportPath, p.Module.Path)
		}
	}
}

// TestLayersAreDrawn: the drawing and the table of docs/design.md have every package of the layers.
func TestLayersAreDrawn(t *testing.T) {
	drawing, err := os.ReadFile("docs/layers.svg")
	must.OK(t, err)
	text, err := os.ReadFile("docs/design.md")
	must.OK(t, err)
	for name := range layers {
		word := strings.TrimPrefix(name, "internal/")
		if name == "." {
			word = "zmqauth"
		}
		if !strings.Contains(string(drawing), ">"+word+"</text>") {
			t.Errorf("docs/layers.svg has no %s", word)
		}
		if name != "." && !strings.Contains(string(text), "`"+name+"`") &&
			!strings.Contains(string(text), "`"+word+"`") {
			t.Errorf("docs/design.md has no %s", name)
		}
	}
}

// TestFleetIsApart: nothing of a fleet's engine is built for a program that does not import its
// store.
func TestFleetIsApart(t *testing.T) {
	for _, p := range list(t, true, ".", "./admin", "./fleet", "./stream", "./sshtunnel") {
		if strings.HasPrefix(p.ImportPath, "github.com/nats-io/") {
			t.Errorf("%s is built", p.ImportPath)
		}
	}
}

// TestEngineIsApart: the server of the engine is built for the engine alone.
func TestEngineIsApart(t *testing.T) {
	for _, p := range list(t, true, "./cmd/zmqauth", "./fleet", "./fleet/natsstore",
		"./examples/...") {
		if strings.HasPrefix(p.ImportPath, "github.com/nats-io/nats-server") {
			t.Errorf("%s is built", p.ImportPath)
		}
	}
}

// TestPureGo: the leaves, stream and sshtunnel build without cgo and without libzmq.
func TestPureGo(t *testing.T) {
	for _, name := range []string{"stream", "sshtunnel", "internal/acl", "internal/files",
		"internal/follow", "internal/keyfiles", "internal/keyset", "internal/passhash",
		"internal/policyfile",
		"internal/links", "internal/principal", "internal/privatedir", "internal/reminder",
		"internal/z85", "internal/zap",
		"internal/zmtp", "internal/zpl"} {
		for _, p := range list(t, true, "./"+name) {
			if p.ImportPath == "github.com/pebbe/zmq4" || p.ImportPath == module {
				t.Errorf("%s builds %s", name, p.ImportPath)
			}
		}
	}
}
