//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/admin"
	"github.com/zmqauth/zmqauth/front"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/proxy"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

const messageRefused = "front: connections are refused" // of package front

// pyzmqClient is a CURVE client of another language: it asks whenever it gets a line, and once more
// where its connection has ended meanwhile.
const pyzmqClient = `
import sys, zmq
endpoint, server, public, secret = sys.argv[1:]
s = zmq.Context().socket(zmq.REQ)
s.req_relaxed = s.req_correlate = 1
s.linger = 0
s.curve_serverkey, s.curve_publickey = server.encode(), public.encode()
s.curve_secretkey = secret.encode()
s.connect(endpoint)
for line in sys.stdin:
    for _ in range(30):
        s.send(line.strip().encode())
        if s.poll(1000):
            print(s.recv().decode(), flush=True)
            break
`

// remote is a client in a process of its own.
type remote struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *json.Decoder
}

// startRemote starts a client of pyzmq with a certificate that is let in.
func (g *guarded) startRemote(t *testing.T, endpoint string, cert *zmqauth.Certificate) *remote {
	t.Helper()
	r := &remote{cmd: exec.Command(testpeer.Python(t, "zmq", "python3-zmq"), "-c", pyzmqClient,
		endpoint, g.server.Public.String(), cert.Public.String(), cert.Secret.Z85())}
	r.cmd.Stderr = os.Stderr
	var err error
	r.stdin, err = r.cmd.StdinPipe()
	must.OK(t, err)
	out, err := r.cmd.StdoutPipe()
	must.OK(t, err)
	r.out = json.NewDecoder(out)
	must.OK(t, r.cmd.Start())
	t.Cleanup(func() {
		_ = r.stdin.Close()
		_ = r.cmd.Process.Kill()
		_ = r.cmd.Wait()
	})
	return r
}

// ask has the client send a number, and wait for the answer.
func (r *remote) ask(t *testing.T, number int) {
	t.Helper()
	_, err := fmt.Fprintln(r.stdin, number)
	must.OK(t, err)
	var got int
	if err := r.out.Decode(&got); err != nil || got != number {
		t.Fatalf("asked %d, answered %d, %v", number, got, err)
	}
}

// balancer runs HAProxy before a port, which connects from 127.0.0.8 and says who its clients are.
func balancer(t *testing.T, endpoint, header string) string {
	t.Helper()
	path := testpeer.Program(t, "haproxy", "haproxy", "/usr/sbin/haproxy")
	at := freeEndpoint(t)
	config := filepath.Join(t.TempDir(), "haproxy.cfg")
	must.OK(t, os.WriteFile(config, fmt.Appendf(nil, `defaults
    mode tcp
    timeout connect 10s
    timeout client 1h
    timeout server 1h
listen zmq
    bind %s
    source 127.0.0.8
    server zmqauth %s %s
`, strings.TrimPrefix(at, "tcp://"), strings.TrimPrefix(endpoint, "tcp://"), header), 0o600))
	cmd := exec.Command(path, "-db", "-q", "-f", config)
	cmd.Stderr = os.Stderr
	must.OK(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	testpeer.Eventually(t, "the balancer listens", func() bool {
		conn, err := net.Dial("tcp", strings.TrimPrefix(at, "tcp://"))
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return at
}

// from is an endpoint with the address that a client connects from.
func from(address, endpoint string) string {
	return strings.Replace(endpoint, "tcp://", "tcp://"+address+":0;", 1)
}

// startFronted is startGuarded with fronts, and rules of addresses.
func startFronted(t *testing.T, more ...string) *guarded {
	t.Helper()
	g := startGuarded(t, append([]string{"front = yes"}, more...)...)
	g.config = strings.Replace(g.config, "domain = orders\n",
		"domain = orders\n    deny = 127.0.0.66 192.0.2.0/24\n", 1)
	g.configure(g.config)
	g.reload(proxy.MessageReloaded)
	return g
}

// known is a certificate that is let in, of which the proxy knows.
func (g *guarded) known(t *testing.T, name string) *zmqauth.Certificate {
	t.Helper()
	cert := identity(t, g.dir, name)
	must.OK(t, os.Rename(filepath.Join(g.dir, name+".key"),
		filepath.Join(g.dir, "clients", name+".key")))
	g.waitUntilKnown(t, cert)
	return cert
}

// TestFrontBehindBalancer: behind HAProxy the client's own address is in the log, in the list of
// sessions, in rules, limits and kicks. Only balancers send a header, and they have to.
func TestFrontBehindBalancer(t *testing.T) {
	for _, header := range []string{"send-proxy", "send-proxy-v2"} {
		t.Run(header, func(t *testing.T) {
			g := startFronted(t, "proxy-protocol = 127.0.0.8")
			port := g.endpoint("orders")
			public := balancer(t, port, header)
			annCert, bobCert := g.known(t, "ann"), g.known(t, "bob")
			g.config = strings.Replace(g.config, "proxy-protocol",
				"connections-per-address = 1\n    proxy-protocol", 1)
			g.configure(g.config)
			g.reload(proxy.MessageReloaded)
			ann := g.startRemote(t, from("127.0.0.5", public), annCert)
			ann.ask(t, 1)
			bob := g.startRemote(t, from("127.0.0.6", public), bobCert)
			bob.ask(t, 1)
			all := g.await(t, 2)
			for i, want := range []string{"127.0.0.5", "127.0.0.6"} {
				if s := all[i]; s.Address != want || s.Port == 0 || !s.Exact {
					t.Errorf("%+v, want %s", s, want)
				}
				g.waitFor("zmqauth: accepted", map[string]string{"address": want})
			}
			out, errs, code := g.tool("kick", "--address", "127.0.0.6")
			if code != 0 || !strings.HasPrefix(out, "sessions ended: 1\n") {
				t.Errorf("%d %s%s", code, out, errs)
			}
			bob.ask(t, 2) // it comes back
			ann.ask(t, 2)
			if left := g.sessions(t, "--id", fmt.Sprint(all[0].ID)); len(left) != 1 {
				t.Error("ann is gone")
			}

			g.startRemote(t, from("127.0.0.66", public), annCert)
			g.waitFor(messageRefused, map[string]string{"frontend": "orders",
				"reason": front.ReasonAddressDenied, "address": "127.0.0.66"})
			g.startRemote(t, from("127.0.0.5", public), annCert)
			g.waitFor(messageRefused, map[string]string{"address": "127.0.0.5",
				"reason": "too-many-connections-of-address"})

			// Who is no balancer needs no header, and cannot pretend to be somebody else.
			direct := g.startRemote(t, from("127.0.0.9", port), bobCert)
			direct.ask(t, 3)
			if s := g.await(t, 1, "--address", "127.0.0.9")[0]; s.Key != bobCert.Public.String() {
				t.Errorf("%+v", s)
			}
			other := balancer(t, port, header+" source 127.0.0.10")
			liar := g.startRemote(t, from("127.0.0.7", other), bobCert)
			g.waitFor(messageRefused, map[string]string{"address": "127.0.0.10",
				"reason": front.ReasonNotZMTP})
			bare := g.startRemote(t, from("127.0.0.8", port), bobCert)
			g.waitFor(messageRefused, map[string]string{"address": "127.0.0.8",
				"reason": front.ReasonNoHeader})
			for _, r := range []*remote{liar, bare} {
				must.OK(t, r.cmd.Process.Kill())
			}
			if _, count := g.find("zmqauth: accepted",
				map[string]string{"address": "127.0.0.10"}); count > 0 {
				t.Error("a liar is let in")
			}
			g.await(t, 3)
			must.OK(t, g.stop(syscall.SIGTERM))
		})
	}
}

// TestFrontReload: a reload leaves the connections of a front as they are, puts its new settings in
// force, and ends the connections of addresses that are denied now.
func TestFrontReload(t *testing.T) {
	g := startFronted(t, "connections-per-address = 50")
	annCert := g.known(t, "ann")
	ann := g.startRemote(t, from("127.0.0.5", g.endpoint("orders")), annCert)
	ann.ask(t, 1)
	bob := g.startRemote(t, from("127.0.0.6", g.endpoint("orders")), annCert)
	bob.ask(t, 1)
	before := g.await(t, 2)
	same := func(what string, want ...admin.Session) {
		t.Helper()
		after := g.sessions(t)
		if len(after) != len(want) {
			t.Fatalf("%s: %+v", what, after)
		}
		for i := range want {
			if after[i].ID != want[i].ID {
				t.Errorf("%s: %+v became %+v", what, want[i], after[i])
			}
		}
	}
	g.reload(proxy.MessageReloaded)
	if _, count := g.find("zmqauth: bound", map[string]string{"frontend": "orders"}); count != 1 {
		t.Errorf("bound %d times", count)
	}
	same("the same policy", before...)

	g.config = strings.Replace(g.config, "per-address = 50",
		"per-address = 1\n    proxy-protocol = 127.0.0.8", 1)
	g.configure(g.config)
	g.reload(proxy.MessageReloaded)
	g.waitFor(proxy.MessageLimits, map[string]string{"limits": "connections-per-address 1",
		"front": "front yes, proxy-protocol 127.0.0.8/32"})
	second := g.startRemote(t, from("127.0.0.5", g.endpoint("orders")), annCert) // ann counts
	g.waitFor(messageRefused, map[string]string{"address": "127.0.0.5",
		"reason": "too-many-connections-of-address"})
	must.OK(t, second.cmd.Process.Kill())
	balanced := g.startRemote(t,
		from("127.0.0.7", balancer(t, g.endpoint("orders"), "send-proxy-v2")), annCert)
	balanced.ask(t, 1)
	with := append(before, g.await(t, 1, "--address", "127.0.0.7")...)
	same("other settings", with...)
	ann.ask(t, 2)
	bob.ask(t, 2)

	g.configure(strings.Replace(g.config, "deny = ", "deny = 127.0.0.6 ", 1))
	g.reload(proxy.MessageReloaded)
	g.await(t, 2)
	same("another rule", with[0], with[2])
	g.waitFor(messageRefused, map[string]string{"address": "127.0.0.6",
		"reason": front.ReasonAddressDenied})

	// Without a front the frontend is another one. Clients come back by themselves.
	g.configure(strings.Replace(g.config, "    front = yes\n", "", 1))
	g.reload(proxy.MessageWrong) // proxy-protocol is left
	same("a wrong policy", with[0], with[2])
	g.config = strings.Replace(g.config, "    front = yes\n", "", 1)
	g.config = strings.Replace(g.config, "\n    proxy-protocol = 127.0.0.8", "", 1)
	g.configure(strings.Replace(g.config, "tcp://127.0.0.1:*", g.endpoint("orders"), 1))
	g.reload(proxy.MessageReloaded)
	ann.ask(t, 3)
	g.waitFor("zmqauth: bound", map[string]string{"front": "false", "frontend": "orders"})
	must.OK(t, g.stop(syscall.SIGTERM))
}

// TestFrontIPC: behind a front each connection of a user can be ended alone. The socket's file is
// the user's own unless the policy says otherwise.
func TestFrontIPC(t *testing.T) {
	for mode, want := range map[string]fs.FileMode{"": 0o600, "mode = 0666": 0o666} {
		t.Run(fmt.Sprint(want), func(t *testing.T) {
			dir, zctx := t.TempDir(), testzmq.NewContext(t)
			config := frontendConfig("local", "router", "ipc://WORK/local.sock", echo(t, zctx), "null",
				strings.Fields("front=yes")...)
			config = strings.ReplaceAll(config, "front=yes", "front = yes\n    handshake-deadline = 1s")
			if mode != "" {
				config += "    " + mode + "\n"
			}
			g := &guarded{zctx: zctx,
				proxyProcess: startProxy(t, dir, config, "--control", "control.sock")}
			path := filepath.Join(dir, "local.sock")
			info, err := os.Lstat(path)
			must.OK(t, err)
			if info.Mode().Perm() != want {
				t.Errorf("mode %v", info.Mode())
			}
			var clients []*zmq4.Socket
			for range 2 {
				s := testzmq.NewSocket(t, zctx, zmq4.REQ)
				must.OK(t, errors.Join(s.SetReqRelaxed(1), s.SetReqCorrelate(1)))
				must.OK(t, enter(t, s, "ipc://"+path, nil, nil))
				clients = append(clients, s)
			}
			all := g.await(t, 2)
			if _, errs, code := g.tool("kick", "--id", fmt.Sprint(all[0].ID)); code != 0 {
				t.Error(errs)
			}
			g.await(t, 0, "--id", fmt.Sprint(all[0].ID))
			g.await(t, 1, "--id", fmt.Sprint(all[1].ID))
			for _, s := range clients {
				must.OK(t, ask(s, "hello"))
			}
			silent, err := net.Dial("unix", path)
			must.OK(t, err)
			defer silent.Close()
			_, err = silent.Write([]byte("\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f"))
			must.OK(t, err)
			g.waitFor(messageRefused, map[string]string{"reason": "handshake-deadline",
				"address": "localhost:"})
			must.OK(t, g.stop(syscall.SIGTERM))
			if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the socket is still there: %v", err)
			}
		})
	}
}

// TestFrontFlood: whom limits and rules turn away never reaches libzmq. The others get in.
func TestFrontFlood(t *testing.T) {
	g := startFronted(t, "connection-rate = 1/h", "connection-burst = 2",
		"exempt = 127.0.0.1 127.0.0.5")
	at := strings.TrimPrefix(g.endpoint("orders"), "tcp://")
	reset := 0
	for i := range 100 {
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(6+60*(i%2)))}}
		conn, err := dialer.Dial("tcp", at)
		if err == nil {
			must.OK(t, conn.SetDeadline(time.Now().Add(patience)))
			_, err = conn.Write([]byte("\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x03"))
		}
		if err == nil {
			_, err = conn.Read(make([]byte, 10))
		}
		if conn != nil {
			_ = conn.Close()
		}
		if isReset(err) {
			reset++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if reset != 98 {
		t.Errorf("%d of 100 were turned away, want 98", reset)
	}
	ann := g.startRemote(t, from("127.0.0.5", g.endpoint("orders")), g.known(t, "ann"))
	ann.ask(t, 1)
	for _, reason := range []string{front.ReasonAddressDenied, "too-many-new-connections"} {
		g.waitFor(messageRefused, map[string]string{"reason": reason})
	}
	must.OK(t, g.stop(syscall.SIGTERM))
}

// TestFrontHealth: health greets a front as its balancers have to, and takes the answer to an
// address that is denied for one. It is a fault where nobody listens.
func TestFrontHealth(t *testing.T) {
	for name, more := range map[string]string{
		"a front": "", "balancers": "    proxy-protocol = 127.0.0.0/8\n", "denied": "DENIED",
	} {
		t.Run(name, func(t *testing.T) {
			at := freeEndpoint(t)
			config := frontendConfig("f", "router", at, "tcp://127.0.0.1:1", "null", "front = yes")
			if more == "DENIED" {
				config = "domain = f\n    deny = 127.0.0.1\n" + config
			} else {
				config += more
			}
			p := startProxy(t, t.TempDir(), config)
			health := func() error {
				cmd := exec.Command(binary, "health", "--config", "zmqauth.zpl")
				cmd.Dir = p.dir
				out, err := cmd.CombinedOutput()
				if err != nil {
					return fmt.Errorf("%w: %s", err, out)
				}
				return nil
			}
			must.OK(t, health())
			must.OK(t, p.stop(syscall.SIGTERM))
			if health() == nil {
				t.Error("healthy without a proxy")
			}
		})
	}
}

// TestFrontMetrics: what a front has counted is in the metrics, also once a reload has replaced it.
func TestFrontMetrics(t *testing.T) {
	g, page := startObserved(t)
	without := strings.Replace(g.config, "domain = orders\n",
		"domain = orders\n    deny = 127.0.0.66\n", 1)
	g.configure(without + "    front = yes\n")
	g.reload(proxy.MessageReloaded)
	g.enter(t, "ann")
	at := strings.TrimPrefix(g.endpoint("orders"), "tcp://")
	conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 66)}}).Dial("tcp", at)
	if err == nil {
		t.Cleanup(func() { _ = conn.Close() })
	}
	shows := func(lines ...string) {
		t.Helper()
		testpeer.Eventually(t, fmt.Sprint(lines), func() bool {
			_, text := getPage(t, page+"/metrics")
			return !slices.ContainsFunc(lines, func(line string) bool {
				return !strings.Contains(text, "\nzmqauth_front_"+line+"\n")
			})
		})
	}
	const refused = `refused_total{frontend="orders",reason="address-denied"} 1`
	shows(refused, `connections{frontend="orders"} 1`, `dropped_packets_total{frontend="orders"} 0`)
	g.configure(without)
	g.reload(proxy.MessageReloaded)
	shows(refused, `connections{frontend="orders"} 0`)
}
