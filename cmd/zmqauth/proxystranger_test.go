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

// TestProxyReloadLetsNoStrangerIn: the rules that keep strangers out of a NULL frontend go together
// with it, but it stays bound until its clients have the replies that they are owed.
func TestProxyReloadLetsNoStrangerIn(t *testing.T) {
	const rules = "domain = inside\n    allow = 127.0.0.2\n"
	for name, steps := range map[string][]string{ // configurations without "inside"; the last is to be the one that takes its rules
		"removed with its rules":        {""},
		"removed, and then its rules":   {rules, ""},
		"replaced, with other rules":    {"domain = outside\n    allow = 127.0.0.2\nREPLACED"},
		"moved, and its rules are gone": {"MOVED"},
	} {
		t.Run(name, func(t *testing.T) {
			zctx := testzmq.NewContext(t)
			service, endpoint := testzmq.NewSocket(t, zctx, zmq4.ROUTER), freeEndpoint(t)
			steady := frontendConfig("steady", "router", "ipc://WORK/steady.sock", bindLocal(t, service), "null")
			inside := frontendConfig("inside", "router", endpoint, bindLocal(t, service), "null")
			p := startProxy(t, t.TempDir(), rules+inside+steady, "--linger", "1m")
			friend := testzmq.NewSocket(t, zctx, zmq4.REQ)
			must.OK(t, enter(t, friend, strings.Replace(endpoint, "tcp://", "tcp://127.0.0.2:0;", 1), nil, nil))
			_, err := friend.Send("hello", 0)
			must.OK(t, err)
			request, err := service.RecvMessageBytes(0)
			must.OK(t, err)
			for i, step := range steps {
				step = strings.Replace(step, "REPLACED", strings.Replace(inside, "domain = inside", "domain = outside", 1), 1)
				step = strings.Replace(step, "MOVED", strings.Replace(inside, endpoint, "ipc://WORK/inside.sock", 1), 1)
				p.configure(step + steady)
				if i+1 < len(steps) {
					p.reload(proxy.MessageReloaded)
				}
			}
			must.OK(t, p.cmd.Process.Signal(syscall.SIGHUP))
			p.waitFor(proxy.MessageWaits, nil)
			for range 3 {
				if err := enter(t, testzmq.NewSocket(t, zctx, zmq4.REQ), endpoint, nil, nil); !errors.Is(err, zmqauth.ErrDenied) {
					t.Errorf("a stranger: %v", err)
				}
			}
			if name == "replaced, with other rules" {
				if _, count := p.find("zmqauth: bound", map[string]string{"domain": "outside"}); count != 0 {
					t.Error("the next has begun at an endpoint that is not free")
				}
			}
			_, err = service.SendMessage(request)
			must.OK(t, err)
			if got, err := friend.Recv(0); err != nil || got != "hello" {
				t.Errorf("what was owed: %q, %v", got, err)
			}
			p.waitFor(proxy.MessageReloaded, nil)
			must.OK(t, p.stop(syscall.SIGTERM))
		})
	}
}

// TestProxyEndsWhatHasNoRules: a frontend whose successor cannot begin does not go on where its
// rules are gone.
func TestProxyEndsWhatHasNoRules(t *testing.T) {
	zctx := testzmq.NewContext(t)
	taken, backend, endpoint := bindLocal(t, testzmq.NewSocket(t, zctx, zmq4.ROUTER)), bindLocal(t, testzmq.NewSocket(t, zctx, zmq4.ROUTER)), freeEndpoint(t)
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

// TestProxyReloadHoldsOn: once frontends have ended for rules that were good, these rules come into
// force whatever becomes of the files that they name.
func TestProxyReloadHoldsOn(t *testing.T) {
	dir := t.TempDir()
	zctx := testzmq.NewContext(t)
	service := testzmq.NewSocket(t, zctx, zmq4.ROUTER)
	steady := frontendConfig("steady", "router", "ipc://WORK/steady.sock", bindLocal(t, service), "plain")
	inside := frontendConfig("inside", "router", "ipc://WORK/inside.sock", bindLocal(t, service), "null")
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

// TestProxyBadRulesEndNobody: what only Apply finds wrong with the rules of a frontend that goes
// leaves it as it is.
func TestProxyBadRulesEndNobody(t *testing.T) {
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
