package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/daemon"
	"github.com/zmqauth/zmqauth/internal/links"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/proxy"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

const installSSHD = "openssh-server openssh-client gcc libc6-dev"

// gateway is OpenSSH's server, and what a user needs to log in to it.
type gateway struct {
	*daemon.SSHD
	known string // the path of a known_hosts
}

// startGateway runs a gateway until the test ends. The lines come first in its configuration.
func startGateway(t testing.TB, lines ...string) *gateway {
	t.Helper()
	dir := t.TempDir()
	library := filepath.Join(dir, "pam.so")
	if err := daemon.CompilePAM(library); err != nil {
		testpeer.Missing(t, err.Error(), installSSHD)
	}
	server, err := daemon.StartSSHD(dir, library, lines...)
	if errors.Is(err, daemon.ErrMissing) {
		testpeer.Missing(t, err.Error(), installSSHD)
	}
	must.OK(t, err)
	g := &gateway{server, filepath.Join(dir, "known_hosts")}
	must.OK(t, g.KnownHosts(g.known))
	t.Cleanup(func() {
		must.OK(t, g.Stop())
		if t.Failed() {
			t.Logf("sshd said:\n%s", g.Log)
		}
	})
	return g
}

// host is the gateway as the tool takes it.
func (g *gateway) host() string { return fmt.Sprintf("%s@127.0.0.1:%d", g.User, g.Port) }

// flags are those with which a user logs in by a key.
func (g *gateway) flags(more ...string) []string {
	return append([]string{"tunnel", g.host(), "--ssh-config", "none", "--agent", "none",
		"--known-hosts", g.known, "--identity", g.UserKey()}, more...)
}

// section is a section of a policy with which a user logs in by a key.
func (g *gateway) section(name string, lines ...string) string {
	return fmt.Sprintf("tunnel = %s\n    host = %s\n    ssh-config = none\n    agent = none\n"+
		"    known-hosts = %s\n    identity = %s\n    %s\n",
		name, g.host(), g.known, g.UserKey(), strings.Join(lines, "\n    "))
}

// get fetches the page of website.
func get(t testing.TB, address string, more ...string) error {
	t.Helper()
	curl := testpeer.Program(t, "curl", "curl")
	args := append([]string{"-sS", "--noproxy", "*", "--max-time", "20", "http://" + address + "/"},
		more...)
	out, err := execOutput(t, "", curl, args...)
	if err != nil || out != "hello" {
		return fmt.Errorf("%s: %w, %q", address, err, out)
	}
	return nil
}

// TestTunnel: curl gets through a real sshd by each kind of forward, in the form of ssh and in that
// of this tool.
func TestTunnel(t *testing.T) {
	g, dir, site := startGateway(t), t.TempDir(), website(t)
	remote := filepath.Join(t.TempDir(), "r.sock")
	p := startLink(t, dir, g.flags("-L", "0:"+site, "--forward", "./f.sock="+site,
		"-R", remote+":"+site, "--reverse", "127.0.0.1:0="+site, "-D", "127.0.0.1:0")...)
	must.OK(t, get(t, p.listens(site)))
	must.OK(t, get(t, "localhost", "--unix-socket", filepath.Join(dir, "f.sock")))
	must.OK(t, get(t, "localhost", "--unix-socket", remote))
	reversed := p.waitFor(links.MessageReverse, map[string]string{"listen": "tcp://127.0.0.1:"})
	must.OK(t, get(t, strings.TrimPrefix(fmt.Sprint(reversed["listen"]), "tcp://")))
	must.OK(t, get(t, site, "--socks5-hostname", p.listens("SOCKS")))
	info, err := os.Lstat(filepath.Join(dir, "f.sock"))
	must.OK(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the socket's mode: %v", info.Mode())
	}
	must.OK(t, p.cmd.Process.Signal(syscall.SIGHUP))
	p.waitFor(links.MessageLooked, nil)
	must.OK(t, p.stop(syscall.SIGTERM))
	if get(t, "localhost", "--unix-socket", remote) == nil {
		t.Error("the gateway listens after the end")
	}
}

// TestTunnelFails: what makes a tunnel useless at the start is an error, and the exit code is 1.
func TestTunnelFails(t *testing.T) {
	g, site := startGateway(t), website(t)
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		must.OK(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	stranger := filepath.Join(dir, "stranger")
	must.OK(t, daemon.NewKey(stranger))
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must.OK(t, err)
	defer taken.Close()
	closed := freeEndpoint(t)[len("tcp://127.0.0.1:"):]
	base := []string{"--ssh-config", "none", "--agent", "none"}
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"an unknown gateway": {append(base, g.host(), "--identity", g.UserKey(),
			"--known-hosts", file("empty", ""), "-L", "0:"+site), "the host key is unknown"},
		"a user without a key": {append(base, g.host(), "--identity", stranger,
			"--known-hosts", g.known, "-L", "0:"+site), "does not let this user in"},
		"nobody there": {append(base, "127.0.0.1:"+closed, "--known-hosts", g.known,
			"-L", "0:"+site), "connection refused"},
		"a port that is taken": {g.flags("-L", taken.Addr().String()+"="+site)[1:],
			"address already in use"},
		"a port that is taken there": {g.flags("-R", taken.Addr().String()+"="+site)[1:],
			"the server refuses to listen"},
		"an ssh_config that is none": {append(base[2:], g.host(), "--known-hosts", g.known,
			"--ssh-config", file("config", "Nonsense yes\n"), "-L", "0:"+site), "config:1: "},
	} {
		t.Run(name, func(t *testing.T) {
			got := execute(t, append([]string{"tunnel"}, test.args...)...)
			if got.code != exitFailure || !strings.Contains(got.stderr, test.want) {
				t.Errorf("%d, %s", got.code, got.stderr)
			}
		})
	}
}

// TestTunnelAcceptsNew: the key of an unknown gateway is recorded only if that is asked for, and
// another one is refused then.
func TestTunnelAcceptsNew(t *testing.T) {
	g, site := startGateway(t), website(t)
	dir := t.TempDir()
	args := []string{"tunnel", g.host(), "-F", "none", "--agent", "none", "-i", g.UserKey(),
		"--known-hosts", "known", "-L", "0:" + site, "--accept-new-host-keys"}
	p := startLink(t, dir, args...)
	must.OK(t, get(t, p.listens(site)))
	must.OK(t, p.stop(syscall.SIGTERM))
	other := startGateway(t)
	known, err := os.ReadFile(filepath.Join(dir, "known"))
	must.OK(t, err)
	key, err := os.ReadFile(other.HostKey + ".pub")
	must.OK(t, err)
	changed := strings.Fields(string(known))[0] + " " + string(key)
	must.OK(t, os.WriteFile(filepath.Join(dir, "known"), []byte(changed), 0o600))
	args[9] = filepath.Join(dir, "known")
	got := execute(t, args...)
	if got.code != exitFailure || !strings.Contains(got.stderr, "the host key has changed") {
		t.Errorf("%d, %s", got.code, got.stderr)
	}
}

// TestTunnelLimits: no more connections at once than max-conns.
func TestTunnelLimits(t *testing.T) {
	g := startGateway(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must.OK(t, err)
	defer l.Close()
	p := startLink(t, t.TempDir(), g.flags("-L", "0:"+l.Addr().String(), "--max-conns", "1")...)
	at := p.listens(l.Addr().String())
	first, err := net.Dial("tcp", at)
	must.OK(t, err)
	defer first.Close()
	far, err := l.Accept()
	must.OK(t, err)
	second, err := net.Dial("tcp", at)
	must.OK(t, err)
	defer second.Close()
	must.OK(t, l.(*net.TCPListener).SetDeadline(time.Now().Add(200*time.Millisecond)))
	if conn, err := l.Accept(); err == nil {
		_ = conn.Close()
		t.Error("the second is carried at the same time")
	}
	must.OK(t, errors.Join(first.Close(), far.Close()))
	must.OK(t, l.(*net.TCPListener).SetDeadline(time.Now().Add(patience)))
	next, err := l.Accept()
	must.OK(t, err)
	must.OK(t, errors.Join(next.Close(), second.Close(), p.stop(syscall.SIGTERM)))
}

// TestTunnelAsks: passwords and passphrases are asked for on the terminal, and not shown.
func TestTunnelAsks(t *testing.T) {
	site := website(t)
	t.Run("a password", func(t *testing.T) {
		g := startGateway(t, "PasswordAuthentication yes", "PubkeyAuthentication no")
		term := onTerminal(t, t.TempDir(), "tunnel", g.host(), "--ssh-config", "none",
			"--agent", "none", "--known-hosts", g.known, "-L", "0:"+site)
		term.answer("Password for "+g.host()+": ", daemon.Password+"\n")
		term.waitFor(links.MessageReady)
		must.OK(t, term.cmd.Process.Signal(syscall.SIGTERM))
		term.exit(0)
		if strings.Contains(term.text(), daemon.Password) {
			t.Errorf("the password is shown: %s", term.text())
		}
	})
	t.Run("a question", func(t *testing.T) {
		g := startGateway(t, "KbdInteractiveAuthentication yes", "PubkeyAuthentication no")
		term := onTerminal(t, t.TempDir(), "tunnel", g.host(), "--ssh-config", "none",
			"--agent", "none", "--known-hosts", g.known, "-L", "0:"+site)
		term.answer("Password: ", "wrong\n")
		term.exit(exitFailure)
		term.waitFor("does not let this user in")
	})
	t.Run("a passphrase", func(t *testing.T) {
		g := startGateway(t)
		key := filepath.Join(t.TempDir(), "locked")
		must.OK(t, daemon.NewKey(key, "-N", "open sesame"))
		public, err := os.ReadFile(key + ".pub")
		must.OK(t, err)
		must.OK(t, os.WriteFile(filepath.Join(g.Dir, "authorized_keys"), public, 0o600))
		args := []string{"tunnel", g.host(), "--ssh-config", "none", "--agent", "none",
			"--known-hosts", g.known, "-i", key, "-L", "0:" + site}
		term := onTerminal(t, t.TempDir(), args...)
		term.answer("Passphrase of "+key+": ", "open sesame\n")
		term.waitFor(links.MessageReady)
		must.OK(t, term.cmd.Process.Signal(syscall.SIGTERM))
		term.exit(0)
		if got := execute(t, args...); got.code != exitFailure { // there is nobody to ask
			t.Errorf("%d, %s", got.code, got.stderr)
		}
	})
}

// TestTunnelLost: a lost connection is opened again. Meanwhile clients are turned away at once.
func TestTunnelLost(t *testing.T) {
	g, site := startGateway(t), website(t)
	p := startLink(t, t.TempDir(), g.flags("-L", "0:"+site, "-R", "127.0.0.1:0="+site)...)
	at := p.listens(site)
	reversed := p.waitFor(links.MessageReverse, nil)
	must.OK(t, get(t, at))
	must.OK(t, g.Stop())
	p.waitFor("sshtunnel: the connection is lost, and is opened again", nil)
	if get(t, at) == nil {
		t.Error("the gateway is away, and the page is there")
	}
	p.waitFor(links.MessageNoGateway, nil)
	must.OK(t, g.Start())
	p.waitFor("sshtunnel: the connection is back", nil)
	must.OK(t, get(t, at))
	testpeer.Eventually(t, "the gateway listens again", func() bool {
		return get(t, strings.TrimPrefix(fmt.Sprint(reversed["listen"]), "tcp://")) == nil
	})
	must.OK(t, p.stop(syscall.SIGTERM))
}

// TestTunnelJupyter: a Jupyter client reaches the five channels of a kernel through a tunnel.
func TestTunnelJupyter(t *testing.T) {
	dir := t.TempDir()
	k := startKernel(t, dir)
	args := []string{}
	for _, channel := range channels {
		args = append(args, "--forward", "127.0.0.1:0="+k.endpoint(channel.name))
	}
	p := startLink(t, dir, startGateway(t).flags(args...)...)
	ports := make(map[string]int)
	for _, channel := range channels {
		at := p.listens(strings.TrimPrefix(k.endpoint(channel.name), "ipc://"))
		port, err := strconv.Atoi(at[strings.LastIndex(at, ":")+1:])
		must.OK(t, err)
		ports[channel.name] = port
	}
	k.talk(t, dir, ports)
	must.OK(t, p.stop(syscall.SIGTERM))
}

// TestPolicyLinks: one process runs links of each kind, reloads them, and tells their health.
func TestPolicyLinks(t *testing.T) {
	dir, site := t.TempDir(), website(t)
	g := startGateway(t)
	authority(t, dir)
	serving, local := freeEndpoint(t)[len("tcp://"):], freeEndpoint(t)[len("tcp://"):]
	serve := "tls-serve = web\n    listen = " + serving + "\n    connect = " + site +
		"\n    cert = server.crt\n    key = server.key\n    ca = ca.crt\n    allow = CN=ann\n"
	connect := "tls-connect = web\n    listen = " + local + "\n    connect = " + serving +
		"\n    cert = ann.crt\n    key = ann.key\n    ca = ca.crt\n"
	tunnel := g.section("web", "forward = WORK/t.sock="+site)
	throughTunnel := func() error {
		return get(t, "localhost", "--unix-socket", filepath.Join(dir, "t.sock"))
	}
	must.OK(t, g.Stop()) // it is away at first
	p := startProxy(t, dir, serve+connect+tunnel)
	must.OK(t, get(t, local))
	p.waitFor(links.MessageNoLogin, map[string]string{"level": "WARN", "tunnel": "web"})
	if err := throughTunnel(); err == nil {
		t.Error("the gateway is away, and the page is there")
	}
	health := func() exitStatus {
		return execute(t, "health", "--config", filepath.Join(dir, "zmqauth.zpl"), "--timeout", "10s")
	}
	if got := health(); got.code != exitFailure ||
		!strings.HasPrefix(got.stderr, "zmqauth: tunnel web: "+dir+"/t.sock: ") {
		t.Errorf("%d, %s", got.code, got.stderr)
	}
	must.OK(t, g.Start())
	p.reload(proxy.MessageReloaded) // which has it try again at once
	p.waitFor(links.MessageLoggedIn, nil)
	must.OK(t, throughTunnel())
	if got := health(); got.code != 0 || got.stderr != "" {
		t.Errorf("%d, %s", got.code, got.stderr)
	}

	for name, test := range map[string]struct{ config, want string }{
		"an unknown entry": {serve + connect + tunnel + "    nonsense = 1\n",
			"zmqauth.zpl:21: unknown name"},
		"a file that is not there": {strings.Replace(serve, "ca.crt", "no.crt", 1) + connect + tunnel,
			`zmqauth.zpl:1: tls-serve "web": ` + dir + "/no.crt: no such file"},
		"nothing": {"", "no frontend, and no tls-serve"},
	} {
		p.configure(test.config)
		if got := fmt.Sprint(p.reload(proxy.MessageWrong)["error"]); !strings.Contains(got, test.want) {
			t.Errorf("%s: %s", name, got)
		}
		must.OK(t, get(t, local))
		must.OK(t, throughTunnel())
	}

	// One that cannot start disturbs no other, and its predecessor goes on.
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must.OK(t, err)
	defer taken.Close()
	p.configure(strings.Replace(serve, serving, taken.Addr().String(), 1) + connect + tunnel)
	got := fmt.Sprint(p.reload(proxy.MessagePartly)["error"])
	if !strings.Contains(got, `zmqauth.zpl:1: tls-serve "web": `+taken.Addr().String()) {
		t.Error(got)
	}
	must.OK(t, get(t, local))
	must.OK(t, throughTunnel())

	// A frontend takes the port of a link, and gives it back.
	frontend := frontendConfig("f", "router", "tcp://"+local, "tcp://"+site, "null")
	p.configure(serve + tunnel + frontend)
	p.reload(proxy.MessageReloaded)
	p.waitFor("zmqauth: bound", map[string]string{"frontend": "f"})
	p.configure(serve + tunnel + connect)
	p.reload(proxy.MessageReloaded)
	must.OK(t, get(t, local))

	// Another user is let in: what was let in before is not cut while it may go on.
	p.configure(strings.Replace(serve, "CN=ann", "CN=bob", 1) + connect)
	p.reload(proxy.MessageReloaded)
	if get(t, local) == nil {
		t.Error("ann gets in")
	}
	if throughTunnel() == nil {
		t.Error("the tunnel that went is there")
	}
	must.OK(t, p.stop(syscall.SIGTERM))
}

// TestTunnelDrains: what is under way when a tunnel ends is carried to its end.
func TestTunnelDrains(t *testing.T) {
	g := startGateway(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must.OK(t, err)
	defer l.Close()
	far := make(chan net.Conn, 1)
	go func() {
		if conn, err := l.Accept(); err == nil {
			far <- conn
		}
	}()
	p := startLink(t, t.TempDir(), g.flags("-L", "0:"+l.Addr().String(), "--linger", "1m")...)
	conn, err := net.Dial("tcp", p.listens(l.Addr().String()))
	must.OK(t, err)
	defer conn.Close()
	other := <-far
	defer other.Close()
	must.OK(t, p.cmd.Process.Signal(syscall.SIGTERM))
	p.waitFor(links.MessageEnds, nil)
	for _, way := range [][2]net.Conn{{conn, other}, {other, conn}} {
		_, err := way[0].Write([]byte("hello"))
		must.OK(t, err)
		must.OK(t, way[1].SetReadDeadline(time.Now().Add(patience)))
		if n, err := way[1].Read(make([]byte, 5)); err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
	}
	must.OK(t, errors.Join(conn.Close(), other.Close()))
	must.OK(t, p.wait())
}
