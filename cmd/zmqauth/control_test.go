package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/admin"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/proxy"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// guarded is a proxy with a control socket: a CURVE frontend for ann and bob, and a PLAIN one for
// users whose name may be hostile.
type guarded struct {
	*proxyProcess
	zctx   *zmq4.Context
	config string
	server *zmqauth.Certificate
}

// hostile is the name of a user that would turn a terminal's text around, and clear it.
const hostile = "b\u202eb\x1b[2J"

func startGuarded(t *testing.T, more ...string) *guarded {
	t.Helper()
	dir := t.TempDir()
	mkdir(t, dir, "clients")
	hash, err := zmqauth.HashPassword("secret")
	must.OK(t, err)
	must.OK(t, os.WriteFile(filepath.Join(dir, "users"), []byte(hostile+":"+hash+"\n"), 0o600))
	g := &guarded{zctx: testzmq.NewContext(t), server: identity(t, dir, "server")}
	service := echo(t, g.zctx)
	g.config = "domain = orders\n    curve = clients\ndomain = jobs\n    plain = users\n" +
		frontendConfig("orders", "router", "tcp://127.0.0.1:*", service, "curve",
			append([]string{"certificate = server.key_secret"}, more...)...) +
		frontendConfig("jobs", "router", "tcp://127.0.0.1:*", service, "plain")
	g.proxyProcess = startProxy(t, dir, g.config, "--control", "control.sock")
	return g
}

// enter has a client with a certificate among those that are let in connect.
func (g *guarded) enter(t *testing.T, name string) (*zmq4.Socket, *zmqauth.Certificate) {
	t.Helper()
	cert := identity(t, g.dir, name)
	old := filepath.Join(g.dir, name+".key")
	must.OK(t, os.Rename(old, filepath.Join(g.dir, "clients", name+".key")))
	g.waitUntilKnown(t, cert)
	s := testzmq.NewSocket(t, g.zctx, zmq4.REQ)
	must.OK(t, errors.Join(s.SetReqRelaxed(1), s.SetReqCorrelate(1)))
	must.OK(t, enter(t, s, g.endpoint("orders"), g.server, cert))
	must.OK(t, ask(s, "hello"))
	return s, cert
}

// waitUntilKnown waits until the proxy has read a certificate: until then its owner is refused.
func (g *guarded) waitUntilKnown(t *testing.T, cert *zmqauth.Certificate) {
	t.Helper()
	testpeer.Eventually(t, "the certificate is known", func() bool {
		s, err := g.zctx.NewSocket(zmq4.DEALER)
		must.OK(t, err)
		defer s.Close()
		must.OK(t, s.SetLinger(0))
		return enter(t, s, g.endpoint("orders"), g.server, cert) == nil
	})
	g.await(t, 0, "--key", cert.Public.String())
}

// tool runs a command of the tool in the proxy's directory.
func (g *guarded) tool(args ...string) (stdout, stderr string, code int) {
	var out, errs bytes.Buffer
	cmd := exec.Command(binary, append(args, "--control", "control.sock")...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = g.dir, &out, &errs
	_ = cmd.Run()
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// sessions lists the sessions that flags choose, with the tool.
func (g *guarded) sessions(t *testing.T, flags ...string) (all []admin.Session) {
	t.Helper()
	out, errs, code := g.tool(append([]string{"sessions", "--json"}, flags...)...)
	if code != 0 {
		t.Fatalf("sessions: %s", errs)
	}
	must.OK(t, json.Unmarshal([]byte(out), &all))
	return all
}

// await lists sessions until there are so many.
func (g *guarded) await(t *testing.T, count int, flags ...string) (all []admin.Session) {
	t.Helper()
	testpeer.Eventually(t, fmt.Sprintf("%d sessions of %v", count, flags), func() bool {
		all = g.sessions(t, flags...)
		return len(all) == count
	})
	return all
}

// TestKick: each selector ends the sessions that it names, and no others. Who may, comes back.
func TestKick(t *testing.T) {
	g := startGuarded(t)
	ann, annCert := g.enter(t, "ann")
	_, bobCert := g.enter(t, "bob")
	plain := testzmq.NewSocket(t, g.zctx, zmq4.DEALER)
	must.OK(t, zmqauth.PlainClient(plain, hostile, "secret"))
	must.OK(t, enter(t, plain, g.endpoint("jobs"), nil, nil))
	all := g.await(t, 3)
	first := all[0]
	if first.Key != annCert.Public.String() || first.Domain != "orders" ||
		!slices.Equal(first.Frontends, []string{"orders"}) || first.Mechanism != "CURVE" ||
		first.Address != "127.0.0.1" || first.Port == 0 || !first.Exact {
		t.Errorf("%+v", first)
	}
	bob := bobCert.Public.String()
	for _, flags := range [][]string{{"--key", bob}, {"--key", "clients/bob.key"}, {"--user", bob},
		{"--id"}, {"--frontend", "orders", "--key", bob, "--address", "127.0.0.0/8"}} {
		session := g.await(t, 1, "--key", bob)[0]
		if len(flags) == 1 {
			flags = append(flags, fmt.Sprint(session.ID))
		}
		out, errs, code := g.tool(append([]string{"kick"}, flags...)...)
		if code != 0 || !strings.HasPrefix(out, "sessions ended: 1\n") ||
			!strings.Contains(out, "take the\ncertificate out") {
			t.Errorf("%v: %d %s%s", flags, code, out, errs)
		}
		g.await(t, 0, "--id", fmt.Sprint(session.ID))
		g.await(t, 1, "--key", bob) // libzmq connects again
		if left := g.sessions(t, "--id", fmt.Sprint(first.ID)); len(left) != 1 {
			t.Errorf("after %v ann is gone", flags)
		}
		must.OK(t, ask(ann, "unharmed"))
	}
	for _, flags := range [][]string{{"--user", "eve"}, {"--id", fmt.Sprint(1 << 40)},
		{"--address", "192.0.2.0/24"}, {"--domain", "jobs", "--key", bob}} {
		if out, errs, code := g.tool(append([]string{"kick"}, flags...)...); code != exitFailure ||
			out != "sessions ended: 0\n" || errs != "" {
			t.Errorf("%v: %d %s%s", flags, code, out, errs)
		}
	}
	if left := g.sessions(t, "--id", fmt.Sprint(first.ID)); len(left) != 1 {
		t.Error("ann is gone")
	}
	if out, _, code := g.tool("kick", "--address", "127.0.0.1", "--json"); code != 0 ||
		out != "{\n  \"kicked\": 3\n}\n" {
		t.Errorf("all: %d %s", code, out)
	}
	g.await(t, 3)
	g.waitFor("zmqauth: sessions were ended through the control socket",
		map[string]string{"chosen": `address="127.0.0.1"`, "sessions": "3"})
}

// TestSessionsAreSafeToShow: what a client calls itself does nothing to a terminal.
func TestSessionsAreSafeToShow(t *testing.T) {
	g := startGuarded(t)
	s := testzmq.NewSocket(t, g.zctx, zmq4.DEALER)
	must.OK(t, zmqauth.PlainClient(s, hostile, "secret"))
	must.OK(t, enter(t, s, g.endpoint("jobs"), nil, nil))
	if all := g.await(t, 1); all[0].User != hostile {
		t.Errorf("%+v", all)
	}
	watch := g.watch(t)
	for _, args := range [][]string{{"sessions"}, {"sessions", "--json"}} {
		out, _, code := g.tool(args...)
		if code != 0 || strings.ContainsAny(out, "\u202e\x1b") {
			t.Errorf("%v: %d %q", args, code, out)
		}
		if len(args) == 1 && !strings.Contains(out, "  b\ufffdb\ufffd[2J  ") {
			t.Errorf("%q", out)
		}
	}
	if _, errs, code := g.tool("kick", "--user", hostile); code != 0 {
		t.Errorf("%d %s", code, errs)
	}
	for _, want := range []string{"close", "open"} {
		line := watch.next(t)
		if strings.ContainsAny(line, "\u202e\x1b") || !strings.HasPrefix(line, want+"  ") {
			t.Errorf("%q, want %s", line, want)
		}
	}
}

// watch is a process of "zmqauth sessions --watch".
type watch struct {
	cmd   *exec.Cmd
	lines *bufio.Reader
}

// watch begins one. It tells all that happens after that.
func (g *guarded) watch(t *testing.T, flags ...string) *watch {
	t.Helper()
	args := append([]string{"sessions", "--watch", "--control", "control.sock"}, flags...)
	w := &watch{cmd: exec.Command(binary, args...)}
	w.cmd.Dir = g.dir
	stdout, err := w.cmd.StdoutPipe()
	must.OK(t, err)
	must.OK(t, w.cmd.Start())
	t.Cleanup(func() {
		_ = w.cmd.Process.Kill()
		_ = w.cmd.Wait()
	})
	w.lines = bufio.NewReader(stdout)
	w.next(t) // the header, or the event that says so
	return w
}

func (w *watch) next(t *testing.T) string {
	t.Helper()
	line, err := w.lines.ReadString('\n')
	must.OK(t, err)
	return line
}

// TestWatchSessions: a watch tells what opens and closes, of a client of another language too, and
// ends by a signal or with the proxy.
func TestWatchSessions(t *testing.T) {
	g := startGuarded(t)
	_, cert := g.enter(t, "ann")
	g.await(t, 1)
	python := testpeer.Python(t, "zmq", "python3-zmq")
	const script = `
import sys, zmq
endpoint, server, public, secret = sys.argv[1:]
s = zmq.Context().socket(zmq.REQ)
s.curve_serverkey, s.curve_publickey = server.encode(), public.encode()
s.curve_secretkey = secret.encode()
s.connect(endpoint)
s.send(b"hello")
assert s.poll(30000) and s.recv() == b"hello"
print("in", flush=True)
sys.stdin.read()
`
	w := g.watch(t, "--json", "--key", cert.Public.String())
	all := g.watch(t)
	cmd := exec.Command(python, "-c", script, g.endpoint("orders"), g.server.Public.String(),
		cert.Public.String(), cert.Secret.Z85())
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	must.OK(t, err)
	must.OK(t, cmd.Start())
	opened := w.event(t)
	must.OK(t, errors.Join(stdin.Close(), cmd.Wait()))
	closed := w.event(t)
	if opened.Event != admin.EventOpen || closed.Event != admin.EventClose ||
		opened.Session.ID != closed.Session.ID || opened.Session.Key != cert.Public.String() {
		t.Errorf("%+v, %+v", opened, closed)
	}
	for _, want := range []string{"open", "close"} {
		if line := all.next(t); !strings.HasPrefix(line,
			fmt.Sprintf("%s  %d  orders  orders  CURVE  ", want, opened.Session.ID)) {
			t.Errorf("%q", line)
		}
	}
	must.OK(t, w.cmd.Process.Signal(syscall.SIGINT))
	if err := w.cmd.Wait(); err != nil {
		t.Errorf("after an interrupt: %v", err)
	}
	must.OK(t, g.stop(syscall.SIGTERM))
	_, err = io.Copy(io.Discard, all.lines)
	must.OK(t, err)
	if err := all.cmd.Wait(); err == nil {
		t.Error("a watch whose proxy has ended is no error")
	}
}

func (w *watch) event(t *testing.T) (e admin.Event) {
	t.Helper()
	must.OK(t, json.Unmarshal([]byte(w.next(t)), &e))
	return e
}

// TestRemovedCertificateEndsSession: taking a certificate out of the directory throws its owner
// out, and nobody else.
func TestRemovedCertificateEndsSession(t *testing.T) {
	g := startGuarded(t)
	ann, annCert := g.enter(t, "ann")
	_, bobCert := g.enter(t, "bob")
	before := g.await(t, 2)
	must.OK(t, os.Remove(filepath.Join(g.dir, "clients", "bob.key")))
	left := g.await(t, 1)
	if left[0].ID != before[0].ID || left[0].Key != annCert.Public.String() {
		t.Errorf("%+v", left)
	}
	g.waitFor("zmqauth: refused", map[string]string{"reason": zmqauth.ReasonUnknownKey})
	if back := g.sessions(t, "--key", bobCert.Public.String()); len(back) != 0 {
		t.Errorf("%+v", back)
	}
	must.OK(t, ask(ann, "unharmed"))
}

// TestControlSocketStays: a reload leaves the control socket and the watches as they are, and the
// sessions of a frontend whose limits alone have changed. The end of the proxy removes the socket.
func TestControlSocketStays(t *testing.T) {
	g := startGuarded(t, "connections-per-address = 50")
	ann, _ := g.enter(t, "ann")
	before := g.await(t, 1)
	w := g.watch(t, "--json")
	path := filepath.Join(g.dir, "control.sock")
	info, err := os.Lstat(path)
	must.OK(t, err)
	if info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	g.configure(strings.Replace(g.config, "per-address = 50", "per-address = 1", 1))
	g.reload(proxy.MessageReloaded)
	g.waitFor(proxy.MessageLimits, map[string]string{"limits": "connections-per-address 1"})
	if after := g.sessions(t); len(after) != 1 || after[0].ID != before[0].ID {
		t.Errorf("%+v became %+v", before, after)
	}
	must.OK(t, ask(ann, "unharmed"))
	late := testzmq.NewSocket(t, g.zctx, zmq4.DEALER)
	must.OK(t, zmqauth.CurveClient(late, g.server.Public, identity(t, g.dir, "late")))
	must.OK(t, late.Connect(g.endpoint("orders")))
	g.waitFor("zmqauth: connections are turned away",
		map[string]string{"reason": "too-many-connections-of-address"})
	if again, err := os.Lstat(path); err != nil || !os.SameFile(info, again) {
		t.Errorf("the socket is another one: %v", err)
	}
	second := &proxyProcess{t: t, dir: g.dir, exited: make(chan struct{})}
	second.start("proxy", "--config", "zmqauth.zpl", "--control", "control.sock")
	if err := second.wait(); err == nil ||
		!strings.Contains(second.text(), "another program listens there") {
		t.Errorf("a second proxy: %v\n%s", err, second.text())
	}
	if _, errs, code := g.tool("kick", "--id", fmt.Sprint(before[0].ID)); code != 0 {
		t.Errorf("kick: %s", errs)
	}
	if e := w.event(t); e.Event != admin.EventClose || e.Session.ID != before[0].ID {
		t.Errorf("%+v", e)
	}
	must.OK(t, g.stop(syscall.SIGTERM))
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
	if _, errs, code := g.tool("sessions"); code != exitFailure ||
		!strings.Contains(errs, "nobody serves it") {
		t.Errorf("without a proxy: %d %s", code, errs)
	}
}

// TestStaleControlSocket: a proxy takes over the socket of one that was killed.
func TestStaleControlSocket(t *testing.T) {
	g := startGuarded(t)
	must.OK(t, g.cmd.Process.Kill())
	<-g.exited
	if _, err := os.Lstat(filepath.Join(g.dir, "control.sock")); err != nil {
		t.Fatalf("no stale socket: %v", err)
	}
	g.proxyProcess = startProxy(t, g.dir, g.config, "--control", "control.sock")
	if all := g.sessions(t); len(all) != 0 {
		t.Errorf("%+v", all)
	}
}
