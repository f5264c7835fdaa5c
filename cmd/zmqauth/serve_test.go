package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/admin"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
	"github.com/zmqauth/zmqauth/internal/zapservice"
	"github.com/zmqauth/zmqauth/zapproxy"
)

// serving is a process that runs the command serve, for this process's relay.
type serving struct {
	*proxyProcess
	zctx     *zmq4.Context
	endpoint string
	relay    *zapproxy.Link
}

// policy is that of serve's tests: ann's password, and what else is in it.
func (s *serving) policy(more string) string {
	return "domain = orders\n    plain = users\nservice = host\n    bind = " + s.endpoint + "\n" + more
}

func startServe(t *testing.T, more string) *serving {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "serve") // the path of a socket is short
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, os.RemoveAll(dir)) })
	hash, err := zmqauth.HashPassword("secret")
	must.OK(t, err)
	must.OK(t, os.WriteFile(filepath.Join(dir, "users"), []byte("ann:"+hash+"\n"), 0o600))
	s := &serving{proxyProcess: &proxyProcess{t: t, dir: dir}, zctx: testzmq.NewContext(t),
		endpoint: "ipc://" + dir + "/zap/zap.sock"}
	s.configure(s.policy(more))
	s.run()
	s.relay, err = zapproxy.Relay(s.zctx, s.endpoint)
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, s.relay.Close()) })
	s.await(true)
	return s
}

// run runs the program, once more perhaps.
func (s *serving) run() {
	s.t.Helper()
	_, before := s.find(zapservice.MessageReady, nil)
	s.exited = make(chan struct{})
	s.start("serve", "--config", "zmqauth.zpl", "--control", "control.sock",
		"--http", "127.0.0.1:0")
	s.waitForMore(before, zapservice.MessageReady, nil)
}

func (s *serving) await(connected bool) {
	s.t.Helper()
	testpeer.Eventually(s.t, fmt.Sprintf("connected is %v", connected), func() bool {
		return s.relay.Stats().Connected == connected
	})
}

// decides has a client with that password connect to a server of this process with that domain.
func (s *serving) decides(domain, password string) error {
	s.t.Helper()
	server := testzmq.NewSocket(s.t, s.zctx, zmq4.DEALER)
	defer server.Close()
	must.OK(s.t, zmqauth.PlainServer(server, domain))
	at := bindLocal(s.t, server)
	client := testzmq.NewSocket(s.t, s.zctx, zmq4.DEALER)
	defer client.Close()
	must.OK(s.t, zmqauth.PlainClient(client, "ann", password))
	return zmqauth.Connect(s.t.Context(), client, at)
}

func (s *serving) hup(message string) {
	s.t.Helper()
	_, before := s.find(message, nil)
	must.OK(s.t, s.cmd.Process.Signal(syscall.SIGHUP))
	s.waitForMore(before, message, nil)
}

// TestServe: a policy decides about another process's clients, as it is after a reload, and after
// the service was killed.
func TestServe(t *testing.T) {
	s := startServe(t, "")
	check := func(domain, password string, want error) {
		t.Helper()
		if err := s.decides(domain, password); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", domain, err, want)
		}
	}
	check("orders", "secret", nil)
	check("orders", "guess", zmqauth.ErrDenied)
	check("billing", "secret", zmqauth.ErrDenied)
	for path, mode := range map[string]fs.FileMode{"zap": 0o700, "zap/zap.sock": 0o600} {
		if info, err := os.Stat(filepath.Join(s.dir, path)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}

	program := fmt.Sprintf("program = shop\n    user = %d\n    serve = billing\n", os.Getuid())
	s.configure(s.policy(program))
	s.hup(zapservice.MessageReloaded)
	check("orders", "secret", zmqauth.ErrDenied)
	s.waitFor("zmqauth: a program asks for a domain that it is not given", nil)
	s.configure(s.policy(strings.Replace(program, "billing", "billing orders", 1)))
	s.hup(zapservice.MessageReloaded)
	check("orders", "secret", nil)
	s.configure("service = host\n")
	s.hup(zapservice.MessageWrong)
	check("orders", "secret", nil)

	must.OK(t, s.cmd.Process.Kill())
	<-s.exited
	s.await(false)
	s.configure(s.policy("program = other\n    user = 4711\n    serve = *\n"))
	s.run() // where the socket of the killed one is
	s.waitFor("zmqauth: a process that may not ask was refused", nil)
	s.configure(s.policy(""))
	s.hup(zapservice.MessageReloaded)
	s.await(true)
	check("orders", "secret", nil)
	must.OK(t, s.stop(syscall.SIGTERM))
	if entries, err := os.ReadDir(filepath.Join(s.dir, "zap")); err != nil || len(entries) > 0 {
		t.Errorf("left: %v, %v", entries, err)
	}
}

// TestServeObserved: a refusal is in the status and in the metrics of the service, and a reload
// that is ordered says what is wrong.
func TestServeObserved(t *testing.T) {
	s := startServe(t, "")
	page := fmt.Sprint("http://", s.waitFor(admin.MessageHTTP, nil)["http"])
	if err := s.decides("orders", "wrong"); err == nil {
		t.Error("a wrong password is right")
	}
	tool := &guarded{proxyProcess: s.proxyProcess}
	var status admin.Status
	testpeer.Eventually(t, "the refusal is in the status", func() bool {
		out, errs, code := tool.tool("status", "--json")
		if code != 0 && out == "" {
			t.Fatal(errs)
		}
		must.OK(t, json.Unmarshal([]byte(out), &status))
		return len(status.Decisions) > 0
	})
	if status.Program != "zmqauth serve" {
		t.Errorf("the name is %q", status.Program)
	}
	for path, want := range map[string]string{"/readyz": "", "/metrics": `status="400"`} {
		if code, text := getPage(t, page+path); code != 200 || !strings.Contains(text, want) {
			t.Errorf("%s: %d\n%s", path, code, text)
		}
	}
	if _, errs, code := tool.tool("reload"); code != 0 {
		t.Errorf("reload: %s", errs)
	}
	s.configure("nonsense")
	if _, errs, code := tool.tool("reload"); code != exitFailure ||
		!strings.Contains(errs, "zmqauth.zpl:1") {
		t.Errorf("reload of a wrong policy: exit code %d, %s", code, errs)
	}
	must.OK(t, s.decides("orders", "secret"))
}

// TestServeMoves: a service at another endpoint takes the place of one at the first reload.
func TestServeMoves(t *testing.T) {
	s := startServe(t, "")
	old := s.endpoint
	s.endpoint = strings.Replace(old, "zap.sock", "other.sock", 1)
	s.configure(s.policy(""))
	s.hup(zapservice.MessageReloaded)
	s.await(false)
	link, err := zapproxy.Relay(testzmq.NewContext(t), s.endpoint)
	must.OK(t, err)
	defer link.Close()
	testpeer.Eventually(t, "the other one is there", func() bool { return link.Stats().Connected })
}

// TestServeTCP: programs of other hosts ask with keys, and those of this one by a socket.
func TestServeTCP(t *testing.T) {
	dir := t.TempDir()
	service, ours := identity(t, dir, "service"), identity(t, dir, "ours")
	at := freeEndpoint(t)
	p := &proxyProcess{t: t, dir: dir, exited: make(chan struct{})}
	p.configure("domain = orders\n    allow = 127.0.0.1\nservice = pods\n    bind = " + at + "\n" +
		"    certificate = service.key_secret\n" +
		"program = shop\n    key = ours.key\n    serve = orders\n")
	p.start("serve", "--config", "zmqauth.zpl", "--quiet")
	p.waitFor(zapservice.MessageReady, nil)
	link, err := (&zapproxy.Dialer{Server: service.Public, Certificate: ours}).Relay(
		testzmq.NewContext(t), at)
	must.OK(t, err)
	defer link.Close()
	testpeer.Eventually(t, "the relay is there", func() bool { return link.Stats().Connected })
	must.OK(t, p.stop(syscall.SIGTERM))
}

// TestServeFaults: what is wrong with the command or the policy ends it, and the error says what.
func TestServeFaults(t *testing.T) {
	dir := t.TempDir()
	must.OK(t, os.Mkdir(filepath.Join(dir, "open"), 0o755))
	must.OK(t, os.Chmod(filepath.Join(dir, "open"), 0o755))
	bind := "service = host\n    bind = ipc://" + dir
	for policy, want := range map[string]string{
		"domain = a\n":            "no service",
		bind + "/open/zap.sock\n": "chmod o-rwx",
		bind + "/zap.sock\n    group = no-such-group\n":                 "no-such-group",
		bind + "/z/s\nprogram = a\n    serve = x\n":                     ":3: the program has none of",
		bind + "/z/s\nprogram = a\n    user = no-such\n    serve = x\n": "no-such",
		bind + "/z/s\nprogram = a\n    key = nowhere\n    serve = x\n":  "nowhere",
	} {
		p := &proxyProcess{t: t, dir: dir, exited: make(chan struct{})}
		p.configure(policy)
		p.start("serve", "--config", "zmqauth.zpl")
		select {
		case <-p.exited:
		case <-time.After(patience):
			t.Fatal("it does not end")
		}
		if p.err == nil || !strings.Contains(p.text(), want) {
			t.Errorf("%q: %v\n%s", policy, p.err, p.text())
		}
	}
}
