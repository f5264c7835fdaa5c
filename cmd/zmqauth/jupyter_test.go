package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/zmqauth/zmqauth/internal/daemon"
	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// channels are the sockets of a Jupyter kernel, each with the type of frontend that it needs.
var channels = []struct{ name, kind string }{
	{"shell", "router"}, {"stdin", "router"}, {"control", "router"}, {"hb", "router"},
	{"iopub", "xpub"},
}

// kernel is a running Jupyter kernel, which listens at Unix sockets.
type kernel struct {
	python string
	info   map[string]any // of its connection file
}

// startKernel runs a kernel until the test ends.
func startKernel(t *testing.T, dir string) *kernel {
	t.Helper()
	k := &kernel{python: testpeer.Python(t, "ipykernel, jupyter_client",
		"python3-ipykernel python3-jupyter-client")}
	k.info = map[string]any{"transport": "ipc", "ip": filepath.Join(dir, "kernel"),
		"key": "only for this test", "signature_scheme": "hmac-sha256"}
	for i, channel := range channels {
		k.info[channel.name+"_port"] = i + 1
	}
	file := filepath.Join(dir, "kernel.json")
	k.write(t, file)
	var log logbuffer.Buffer
	environment := []string{"HOME=" + dir, "IPYTHONDIR=" + dir}
	p, err := daemon.Start(&log, environment, k.python, "-m", "ipykernel_launcher", "-f", file)
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, p.Stop()) })
	must.OK(t, p.Await(func() bool {
		for _, channel := range channels {
			if _, err := os.Lstat(strings.TrimPrefix(k.endpoint(channel.name), "ipc://")); err != nil {
				return false
			}
		}
		return true
	}))
	return k
}

func (k *kernel) write(t *testing.T, file string) {
	t.Helper()
	text, err := json.Marshal(k.info)
	must.OK(t, err)
	must.OK(t, os.WriteFile(file, text, 0o600))
}

// endpoint is where the kernel has a channel.
func (k *kernel) endpoint(channel string) string {
	return fmt.Sprintf("ipc://%s-%d", k.info["ip"], k.info[channel+"_port"])
}

// talk runs a client that reaches the channels at the ports of the loopback address, and checks
// that it has used each of them.
func (k *kernel) talk(t *testing.T, dir string, ports map[string]int, keys ...string) {
	t.Helper()
	k.info["transport"], k.info["ip"] = "tcp", "127.0.0.1"
	for channel, port := range ports {
		k.info[channel+"_port"] = port
	}
	file := filepath.Join(dir, "client.json")
	k.write(t, file)
	script, err := filepath.Abs("testdata/jupyter.py")
	must.OK(t, err)
	cmd := exec.Command(k.python, append([]string{script, file}, keys...)...)
	cmd.Env = append(os.Environ(), "HOME="+dir)
	out, err := cmd.CombinedOutput()
	want := "shell: ready\nhb: ping\nstdin: who?\niopub: hello from stdin\ncontrol: shutdown_reply\n"
	if err != nil || !strings.HasSuffix(string(out), want) {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestProxyJupyter: the five channels of a Jupyter kernel work through frontends that only a CURVE
// client reaches.
func TestProxyJupyter(t *testing.T) {
	dir := t.TempDir()
	k := startKernel(t, dir)
	server, ann := identity(t, dir, "server"), identity(t, mkdir(t, dir, "clients"), "ann")
	config := "domain = jupyter\n    curve = clients\n"
	for _, channel := range channels {
		more := []string{"certificate = server.key_secret", "domain = jupyter"}
		if channel.name == "shell" || channel.name == "stdin" {
			// The kernel asks at one socket whom it knows from the other.
			more = append(more, "identity = jupyter")
		}
		config += frontendConfig(channel.name, channel.kind, "tcp://127.0.0.1:*",
			k.endpoint(channel.name), "curve", more...)
	}
	p := startProxy(t, dir, config)
	ports := make(map[string]int)
	for _, channel := range channels {
		address, err := net.ResolveTCPAddr("tcp", strings.TrimPrefix(p.endpoint(channel.name), "tcp://"))
		must.OK(t, err)
		ports[channel.name] = address.Port
	}
	k.talk(t, dir, ports, server.Public.String(), ann.Public.String(), ann.Secret.Z85())
	must.OK(t, p.stop(syscall.SIGTERM))
}
