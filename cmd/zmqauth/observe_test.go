package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/admin"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/proxy"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// startObserved is a proxy with a control socket and a page, and where the page is.
func startObserved(t *testing.T, more ...string) (g *guarded, page string) {
	t.Helper()
	dir := t.TempDir()
	mkdir(t, dir, "clients")
	g = &guarded{zctx: testzmq.NewContext(t), server: identity(t, dir, "server")}
	g.config = "domain = orders\n    curve = clients\n" +
		frontendConfig("orders", "router", "tcp://127.0.0.1:*", echo(t, g.zctx), "curve",
			"certificate = server.key_secret")
	g.proxyProcess = startProxy(t, dir, g.config, append([]string{"--control", "control.sock",
		"--http", "127.0.0.1:0"}, more...)...)
	return g, fmt.Sprint("http://", g.waitFor(admin.MessageHTTP, nil)["http"])
}

// getPage reads a page.
func getPage(t *testing.T, url string) (status int, text string) {
	t.Helper()
	answer, err := http.Get(url)
	must.OK(t, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	must.OK(t, err)
	return answer.StatusCode, string(body)
}

// TestProxyObserved: a refusal is in the metrics and in status, and a wrong policy in both after a
// reload, which says what is wrong.
func TestProxyObserved(t *testing.T) {
	g, page := startObserved(t)
	for path, want := range map[string]int{"/": 200, "/healthz": 200, "/readyz": 200} {
		if status, text := getPage(t, page+path); status != want {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
	eve := identity(t, g.dir, "eve")
	s := testzmq.NewSocket(t, g.zctx, zmq4.DEALER)
	if err := enter(t, s, g.endpoint("orders"), g.server, eve); err == nil {
		t.Fatal("eve is let in")
	}
	g.enter(t, "ann")
	const counted = `zmqauth_decisions_total{domain="orders",mechanism="CURVE",reason="unknown-key",` +
		`status="400"}`
	testpeer.Eventually(t, "metrics show both", func() bool {
		_, text := getPage(t, page+"/metrics")
		return strings.Contains(text, counted) &&
			strings.Contains(text, `zmqauth_sessions{domain="orders"} 1`)
	})
	out, errs, code := g.tool("status")
	for _, want := range []string{"state           ready", "unknown-key", "sessions        1",
		filepath.Join(g.dir, "clients")} {
		if !strings.Contains(out, want) || code != 0 {
			t.Errorf("%d: no %q in %s%s", code, want, out, errs)
		}
	}
	if out, errs, code = g.tool("reload"); code != 0 || out != "reloaded\n" {
		t.Errorf("%d %s%s", code, out, errs)
	}
	g.configure(g.config + "nonsense = 1\n")
	if out, errs, code = g.tool("reload"); code != 1 || !strings.Contains(errs, "zmqauth.zpl:") ||
		!strings.Contains(errs, "nonsense") {
		t.Errorf("%d %s%s", code, out, errs)
	}
	if out, _, code = g.tool("status", "--json"); code != 1 {
		t.Errorf("status: %d", code)
	}
	var status admin.Status
	must.OK(t, json.Unmarshal([]byte(out), &status))
	if r := status.Reloads; r.OK != 1 || r.Failed != 1 || r.Last != admin.ReloadFailed ||
		!strings.Contains(r.Error, "nonsense") || !status.Ready {
		t.Errorf("%+v", r)
	}
	if _, text := getPage(t, page+"/metrics"); !strings.Contains(text, "zmqauth_config_current 0") {
		t.Error(text)
	}
}

// TestLogLevel: acceptances are logged or not, by log-level and by SIGUSR1.
func TestLogLevel(t *testing.T) {
	g, _ := startObserved(t, "--quiet")
	if out, errs, code := g.tool("log-level"); code != 0 || out != "level  INFO\n" {
		t.Errorf("%d %q%s", code, out, errs)
	}
	if out, errs, code := g.tool("log-level", "debug"); code != 0 ||
		out != "level  DEBUG\nwas    INFO\n" {
		t.Errorf("%d %q%s", code, out, errs)
	}
	if _, errs, code := g.tool("log-level", "loud"); code != 2 || !strings.Contains(errs, "loud") {
		t.Errorf("%d %s", code, errs)
	}
	_, cert := g.enter(t, "ann")
	testpeer.Eventually(t, "acceptances are logged", func() bool {
		s := testzmq.NewSocket(t, g.zctx, zmq4.DEALER)
		must.OK(t, errors.Join(s.SetLinger(0), enter(t, s, g.endpoint("orders"), g.server, cert)))
		_, count := g.find("zmqauth: accepted", nil)
		return count > 0
	})
	must.OK(t, g.cmd.Process.Signal(syscall.SIGUSR1))
	g.waitFor("zmqauth: another level of the log, by SIGUSR1", nil)
	if out, _, _ := g.tool("log-level", "--json"); !strings.Contains(out, `"INFO"`) {
		t.Error(out)
	}
}

// TestLogLimit: a flood of refusals from one address is in the log in part, and in a sum at the
// end.
func TestLogLimit(t *testing.T) {
	g, _ := startObserved(t, "--log-limit", "3")
	eve := identity(t, g.dir, "eve")
	for range 8 {
		s := testzmq.NewSocket(t, g.zctx, zmq4.DEALER)
		must.OK(t, s.SetLinger(0))
		if err := enter(t, s, g.endpoint("orders"), g.server, eve); err == nil {
			t.Fatal("eve is let in")
		}
	}
	must.OK(t, g.cmd.Process.Signal(syscall.SIGTERM))
	<-g.exited
	if _, refused := g.find("zmqauth: refused", nil); refused != 3 {
		t.Errorf("%d are logged", refused)
	}
	if !strings.Contains(g.text(), "zmqauth: refused 5 more in ") {
		t.Error("the log has no sum")
	}
}

// TestJournaldLog: the log goes to the journal, and nothing to stderr.
func TestJournaldLog(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "journal")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	must.OK(t, err)
	defer conn.Close()
	config := frontendConfig("a", "router", "tcp://127.0.0.1:*", "tcp://127.0.0.1:1", "null")
	must.OK(t, os.WriteFile(filepath.Join(dir, "z.zpl"), []byte(config), 0o600))
	cmd := exec.Command(binary, "proxy", "--config", "z.zpl", "--log", "journald")
	var stderr strings.Builder
	cmd.Dir, cmd.Stderr, cmd.Env = dir, &stderr, append(os.Environ(), journalVariable+"="+path)
	must.OK(t, cmd.Start())
	must.OK(t, conn.SetReadDeadline(time.Now().Add(patience)))
	for entry := make([]byte, 1<<16); ; {
		n, err := conn.Read(entry)
		must.OK(t, err)
		text := string(entry[:n])
		if strings.Contains(text, proxy.MessageReady) {
			if !strings.Contains(text, "\nZMQAUTH_FRONTENDS=1\n") ||
				!strings.Contains(text, "\nPRIORITY=6\n") {
				t.Error(text)
			}
			break
		}
	}
	must.OK(t, errors.Join(cmd.Process.Signal(syscall.SIGTERM), cmd.Wait()))
	if stderr.Len() > 0 {
		t.Error(stderr.String())
	}
	cmd = exec.Command(binary, "proxy", "--config", "z.zpl", "--log", "journald")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), journalVariable+"="+path+"-away")
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "no journal") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestHTTPFlags: what would show too much is a wrong command line.
func TestHTTPFlags(t *testing.T) {
	for want, args := range map[string][]string{
		"other hosts reach this address": {"--http", ":9090"},
		"need --http":                    {"--http-token-file", "t"},
		"needs a certificate and its":    {"--http", "127.0.0.1:0", "--http-key", "k"},
		"--http-group":                   {"--http", "unix:x", "--http-group", "no such group"},
		"HOST:PORT":                      {"--http", "9090"},
		"--log-limit":                    {"--log-limit", "-1"},
		"text, json or journald":         {"--log", "xml"},
	} {
		out, err := exec.Command(binary, append([]string{"proxy", "--config", "x"},
			args...)...).CombinedOutput()
		exit, _ := errors.AsType[*exec.ExitError](err)
		if exit == nil || exit.ExitCode() != 2 || !strings.Contains(string(out), want) {
			t.Errorf("%v: %v %s", args, err, out)
		}
	}
}

// tmux is a terminal multiplexer of its own.
type tmux struct {
	t      *testing.T
	socket string
}

func startTmux(t *testing.T, width, height int, dir string, command ...string) *tmux {
	t.Helper()
	testpeer.Program(t, "tmux", "tmux")
	m := &tmux{t, filepath.Join(t.TempDir(), "tmux")}
	m.do(append([]string{"-f", "/dev/null", "new-session", "-d", "-c", dir, "-x", fmt.Sprint(width),
		"-y", fmt.Sprint(height), "--"}, command...)...)
	t.Cleanup(func() { _ = exec.Command("tmux", "-S", m.socket, "kill-server").Run() })
	return m
}

func (m *tmux) do(args ...string) string {
	m.t.Helper()
	cmd := exec.Command("tmux", append([]string{"-S", m.socket}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "TERM=xterm-256color")
	out, err := cmd.CombinedOutput()
	if err != nil {
		m.t.Fatalf("tmux %v: %v: %s", args, err, out)
	}
	return string(out)
}

// shows waits until the screen shows a text.
func (m *tmux) shows(want string) (screen string) {
	m.t.Helper()
	testpeer.Eventually(m.t, "the screen shows "+want, func() bool {
		screen = m.do("capture-pane", "-p")
		return strings.Contains(screen, want)
	})
	return screen
}

// TestTop: it shows what happens, fits the terminal when that changes, and gives it back at q.
func TestTop(t *testing.T) {
	g, _ := startObserved(t)
	shell := fmt.Sprintf("%s top --control control.sock; echo code $?; exec cat", binary)
	m := startTmux(t, 100, 40, g.dir, "sh", "-c", shell)
	m.shows("REASON")
	eve := identity(t, g.dir, "eve")
	s := testzmq.NewSocket(t, g.zctx, zmq4.DEALER)
	if err := enter(t, s, g.endpoint("orders"), g.server, eve); err == nil {
		t.Fatal("eve is let in")
	}
	m.shows("unknown-key")
	g.enter(t, "ann")
	screen := m.shows("sessions 1")
	for _, want := range []string{"ready", "QUEUE", "hashes", "FOLLOWED", "clients: changed",
		"q ends"} {
		if !strings.Contains(screen, want) {
			t.Errorf("no %s in\n%s", want, screen)
		}
	}
	m.do("resize-window", "-x", "40", "-y", "10")
	screen = m.shows("lines more")
	for line := range strings.Lines(screen) {
		if n := len([]rune(strings.TrimRight(line, "\n"))); n > 40 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	m.do("resize-window", "-x", "100", "-y", "40")
	m.shows("FOLLOWED")
	m.do("send-keys", "Up") // ends nothing
	m.shows("FOLLOWED")
	m.do("send-keys", "q")
	if screen = m.shows("code 0"); strings.Contains(screen, "REASON") {
		t.Errorf("the screen is left behind:\n%s", screen)
	}
}

// TestTopWithoutTerminal: it needs one, and says what does not.
func TestTopWithoutTerminal(t *testing.T) {
	out, err := exec.Command(binary, "top", "--control", "none").CombinedOutput()
	exit, _ := errors.AsType[*exec.ExitError](err)
	if exit == nil || exit.ExitCode() != 1 || !strings.Contains(string(out), "zmqauth status") {
		t.Errorf("%v %s", err, out)
	}
}

// TestTopFrozenProxy: what stands still is not shown as ready until the patience of status ends.
func TestTopFrozenProxy(t *testing.T) {
	g, _ := startObserved(t)
	m := startTmux(t, 140, 30, g.dir, binary, "top", "--control", "control.sock")
	m.shows("REASON")
	must.OK(t, g.cmd.Process.Signal(syscall.SIGSTOP))
	defer func() { must.OK(t, g.cmd.Process.Signal(syscall.SIGCONT)) }()
	status := exec.Command(binary, "status", "--control", "control.sock")
	status.Dir = g.dir
	must.OK(t, status.Start())
	ended := make(chan error, 1)
	go func() { ended <- status.Wait() }()
	defer func() { _ = status.Process.Kill() }()
	screen := m.shows("NO ANSWER")
	select {
	case err := <-ended:
		t.Errorf("status has ended before: %v", err)
	default:
	}
	if !strings.Contains(screen, "stands still") {
		t.Errorf("it does not say what may be:\n%s", screen)
	}
}

// TestTopLosesProxy: it says that the proxy is away, and shows it again when it is back.
func TestTopLosesProxy(t *testing.T) {
	g, _ := startObserved(t)
	m := startTmux(t, 120, 30, g.dir, binary, "top", "--control", "control.sock")
	m.shows("REASON")
	must.OK(t, g.cmd.Process.Kill())
	<-g.exited
	m.shows("NO ANSWER")
	startProxy(t, g.dir, g.config, "--control", "control.sock")
	testpeer.Eventually(t, "it is back", func() bool {
		return !strings.Contains(m.do("capture-pane", "-p"), "NO ANSWER")
	})
}
