package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/admin"
	"github.com/zmqauth/zmqauth/enrol"
	"github.com/zmqauth/zmqauth/fleet"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/proxy"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// engineProgram builds zmqauth-engine, once. It has no race detector: most of it is nats-server.
var engineProgram = sync.OnceValues(func() (string, error) {
	path := filepath.Join(filepath.Dir(binary), "zmqauth-engine")
	out, err := exec.Command("go", "build", "-o", path, "../zmqauth-engine").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, out)
	}
	return path, err
})

// fleetWorld is an engine, and an administrator who runs commands.
type fleetWorld struct {
	t      *testing.T
	dir    string
	engine *proxyProcess
}

// newFleetWorld makes the files of a fleet and runs its engine.
func newFleetWorld(t *testing.T, servers ...string) *fleetWorld {
	t.Helper()
	w := &fleetWorld{t: t, dir: t.TempDir()}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	must.OK(t, err)
	must.OK(t, free.Close())
	w.run("fleet", "init", "fleet", "--name", "test", "--admin", "ann",
		"--engine", free.Addr().String(), "--servers", strings.Join(servers, ","))
	w.startEngine()
	return w
}

// startEngine runs the engine until the test ends.
func (w *fleetWorld) startEngine() {
	w.t.Helper()
	program, err := engineProgram()
	must.OK(w.t, err)
	w.engine = &proxyProcess{t: w.t, dir: w.dir, program: program, exited: make(chan struct{})}
	w.engine.start("fleet/engine-1.engine")
	w.engine.waitFor("zmqauth-engine: the bucket is there", nil)
}

// try runs the tool as the administrator.
func (w *fleetWorld) try(args ...string) (out, said string, err error) {
	command := exec.Command(binary, args...)
	command.Dir = w.dir
	command.Env = append(os.Environ(), "ZMQAUTH_FLEET=fleet/ann.admin")
	command.Stdin = strings.NewReader("a password\n")
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	err = command.Run()
	return stdout.String(), stderr.String(), err
}

// run is try for commands that succeed.
func (w *fleetWorld) run(args ...string) string {
	w.t.Helper()
	out, said, err := w.try(args...)
	if err != nil {
		w.t.Fatalf("zmqauth %s: %v\n%s%s", strings.Join(args, " "), err, out, said)
	}
	return out
}

// proxy runs a proxy that is a server of the fleet.
func (w *fleetWorld) proxy(server, backend string) *proxyProcess {
	w.t.Helper()
	dir := mkdir(w.t, w.dir, server)
	w.run("fleet", "join", "fleet/"+server+".server", "--to", filepath.Join(server, "fleet.conf"))
	identity(w.t, dir, "server")
	return startProxy(w.t, dir, fleetConfig("fleet.conf", backend))
}

// fleetConfig is a policy with a frontend that the fleet decides about.
func fleetConfig(fleet, backend string) string {
	return "fleet = " + fleet + "\n" + frontendConfig("orders", "router", "tcp://127.0.0.1:*", backend,
		"curve", "certificate = server.key_secret")
}

// serverOf is the certificate of a proxy's frontend.
func serverOf(t *testing.T, p *proxyProcess) *zmqauth.Certificate {
	t.Helper()
	cert, err := zmqauth.LoadCertificate(filepath.Join(p.dir, "server.key"))
	must.OK(t, err)
	return cert
}

// client is one who knocks at the frontend of a proxy.
type client struct {
	t      *testing.T
	zctx   *zmq4.Context
	socket *zmq4.Socket
	events *zmq4.Socket // of the socket's monitor
}

// knock connects and tells whether the client is let in.
func knock(t *testing.T, p *proxyProcess, own *zmqauth.Certificate) (*client, error) {
	t.Helper()
	zctx, err := zmq4.NewContext()
	must.OK(t, err)
	t.Cleanup(func() { _ = zctx.Term() })
	socket, err := zctx.NewSocket(zmq4.REQ)
	must.OK(t, err)
	t.Cleanup(func() { _ = socket.Close() })
	must.OK(t, socket.SetLinger(0))
	must.OK(t, socket.SetRcvtimeo(patience))
	return &client{t: t, zctx: zctx, socket: socket},
		enter(t, socket, p.endpoint("orders"), serverOf(t, p), own)
}

// mustEnter is knock for who is let in and served, once the server knows it.
func mustEnter(t *testing.T, p *proxyProcess, own *zmqauth.Certificate) (c *client) {
	t.Helper()
	testpeer.Eventually(t, "the client is let in", func() (in bool) {
		var err error
		if c, err = knock(t, p, own); err != nil && !errors.Is(err, zmqauth.ErrDenied) {
			t.Fatal(err)
		}
		return err == nil
	})
	must.OK(t, ask(c.socket, "hello"))
	return c
}

// watch begins to look for the end of the connection.
func (c *client) watch() *client {
	c.t.Helper()
	events, err := c.zctx.NewSocket(zmq4.PAIR)
	must.OK(c.t, err)
	c.t.Cleanup(func() { _ = events.Close() })
	must.OK(c.t, events.SetRcvtimeo(patience))
	must.OK(c.t, c.socket.Monitor("inproc://end", zmq4.EVENT_DISCONNECTED))
	must.OK(c.t, events.Connect("inproc://end"))
	c.events = events
	return c
}

// isCut waits for that end.
func (c *client) isCut() {
	c.t.Helper()
	if _, _, _, err := c.events.RecvEvent(0); err != nil {
		c.t.Errorf("the connection goes on: %v", err)
	}
}

// mustNotEnter is knock for who is refused.
func mustNotEnter(t *testing.T, p *proxyProcess, own *zmqauth.Certificate) {
	t.Helper()
	if _, err := knock(t, p, own); !errors.Is(err, zmqauth.ErrDenied) {
		t.Errorf("a client that must be refused: %v", err)
	}
}

// TestFleet: of two proxies, each lets in whom an administrator lets in, and cuts off and refuses
// whom he revokes. That outlives a crash of the engine.
func TestFleet(t *testing.T) {
	w := newFleetWorld(t, "one", "two")
	zctx, err := zmq4.NewContext()
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, zctx.Term()) })
	backend := echo(t, zctx)
	one, two := w.proxy("one", backend), w.proxy("two", backend)
	both := []*proxyProcess{one, two}
	ann, bob := identity(t, w.dir, "ann"), identity(t, w.dir, "bob")

	mustNotEnter(t, one, ann)
	w.run("fleet", "add-key", "ann.key", "--domain", "orders", "--user", "ann")
	w.run("fleet", "add-key", "bob.key", "--domain", "orders", "--user", "bob")
	inside := []*client{mustEnter(t, one, ann).watch(), mustEnter(t, two, ann).watch()}
	stays := mustEnter(t, one, bob).watch()

	out := w.run("fleet", "revoke", "--user", "ann", "--wait", "--why", "the laptop is gone")
	if !strings.Contains(out, "confirmed by 2 servers") {
		t.Errorf("revoke --wait says %s", out)
	}
	for i, p := range both {
		inside[i].isCut()
		mustNotEnter(t, p, ann)
	}
	must.OK(t, ask(stays.socket, "still here"))
	_, said, err := w.try("fleet", "add-key", "ann.key", "--domain", "orders")
	if err == nil || !strings.Contains(said, "revoked by ann") ||
		!strings.Contains(said, "the laptop is gone") {
		t.Errorf("to let in again who was revoked: %v, %s", err, said)
	}

	// The fleet's domains survive a reload.
	one.reload(proxy.MessageReloaded)
	must.OK(t, ask(stays.socket, "after the reload"))
	mustEnter(t, one, bob)
	mustNotEnter(t, one, ann)

	// Without an engine everything stays as it is. One that comes back has lost nothing.
	must.OK(t, w.engine.cmd.Process.Kill())
	<-w.engine.exited
	must.OK(t, ask(stays.socket, "without an engine"))
	mustEnter(t, two, bob)
	mustNotEnter(t, two, ann)
	w.startEngine()
	w.run("fleet", "revoke", "bob.key", "--domain", "orders", "--wait")
	stays.isCut()
	for _, p := range both {
		mustNotEnter(t, p, bob)
	}
	w.looksAround(ann)
}

// looksAround: what the commands show that only look.
func (w *fleetWorld) looksAround(ann *zmqauth.Certificate) {
	t := w.t
	t.Helper()
	var status fleetInfo
	must.OK(t, json.Unmarshal([]byte(w.run("fleet", "status", "--json")), &status))
	if len(status.Servers) != 2 || status.Servers[0].Server != "one" ||
		status.Servers[0].State != "ok" {
		t.Errorf("the status is %+v", status)
	}
	out := w.run("fleet", "list", "--revoked")
	if !strings.Contains(out, enrol.Fingerprint(ann.Public)) {
		t.Errorf("revoked are %s", out)
	}
	history := w.run("fleet", "history", "ann.key")
	if strings.Count(history, "\n") != 3 || !strings.Contains(history, "the laptop is gone") {
		t.Errorf("the history is %s", history)
	}
	testpeer.Eventually(t, "the audit log has the cut", func() bool {
		out := w.run("fleet", "audit", "--user", "ann")
		return strings.Contains(out, "cut  server=one") && strings.Contains(out, "cut  server=two") &&
			strings.Contains(out, "reason=revoked")
	})
}

// TestFleetEnrols: a client with an unknown key is told to try again, until he is let in or
// refused.
func TestFleetEnrols(t *testing.T) {
	w := newFleetWorld(t, "one")
	zctx, err := zmq4.NewContext()
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, zctx.Term()) })
	backend := echo(t, zctx)
	p := w.proxy("one", backend)
	eve, ann := identity(t, w.dir, "eve"), identity(t, w.dir, "ann")
	mustNotEnter(t, p, ann)
	p.configure(fleetConfig("fleet.conf\n    unknown = pending", backend))
	p.reload(proxy.MessageReloaded)
	outcomes := make(map[*zmqauth.Certificate]chan error)
	for _, own := range []*zmqauth.Certificate{eve, ann} {
		outcome := make(chan error, 1)
		outcomes[own] = outcome
		go func() {
			_, err := knock(t, p, own)
			outcome <- err
		}()
	}
	testpeer.Eventually(t, "both are pending", func() bool {
		out := w.run("fleet", "pending")
		return strings.Contains(out, enrol.Fingerprint(eve.Public)) &&
			strings.Contains(out, enrol.Fingerprint(ann.Public))
	})
	w.run("fleet", "deny", enrol.Fingerprint(eve.Public))
	w.run("fleet", "approve", enrol.Fingerprint(ann.Public), "--user", "ann")
	must.OK(t, <-outcomes[ann])
	if err := <-outcomes[eve]; !errors.Is(err, zmqauth.ErrDenied) {
		t.Errorf("who was denied: %v", err)
	}
	mustEnter(t, p, ann)
	if out := w.run("fleet", "pending"); strings.Contains(out, "SHA256") {
		t.Errorf("still pending: %s", out)
	}
	if _, said, err := w.try("fleet", "approve", enrol.Fingerprint(eve.Public)); err == nil {
		t.Errorf("who was denied is let in: %s", said)
	}
}

// TestFleetStolenServer: who has a server's file can change nothing.
func TestFleetStolenServer(t *testing.T) {
	w := newFleetWorld(t, "one")
	stolen := w.member("one.server")
	conn, err := stolen.Connect(nil, false)
	must.OK(t, err)
	t.Cleanup(conn.Close)
	denied := make(chan string, 100)
	conn.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		denied <- err.Error()
	})
	ann := identity(t, w.dir, "ann")
	e := fleet.Entry{Kind: fleet.KindKey, Domain: "orders", PublicKey: ann.Public,
		State: fleet.Granted, Revision: 1}
	subject := "$KV.zmqauth." + e.Key()
	for _, subject := range []string{subject, "$KV.zmqauth.meta", "$KV.zmqauth.server.two",
		"zmqauth.notices", "zmqauth.changes.meta", "$JS.API.STREAM.DELETE.KV_zmqauth",
		"$JS.API.STREAM.PURGE.KV_zmqauth", "$JS.API.CONSUMER.CREATE.KV_zmqauth", "$SYS.REQ.SERVER.PING"} {
		must.OK(t, conn.Publish(subject, []byte("{}")))
		must.OK(t, conn.Flush())
		if said := <-denied; !strings.Contains(said, subject) {
			t.Errorf("%s: the engine says %s", subject, said)
		}
	}
	for _, subject := range []string{">", "$KV.>", "_INBOX_ann.>", "$SYS.>"} {
		_, err := conn.SubscribeSync(subject)
		must.OK(t, err)
		must.OK(t, conn.Flush())
		if said := <-denied; !strings.Contains(said, subject) {
			t.Errorf("to hear %s: the engine says %s", subject, said)
		}
	}
	// The answer to what it may ask goes to nobody else.
	must.OK(t, conn.PublishRequest("$JS.API.DIRECT.GET.KV_zmqauth", subject,
		[]byte(`{"last_by_subj":"$KV.zmqauth.meta"}`)))
	must.OK(t, conn.Flush())
	if out := w.run("fleet", "list", "--json"); out != "[]\n" {
		t.Errorf("the fleet has %s", out)
	}
	if out := w.run("fleet", "history", "--json"); out != "[]\n" {
		t.Errorf("the history is %s", out)
	}
	// Its file is that of no administrator.
	_, said, err := w.try("fleet", "list", "--as", "fleet/one.server")
	if err == nil || !strings.Contains(said, "this is the file of a server") {
		t.Errorf("as a server: %v, %s", err, said)
	}
}

// TestFleetSnapshot: a proxy that starts without an engine lets in whom it knows, and one that has
// nothing waits, and ends when it is told to.
func TestFleetSnapshot(t *testing.T) {
	w := newFleetWorld(t, "one", "two")
	zctx, err := zmq4.NewContext()
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, zctx.Term()) })
	backend := echo(t, zctx)
	p := w.proxy("one", backend)
	ann := identity(t, w.dir, "ann")
	w.run("fleet", "add-key", "ann.key", "--domain", "orders", "--wait")
	must.OK(t, p.stop(syscall.SIGTERM))
	w.run("fleet", "join", "fleet/two.server", "--to", "two.conf")
	must.OK(t, w.engine.stop(syscall.SIGTERM))

	again := &proxyProcess{t: t, dir: p.dir, exited: make(chan struct{})}
	again.start("proxy", "--config", "zmqauth.zpl")
	must.OK(t, os.WriteFile(filepath.Join(p.dir, "two.zpl"),
		[]byte(fleetConfig("../two.conf", backend)), 0o600))
	waits := &proxyProcess{t: t, dir: p.dir, exited: make(chan struct{})}
	waits.start("proxy", "--config", "two.zpl")
	waits.waitFor(proxy.MessageFleet, nil)
	must.OK(t, waits.stop(syscall.SIGTERM))
	if _, bound := waits.find("zmqauth: bound", nil); bound != 0 {
		t.Error("a proxy that knows nobody has opened its frontend")
	}
	again.waitFor(proxy.MessageJoined, nil)
	mustEnter(t, again, ann)
}

// TestFleetOfPassword: the hash of a password goes to the servers, and is shown nowhere.
func TestFleetOfPassword(t *testing.T) {
	w := newFleetWorld(t, "one")
	w.run("fleet", "add-user", "bob", "--domain", "jobs")
	stolen := w.member("one.server")
	conn, err := stolen.Connect(nil, false)
	must.OK(t, err)
	t.Cleanup(conn.Close)
	store, err := stolen.Store(conn, -1)
	must.OK(t, err)
	entries, _, err := store.Load(context.Background())
	must.OK(t, err)
	if len(entries) != 1 || !strings.HasPrefix(string(entries[0].Hash), "$argon2id$") {
		t.Fatalf("the fleet has %v", entries)
	}
	for _, args := range [][]string{{"list"}, {"list", "--json"}, {"history"}, {"audit"},
		{"audit", "--json"}} {
		out := w.run(append([]string{"fleet"}, args...)...)
		if strings.Contains(out, "$argon2id$") || strings.Contains(out, "a password") ||
			!strings.Contains(out, "bob") {
			t.Errorf("%v shows %s", args, out)
		}
	}
}

// TestFleetStale: while nobody new gets in because no engine proves that the news are fresh,
// /readyz, the metrics, status and health say so, until one does again.
func TestFleetStale(t *testing.T) {
	w := newFleetWorld(t, "one")
	dir := mkdir(t, w.dir, "one")
	w.run("fleet", "join", "fleet/one.server", "--to", "one/fleet.conf")
	conf, err := os.OpenFile(filepath.Join(dir, "fleet.conf"), os.O_APPEND|os.O_WRONLY, 0)
	must.OK(t, err)
	_, err = conf.WriteString("max-stale = 6s\n")
	must.OK(t, errors.Join(err, conf.Close()))
	identity(t, dir, "server")
	g := &guarded{proxyProcess: startProxy(t, dir, fleetConfig("fleet.conf", "tcp://127.0.0.1:9"),
		"--control", "control.sock", "--http", "127.0.0.1:0")}
	page := fmt.Sprint("http://", g.waitFor(admin.MessageHTTP, nil)["http"])
	health := func() *proxyHealth {
		t.Helper()
		out, _, _ := g.tool("health", "--config", "zmqauth.zpl", "--json")
		var report healthReport
		must.OK(t, json.Unmarshal([]byte(out), &report))
		return report.Proxy
	}
	isReady := func() bool {
		status, text := getPage(t, page+"/readyz")
		if status != http.StatusOK && text != "no: the fleet's news are too old: nobody new gets in to "+
			"its domains\n" {
			t.Errorf("%d: %s", status, text)
		}
		return status == http.StatusOK
	}
	if h := health(); !h.Healthy || h.Fleet == nil || h.Fleet.Suspended {
		t.Errorf("with an engine: %+v", h)
	}
	must.OK(t, w.engine.cmd.Process.Kill())
	<-w.engine.exited
	g.waitFor("zmqauth: the fleet's news are old, half of the time until nobody new gets in is over",
		nil)
	testpeer.Eventually(t, "the proxy is not ready", func() bool { return !isReady() })
	if h := health(); h.Healthy || !h.Fleet.Suspended ||
		!strings.Contains(h.Error, "not ready: fleet: the news are ") {
		t.Errorf("without an engine: %+v", h)
	}
	if _, text := getPage(t, page+"/metrics"); !strings.Contains(text, "\nzmqauth_fleet_closed 1\n") ||
		!strings.Contains(text, "\nzmqauth_fleet_fresh 0\n") {
		t.Error(text)
	}
	if out, _, code := g.tool("status"); code != 1 || !strings.Contains(out, "nobody new gets in") {
		t.Errorf("status: %d, %s", code, out)
	}
	w.startEngine()
	testpeer.Eventually(t, "the proxy is ready again", isReady)
}
