//go:build unix

package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/proxy"
)

// passed is a listening socket of this process that a proxy gets, as systemd passes one.
type passed struct {
	file *os.File
	name string
	at   string // HOST:PORT or a path
}

func listenFor(t *testing.T, name, network, address string) passed {
	t.Helper()
	l, err := net.Listen(network, address)
	must.OK(t, err)
	if l, ok := l.(*net.UnixListener); ok {
		l.SetUnlinkOnClose(false)
	}
	file, err := l.(interface{ File() (*os.File, error) }).File()
	must.OK(t, err)
	at := l.Addr().String()
	must.OK(t, l.Close()) // the file listens
	t.Cleanup(func() { must.OK(t, file.Close()) })
	return passed{file, name, at}
}

// startWith runs the program in dir with sockets.
func startWith(t *testing.T, dir, config string, sockets []passed, args ...string) *proxyProcess {
	t.Helper()
	p := &proxyProcess{t: t, dir: dir, program: "sh", exited: make(chan struct{})}
	p.configure(config)
	var names []string
	for _, s := range sockets {
		p.extra = append(p.extra, s.file)
		names = append(names, s.name)
	}
	script := fmt.Sprintf(`LISTEN_PID=$$ LISTEN_FDS=%d LISTEN_FDNAMES=%s exec "$0" "$@"`,
		len(sockets), strings.Join(names, ":"))
	p.start(append([]string{"-c", script, binary}, args...)...)
	return p
}

// TestActivation: frontends, with a front and without, the control socket and the page take the
// sockets that systemd passes. Clients who come before the proxy wait, and those of its successor
// find the same ports.
func TestActivation(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "activation") // the path of a socket is short
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, os.RemoveAll(dir)) })
	server, client := identity(t, dir, "server"), filepath.Join(dir, "client.key_secret")
	identity(t, dir, "client")
	front := listenFor(t, "front", "tcp4", "127.0.0.1:0")
	plain := listenFor(t, "plain", "tcp4", "127.0.0.1:0")
	file := listenFor(t, "file", "unix", filepath.Join(dir, "file.sock"))
	fileFront := listenFor(t, "filefront", "unix", filepath.Join(dir, "filefront.sock"))
	control := listenFor(t, "control", "unix", filepath.Join(dir, "control.sock"))
	page := listenFor(t, "page", "tcp4", "127.0.0.1:0")
	sockets := []passed{front, plain, file, fileFront, control, page}
	frontend := func(name, bind string, more ...string) string {
		return frontendConfig(name, "router", bind, "tcp://127.0.0.1:9", "curve",
			append(more, "domain = d", "certificate = server.key_secret")...)
	}
	without := "domain = d\n    curve = \"*\"\n" +
		frontend("plain", "tcp://"+plain.at) +
		frontend("file", "ipc://"+file.at) +
		frontend("filefront", "ipc://"+fileFront.at, "front = yes")
	config := without + frontend("front", "tcp://"+front.at, "front = yes")
	endpoints := []string{"tcp://" + front.at, "tcp://" + plain.at, "ipc://" + file.at,
		"ipc://" + fileFront.at}
	connect := func(endpoint string) *exec.Cmd {
		return exec.Command(binary, "connect", endpoint, "--cert", client, "--server-key",
			server.Public.String())
	}
	args := []string{"proxy", "--config", "zmqauth.zpl", "--control", "control.sock",
		"--http", page.at}
	for range 2 { // the sockets outlive the proxy
		early := connect(endpoints[0])
		must.OK(t, early.Start())
		p := startWith(t, dir, config, sockets, args...)
		p.waitFor(proxy.MessageReady, nil)
		must.OK(t, early.Wait())
		reload := func() {
			t.Helper()
			out, err := exec.Command(binary, "reload", "--control", control.at).CombinedOutput()
			if err != nil {
				t.Fatalf("reload: %v\n%s", err, out)
			}
		}
		letsIn := func() {
			t.Helper()
			for _, endpoint := range endpoints {
				if out, err := connect(endpoint).CombinedOutput(); err != nil {
					t.Errorf("%s: %v\n%s", endpoint, err, out)
				}
			}
		}
		letsIn()
		response, err := http.Get("http://" + page.at + "/readyz")
		must.OK(t, err)
		must.OK(t, response.Body.Close())
		if response.StatusCode != http.StatusOK {
			t.Errorf("/readyz: %s", response.Status)
		}
		p.configure(without) // and again with the frontend
		reload()
		p.configure(config)
		reload()
		letsIn()
		must.OK(t, p.stop(syscall.SIGTERM))
		for _, path := range []string{file.at, fileFront.at, control.at} {
			if _, err := os.Stat(path); err != nil {
				t.Errorf("the proxy has removed the file of a socket that is not its own: %v", err)
			}
		}
	}
}

// TestActivationUnused: a socket that nothing uses is an error that names it, in proxy and serve,
// and nobody is served.
func TestActivationUnused(t *testing.T) {
	dir := t.TempDir()
	stray := listenFor(t, "stray", "tcp4", "127.0.0.1:0")
	for command, config := range map[string]string{
		"proxy": managed,
		"serve": "domain = d\n    allow = 127.0.0.1\nservice = host\n    bind = ipc://WORK/zap.sock\n",
	} {
		p := startWith(t, dir, config, []passed{stray}, command, "--config", "zmqauth.zpl")
		<-p.exited
		want := `the service manager passes "stray", which listens at ` + stray.at + ": nothing"
		if text := p.text(); p.err == nil || !strings.Contains(text, want) ||
			strings.Contains(text, "ready") {
			t.Errorf("%s: %v, want %q in\n%s", command, p.err, want, text)
		}
	}
}
