package main

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/proxy"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// TestProxyReloadLetsNoStrangerIn removes a NULL frontend together with the rules that keep
// strangers out of it. The frontend stays bound until its clients have their replies, and admits no
// stranger meanwhile.
func TestProxyReloadLetsNoStrangerIn(t *testing.T) {
	const rules = "domain = inside\n    allow = 127.0.0.2\n"
	// The steps are configurations without "inside". The last one removes its rules.
	for name, steps := range map[string][]string{
		"removed with its rules":        {""},
		"removed, and then its rules":   {rules, ""},
		"replaced, with other rules":    {"domain = outside\n    allow = 127.0.0.2\nREPLACED"},
		"moved, and its rules are gone": {"MOVED"},
	} {
		t.Run(name, func(t *testing.T) {
			zctx := testzmq.NewContext(t)
			service, endpoint := testzmq.NewSocket(t, zctx, zmq4.ROUTER), freeEndpoint(t)
			steady := frontendConfig("steady", "router", "ipc://WORK/steady.sock",
				bindLocal(t, service), "null")
			inside := frontendConfig("inside", "router", endpoint, bindLocal(t, service), "null")
			p := startProxy(t, t.TempDir(), rules+inside+steady, "--linger", "1m")
			friend := testzmq.NewSocket(t, zctx, zmq4.REQ)
			fromAllowed := strings.Replace(endpoint, "tcp://", "tcp://127.0.0.2:0;", 1)
			must.OK(t, enter(t, friend, fromAllowed, nil, nil))
			_, err := friend.Send("hello", 0)
			must.OK(t, err)
			request, err := service.RecvMessageBytes(0)
			must.OK(t, err)
			replaced := strings.Replace(inside, "domain = inside", "domain = outside", 1)
			moved := strings.Replace(inside, endpoint, "ipc://WORK/inside.sock", 1)
			for i, step := range steps {
				step = strings.Replace(step, "REPLACED", replaced, 1)
				step = strings.Replace(step, "MOVED", moved, 1)
				p.configure(step + steady)
				if i+1 < len(steps) {
					p.reload(proxy.MessageReloaded)
				}
			}
			must.OK(t, p.cmd.Process.Signal(syscall.SIGHUP))
			p.waitFor(proxy.MessageWaits, nil)
			for range 3 {
				stranger := testzmq.NewSocket(t, zctx, zmq4.REQ)
				err := enter(t, stranger, endpoint, nil, nil)
				if !errors.Is(err, zmqauth.ErrDenied) {
					t.Errorf("a stranger: %v", err)
				}
			}
			if name == "replaced, with other rules" {
				_, count := p.find("zmqauth: bound", map[string]string{"domain": "outside"})
				if count != 0 {
					t.Error("the successor is bound before the endpoint is free")
				}
			}
			_, err = service.SendMessage(request)
			must.OK(t, err)
			if got, err := friend.Recv(0); err != nil || got != "hello" {
				t.Errorf("the reply: %q, %v", got, err)
			}
			p.waitFor(proxy.MessageReloaded, nil)
			must.OK(t, p.stop(syscall.SIGTERM))
		})
	}
}

// TestProxyEndsFrontendWithoutRules: a frontend whose rules are gone does not go on, even if its
// successor cannot start.
func TestProxyEndsFrontendWithoutRules(t *testing.T) {
	zctx := testzmq.NewContext(t)
	taken := bindLocal(t, testzmq.NewSocket(t, zctx, zmq4.ROUTER))
	backend := bindLocal(t, testzmq.NewSocket(t, zctx, zmq4.ROUTER))
	endpoint := freeEndpoint(t)
	inside := frontendConfig("inside", "router", endpoint, backend, "null")
	steady := frontendConfig("steady", "router", "ipc://WORK/steady.sock", backend, "null")
	p := startProxy(t, t.TempDir(), "domain = inside\n    allow = 127.0.0.2\n"+inside+steady)
	p.configure(strings.Replace(inside, endpoint, taken, 1) + steady)
	p.reload(proxy.MessagePartly)
	conn, err := net.Dial("tcp", strings.TrimPrefix(endpoint, "tcp://"))
	if err == nil {
		_ = conn.Close()
		t.Error("the frontend is bound still")
	}
	p.configure("domain = inside\n    allow = 127.0.0.1\n" + inside + steady)
	p.reload(proxy.MessageReloaded)
	must.OK(t, enter(t, testzmq.NewSocket(t, zctx, zmq4.REQ), endpoint, nil, nil))
	must.OK(t, p.stop(syscall.SIGTERM))
}

// TestProxyReloadFinishes: once frontends have ended because new rules are good, these rules come
// into force, even if a file that they name disappears meanwhile.
func TestProxyReloadFinishes(t *testing.T) {
	dir := t.TempDir()
	zctx := testzmq.NewContext(t)
	service := testzmq.NewSocket(t, zctx, zmq4.ROUTER)
	steady := frontendConfig("steady", "router", "ipc://WORK/steady.sock",
		bindLocal(t, service), "plain")
	inside := frontendConfig("inside", "router", "ipc://WORK/inside.sock",
		bindLocal(t, service), "null")
	p := startProxy(t, dir, "domain = inside\n    allow = ipc\n"+inside+steady, "--linger", "1m")
	client := testzmq.NewSocket(t, zctx, zmq4.REQ)
	must.OK(t, enter(t, client, p.endpoint("inside"), nil, nil))
	_, err := client.Send("hello", 0)
	must.OK(t, err)
	request, err := service.RecvMessageBytes(0)
	must.OK(t, err)

	passwords := filepath.Join(dir, "passwords")
	must.OK(t, os.WriteFile(passwords, []byte("ann=secret\n"), 0o600))
	p.configure("domain = steady\n    plain = passwords\n" + steady)
	must.OK(t, p.cmd.Process.Signal(syscall.SIGHUP))
	p.waitFor(proxy.MessageWaits, nil)
	must.OK(t, os.Remove(passwords))
	_, err = service.SendMessage(request)
	must.OK(t, err)
	p.waitFor(proxy.MessageReloaded, nil)
	p.waitFor(proxy.MessageEnded, map[string]string{"frontend": "inside"})
	if _, count := p.find("zmqauth: bound", nil); count != 2 {
		t.Errorf("bound %d times", count)
	}
	p.waitFor("zmqauth: a password file is gone, and nobody in it gets in until it comes back", nil)
	must.OK(t, p.stop(syscall.SIGTERM))
}

// TestProxyBadRulesEndNoFrontend: bad rules end no frontend, even if only Apply finds the fault.
func TestProxyBadRulesEndNoFrontend(t *testing.T) {
	dir := t.TempDir()
	zctx := testzmq.NewContext(t)
	inside := frontendConfig("inside", "router", "ipc://WORK/inside.sock", echo(t, zctx), "null")
	steady := frontendConfig("steady", "router", "ipc://WORK/steady.sock", freeEndpoint(t), "null")
	p := startProxy(t, dir, "domain = inside\n    allow = ipc\n"+inside+steady)
	client := testzmq.NewSocket(t, zctx, zmq4.REQ)
	must.OK(t, enter(t, client, p.endpoint("inside"), nil, nil))
	must.OK(t, os.WriteFile(filepath.Join(dir, "passwords"), []byte("ann=secret\n"), 0o644))
	must.OK(t, os.Chmod(filepath.Join(dir, "passwords"), 0o644))
	p.configure("domain = inside\n    plain = passwords\n" + steady)
	p.reload(proxy.MessageWrong)
	must.OK(t, ask(client, "still here"))
	if _, count := p.find("zmqauth: bound", nil); count != 2 {
		t.Errorf("bound %d times", count)
	}
	must.OK(t, p.stop(syscall.SIGTERM))
}
