package main

import (
	"errors"
	"fmt"
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
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// TestProxyPatterns: each type of frontend passes its messages on, with each mechanism that needs
// no KDC.
func TestProxyPatterns(t *testing.T) {
	dir := t.TempDir()
	zctx := testzmq.NewContext(t)
	server, ann := identity(t, dir, "server"), identity(t, mkdir(t, dir, "clients"), "ann")
	must.OK(t, os.WriteFile(filepath.Join(dir, "passwords"), []byte("ann=secret\n"), 0o600))
	pull := testzmq.NewSocket(t, zctx, zmq4.PULL)
	sub := testzmq.NewSocket(t, zctx, zmq4.SUB)
	pub := testzmq.NewSocket(t, zctx, zmq4.XPUB)
	loopback := "[::1]"
	if !testpeer.HasIPv6(t) {
		loopback = "127.0.0.1"
	}
	config := "domain = *\n" +
		"    plain = passwords\n    curve = clients\n    allow = 127.0.0.1 ::1 ipc\n" +
		frontendConfig("orders", "router", "tcp://"+loopback+":*", echo(t, zctx), "plain") +
		frontendConfig("jobs", "pull", "tcp://127.0.0.1:*", bindLocal(t, pull), "curve",
			"certificate = server.key_secret") +
		frontendConfig("reports", "xsub", "ipc://WORK/reports.sock", bindLocal(t, sub), "null") +
		frontendConfig("news", "xpub", "tcp://127.0.0.1:0", bindLocal(t, pub), "null")
	p := startProxy(t, dir, config)

	t.Run("router", func(t *testing.T) {
		client := testzmq.NewSocket(t, zctx, zmq4.REQ)
		must.OK(t, errors.Join(client.SetIpv6(true), zmqauth.PlainClient(client, "ann", "secret")))
		must.OK(t, enter(t, client, p.endpoint("orders"), nil, nil))
		must.OK(t, ask(client, "hello"))
		must.OK(t, ask(client, strings.Repeat("x", 1<<20)))
		stranger := testzmq.NewSocket(t, zctx, zmq4.REQ)
		must.OK(t, errors.Join(stranger.SetIpv6(true), zmqauth.PlainClient(stranger, "ann", "Secret")))
		if err := enter(t, stranger, p.endpoint("orders"), nil, nil); !errors.Is(err, zmqauth.ErrDenied) {
			t.Errorf("a wrong password: %v", err)
		}
	})
	t.Run("pull", func(t *testing.T) {
		client := testzmq.NewSocket(t, zctx, zmq4.PUSH)
		must.OK(t, enter(t, client, p.endpoint("jobs"), server, ann))
		_, err := client.SendMessage("a", "", "b")
		must.OK(t, err)
		if got, err := pull.RecvMessage(0); err != nil || strings.Join(got, "|") != "a||b" {
			t.Errorf("%q, %v", got, err)
		}
	})
	t.Run("xsub", func(t *testing.T) { // the client publishes, the service subscribes
		must.OK(t, sub.SetSubscribe("a"))
		client := testzmq.NewSocket(t, zctx, zmq4.XPUB)
		must.OK(t, enter(t, client, p.endpoint("reports"), nil, nil))
		testpeer.Eventually(t, "the subscription is there", func() bool {
			_, _ = sub.Recv(zmq4.DONTWAIT) // a SUB socket sends its subscription when it is used
			got, err := client.Recv(zmq4.DONTWAIT)
			return err == nil && got == "\x01a"
		})
		for _, text := range []string{"b: not wanted", "a: wanted"} {
			_, err := client.Send(text, 0)
			must.OK(t, err)
		}
		if got, err := sub.Recv(0); err != nil || got != "a: wanted" {
			t.Errorf("%q, %v", got, err)
		}
	})
	t.Run("xpub", func(t *testing.T) { // the client subscribes, the service publishes
		client := testzmq.NewSocket(t, zctx, zmq4.SUB)
		must.OK(t, client.SetSubscribe("a"))
		must.OK(t, enter(t, client, p.endpoint("news"), nil, nil))
		if got, err := pub.Recv(0); err != nil || got != "\x01a" {
			t.Fatalf("the subscription: %q, %v", got, err)
		}
		for _, text := range []string{"b: not wanted", "a: wanted"} {
			_, err := pub.Send(text, 0)
			must.OK(t, err)
		}
		if got, err := client.Recv(0); err != nil || got != "a: wanted" {
			t.Errorf("%q, %v", got, err)
		}
	})
	p.waitFor("zmqauth: refused", map[string]string{
		"reason": zmqauth.ReasonWrongPassword, "level": "INFO", "user": "ann",
	})
	p.waitFor("zmqauth: accepted", map[string]string{
		"mechanism": "CURVE", "level": "DEBUG", "user": ann.Public.String(),
	})
	must.OK(t, p.stop(syscall.SIGINT))
	if strings.Contains(strings.ToLower(p.text()), "secret\"") {
		t.Error("the log has a password")
	}
}

// TestProxyReload: a bad configuration changes nothing. Frontends are added, replaced and removed
// while another goes on with its connections.
func TestProxyReload(t *testing.T) {
	dir := t.TempDir()
	zctx := testzmq.NewContext(t)
	one, two := identity(t, dir, "one"), identity(t, dir, "two")
	ann := identity(t, mkdir(t, dir, "clients"), "ann")
	backend, fixed := echo(t, zctx), freeEndpoint(t)
	domains := "domain = *\n    curve = clients\n"
	steady := frontendConfig("steady", "router", "tcp://127.0.0.1:*", backend, "curve",
		"certificate = one.key_secret")
	changing := frontendConfig("changing", "router", fixed, backend, "curve",
		"certificate = one.key_secret")
	changed := strings.Replace(changing, "one.key", "two.key", 1)
	p := startProxy(t, dir, domains+steady+changing)
	client := testzmq.NewSocket(t, zctx, zmq4.REQ)
	must.OK(t, enter(t, client, p.endpoint("steady"), one, ann))
	connects := func(endpoint string, server *zmqauth.Certificate) error {
		socket := testzmq.NewSocket(t, zctx, zmq4.REQ)
		if err := enter(t, socket, endpoint, server, ann); err != nil {
			return err
		}
		return ask(socket, "hello")
	}

	for name, config := range map[string]string{
		"an unknown name":    domains + steady + "nonsense = 1\n",
		"a bad value":        domains + steady + strings.Replace(changed, "router", "rep", 1),
		"no certificate":     domains + steady + strings.Replace(changed, "two", "three", 1),
		"no directory":       strings.Replace(domains, "clients", "nowhere", 1) + steady + changed,
		"no frontend at all": domains,
		"no ZPL":             "\tx",
		// Only Apply finds this one.
		"a password in clear": domains + "    plain = passwords\n" + steady + changed,
	} {
		must.OK(t, os.WriteFile(filepath.Join(dir, "passwords"), []byte("ann=secret\n"), 0o644))
		must.OK(t, os.Chmod(filepath.Join(dir, "passwords"), 0o644))
		p.configure(config)
		line := p.reload(proxy.MessageWrong)
		if text := fmt.Sprint(line["error"]); !strings.Contains(text, "zmqauth.zpl") {
			t.Errorf("%s: the error does not name the file: %s", name, text)
		}
		must.OK(t, ask(client, "still here"))
		if err := connects(fixed, one); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}

	t.Run("another certificate at the same endpoint", func(t *testing.T) {
		p.configure(domains + changed + steady)
		p.reload(proxy.MessageReloaded)
		must.OK(t, connects(fixed, two))
		if err := connects(fixed, one); err == nil {
			t.Error("the old key is there still")
		}
		must.OK(t, ask(client, "still here"))
	})
	t.Run("endpoints change hands", func(t *testing.T) {
		p.configure(domains + steady + strings.Replace(changed, "= changing", "= renamed", 1))
		p.reload(proxy.MessageReloaded)
		must.OK(t, connects(fixed, two))
	})
	t.Run("removed", func(t *testing.T) {
		p.configure(domains + steady)
		p.reload(proxy.MessageReloaded)
		p.waitFor(proxy.MessageEnded, map[string]string{"frontend": "renamed"})
		conn, err := net.Dial("tcp", strings.TrimPrefix(fixed, "tcp://"))
		if err == nil {
			t.Error("the endpoint is bound still")
			_ = conn.Close()
		}
	})
	t.Run("one that fails", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		must.OK(t, err)
		defer listener.Close()
		other := frontendConfig("other", "router", freeEndpoint(t), backend, "curve",
			"certificate = two.key_secret")
		p.configure(domains + steady + changing + other)
		p.reload(proxy.MessageReloaded)
		taken := "tcp://" + listener.Addr().String()
		p.configure(domains + steady + strings.Replace(changing, fixed, taken, 1) +
			strings.Replace(other, "two.key", "one.key", 1))
		line := p.reload(proxy.MessagePartly)
		text := fmt.Sprint(line["error"])
		if !strings.Contains(text, `zmqauth.zpl:10: frontend "changing": bind tcp://`) ||
			!strings.Contains(text, "address already in use") {
			t.Errorf("the error: %s", text)
		}
		must.OK(t, connects(fixed, one))               // the old frontend goes on
		must.OK(t, connects(p.endpoint("other"), one)) // the new one has started
		must.OK(t, ask(client, "still here"))
	})
	if count := strings.Count(p.text(), `"frontend":"steady"`); count != 1 {
		t.Errorf("%d lines about the frontend that went on:\n%s", count, p.text())
	}
	must.OK(t, p.stop(syscall.SIGTERM))
}

// TestProxyReplacesUnixSocket: a frontend that ends does not remove the socket file of its
// successor at the same endpoint.
func TestProxyReplacesUnixSocket(t *testing.T) {
	dir := t.TempDir()
	zctx := testzmq.NewContext(t)
	backend := echo(t, zctx)
	config := func(n int) string {
		return frontendConfig("f", "router", "ipc://WORK/f.sock", backend, "null",
			fmt.Sprintf("domain = d%d", n))
	}
	p := startProxy(t, dir, config(0))
	for n := range 20 {
		p.configure(config(n + 1))
		p.reload(proxy.MessageReloaded)
		client := testzmq.NewSocket(t, zctx, zmq4.REQ)
		must.OK(t, enter(t, client, "ipc://"+dir+"/f.sock", nil, nil))
		must.OK(t, ask(client, "hello"))
		p.waitFor("zmqauth: accepted", map[string]string{"domain": fmt.Sprintf("d%d", n+1)})
	}
	must.OK(t, p.stop(syscall.SIGTERM))
	if _, err := os.Lstat(filepath.Join(dir, "f.sock")); !os.IsNotExist(err) {
		t.Errorf("the socket's file is left: %v", err)
	}
}
