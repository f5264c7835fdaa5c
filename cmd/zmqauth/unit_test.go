//go:build linux

package main

import (
	bits "encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/proxy"
	"github.com/zmqauth/zmqauth/internal/zapservice"
)

// TestUnits: systemd understands the units of docs/systemd, and finds little that they expose.
// Their commands have the flags that the units give them.
func TestUnits(t *testing.T) {
	const limit = 2.0
	units, err := filepath.Glob("../../docs/systemd/*.service")
	must.OK(t, err)
	if len(units) != 3 {
		t.Fatal(units)
	}
	engine, err := engineProgram()
	must.OK(t, err)
	for _, unit := range units {
		text, err := os.ReadFile(unit)
		must.OK(t, err)
		here := filepath.Join(t.TempDir(), filepath.Base(unit)) // with a program that is there
		must.OK(t, os.WriteFile(here,
			[]byte(strings.NewReplacer("/usr/bin/zmqauth ", binary+" ", "/usr/bin/zmqauth-engine ",
				engine+" ").Replace(string(text))), 0o600))
		out, err := exec.Command("systemd-analyze", "verify", "--man=no", here).CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", unit, err, out)
		}
		out, err = exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager",
			here).Output()
		must.OK(t, err)
		found := regexp.MustCompile(`Overall exposure level for .*: ([0-9.]+) `).FindSubmatch(out)
		if found == nil {
			t.Fatalf("%s", out)
		}
		exposed, err := strconv.ParseFloat(string(found[1]), 64)
		if must.OK(t, err); exposed >= limit {
			t.Errorf("%s: exposure %.1f, want less than %.1f\n%s", unit, exposed, limit, out)
		}
		if strings.HasPrefix(filepath.Base(unit), "zmqauth-engine") {
			continue // it has no flags
		}
		lines := regexp.MustCompile(`(?m)^Exec(?:Start|Reload)=/usr/bin/zmqauth (.*)$`)
		commands := lines.FindAllStringSubmatch(strings.ReplaceAll(string(text), "\\\n", ""), -1)
		if len(commands) != 2 {
			t.Errorf("%s: %d commands", unit, len(commands))
		}
		for _, line := range commands {
			args := strings.Fields(line[1])
			cmd, _, err := newRoot().Find(args)
			must.OK(t, err)
			must.OK(t, cmd.ParseFlags(args[1:]))
		}
	}
}

// TestSocketUnit: systemd understands the socket unit of docs/systemd, for its service.
func TestSocketUnit(t *testing.T) {
	dir := t.TempDir()
	var units []string
	for _, name := range []string{"zmqauth-proxy.service", "zmqauth-proxy.socket"} {
		text, err := os.ReadFile(filepath.Join("../../docs/systemd", name))
		must.OK(t, err)
		units = append(units, filepath.Join(dir, name))
		must.OK(t, os.WriteFile(units[len(units)-1],
			[]byte(strings.ReplaceAll(string(text), "/usr/bin/zmqauth ", binary+" ")), 0o600))
	}
	out, err := exec.Command("systemd-analyze",
		append([]string{"verify", "--man=no"}, units...)...).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}

// aclFor is an access control list (linux/posix_acl_xattr.h) as systemd gives a credential to a
// user: its owner and that user may read.
func aclFor(uid uint32) []byte {
	const nobody = ^uint32(0)
	list := bits.LittleEndian.AppendUint32(nil, 2)
	for _, e := range []struct {
		tag, permission uint16
		id              uint32
	}{{1, 4, nobody}, {2, 4, uid}, {4, 0, nobody}, {0x10, 4, nobody}, {0x20, 0, nobody}} {
		list = bits.LittleEndian.AppendUint16(list, e.tag)
		list = bits.LittleEndian.AppendUint16(list, e.permission)
		list = bits.LittleEndian.AppendUint32(list, e.id)
	}
	return list
}

// TestCredential: a secret key that systemd has put into $CREDENTIALS_DIRECTORY is trusted, in both
// ways in which systemd does that: the file is the service's user's (mode 0400), or root's with an
// access control list for that user. A list for somebody else is a fault.
func TestCredential(t *testing.T) {
	dir, err := os.MkdirTemp("", "credential")
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, os.RemoveAll(dir)) })
	must.OK(t, os.Chmod(dir, 0o755)) // #nosec G302 -- the other user has to get at it
	user := uint32(os.Getuid())
	if user == 0 {
		user = 61234 // as DynamicUser has them
	}
	program := filepath.Join(dir, "zmqauth")
	must.OK(t, os.Link(binary, program))
	identity(t, dir, "server")
	secret := filepath.Join(dir, "server.key_secret")
	policy := filepath.Join(dir, "zmqauth.zpl")
	must.OK(t, os.WriteFile(policy, []byte("domain = d\n    curve = \"*\"\n"+
		frontendConfig("d", "router", "tcp://127.0.0.1:*", "tcp://127.0.0.1:9", "curve",
			"certificate = "+secret)), 0o644)) // #nosec G306 -- there is no secret in it
	check := func() string {
		cmd := exec.Command(program, "check", "--config", policy)
		if os.Getuid() == 0 {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{
				Uid: user, Gid: user}}
		}
		out, err := cmd.CombinedOutput()
		if err != nil {
			return string(out)
		}
		return ""
	}
	must.OK(t, os.Chmod(secret, 0o400))
	if os.Getuid() == 0 {
		if check() == "" {
			t.Error("a file that only root can read was read")
		}
		must.OK(t, os.Chown(secret, int(user), 0))
	}
	if out := check(); out != "" {
		t.Errorf("the user's own: %s", out)
	}
	if os.Getuid() == 0 {
		must.OK(t, os.Chown(secret, 0, 0))
	}
	must.OK(t, unix.Setxattr(secret, "system.posix_acl_access", aclFor(user), 0))
	if out := check(); out != "" {
		t.Errorf("by a list: %s", out)
	}
	must.OK(t, os.Chown(secret, int(user), 0))
	must.OK(t, unix.Setxattr(secret, "system.posix_acl_access", aclFor(user+1), 0))
	if out := check(); !strings.Contains(out, "read it, and it holds a secret: setfacl -x u:") {
		t.Errorf("a list for somebody else: %q", out)
	}
}

// syscallsOf are those of a set of systemd's, such as @system-service, or the one of that name.
func syscallsOf(t *testing.T, set string) (names []string) {
	t.Helper()
	if !strings.HasPrefix(set, "@") {
		return []string{set}
	}
	out, err := exec.Command("systemd-analyze", "syscall-filter", "--no-pager", set).Output()
	must.OK(t, err)
	for _, line := range strings.Split(string(out), "\n")[1:] {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			names = append(names, syscallsOf(t, line)...)
		}
	}
	return names
}

// allowedBy are the system calls that a unit of docs/systemd allows.
func allowedBy(t *testing.T, name string) map[string]bool {
	t.Helper()
	unit, err := os.ReadFile(filepath.Join("../../docs/systemd", name))
	must.OK(t, err)
	allowed := map[string]bool{"fchmodat2": true, "syscall_0x1c4": true} // there is a way without it
	line := regexp.MustCompile(`(?m)^SystemCallFilter=(~?)(.*)$`)
	for _, found := range line.FindAllSubmatch(unit, -1) {
		for _, set := range strings.Fields(string(found[2])) {
			for _, name := range syscallsOf(t, set) {
				allowed[name] = len(found[1]) == 0
			}
		}
	}
	if !allowed["read"] || allowed["setuid"] {
		t.Fatal("the filter was not understood")
	}
	return allowed
}

// traced are the system calls in a trace. Those that are not allowed are faults.
func traced(t *testing.T, path string, allowed map[string]bool) map[string]bool {
	t.Helper()
	trace, err := os.ReadFile(path)
	must.OK(t, err)
	made := make(map[string]bool)
	for _, call := range regexp.MustCompile(`(?m)^\d+ +(\w+)\(`).FindAllSubmatch(trace, -1) {
		if name := string(call[1]); !made[name] && !allowed[name] {
			t.Errorf("%s is forbidden", name)
		}
		made[string(call[1])] = true
	}
	return made
}

// TestUnitFilter: the proxy makes no system call that its unit forbids, from its start to its end,
// with a group for its sockets. libzmq would end the process.
func TestUnitFilter(t *testing.T) {
	dir := t.TempDir()
	server, client := identity(t, dir, "server"), filepath.Join(dir, "client.key_secret")
	identity(t, dir, "client")
	p := &proxyProcess{t: t, dir: dir, program: "strace", exited: make(chan struct{})}
	p.configure("domain = d\n    curve = \"*\"\n" + frontendConfig("d", "router", "tcp://127.0.0.1:*",
		"tcp://127.0.0.1:9", "curve", "certificate = server.key_secret", "front = yes"))
	p.start("-D", "-f", "-qq", "-o", "trace", binary, "proxy", "--config", "zmqauth.zpl",
		"--control", "control.sock", "--control-group", strconv.Itoa(os.Getgid()),
		"--http", "127.0.0.1:0")
	p.waitFor(proxy.MessageReady, nil)
	for _, args := range [][]string{
		{"connect", p.endpoint("d"), "--cert", client, "--server-key", server.Public.String()},
		{"reload", "--control", filepath.Join(dir, "control.sock")},
	} {
		if out, err := exec.Command(binary, args...).CombinedOutput(); err != nil {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
	must.OK(t, p.stop(syscall.SIGTERM))
	made := traced(t, filepath.Join(dir, "trace"), allowedBy(t, "zmqauth-proxy.service"))
	if !made["sched_setscheduler"] || !made["accept4"] || !made["fchownat"] {
		t.Errorf("the trace is not that of a proxy: %v", made)
	}
}

// TestServeFilter: nor does serve, whose directory and socket are for a group.
func TestServeFilter(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "serve") // the path of a socket is short
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, os.RemoveAll(dir)) })
	p := &proxyProcess{t: t, dir: dir, program: "strace", exited: make(chan struct{})}
	p.configure("domain = d\n    curve = \"*\"\nservice = host\n    bind = ipc://WORK/zap/zap.sock\n" +
		"    group = " + strconv.Itoa(os.Getgid()) + "\n")
	p.start("-D", "-f", "-qq", "-o", "trace", binary, "serve", "--config", "zmqauth.zpl",
		"--control", "control.sock")
	p.waitFor(zapservice.MessageReady, nil)
	must.OK(t, p.stop(syscall.SIGTERM))
	made := traced(t, filepath.Join(dir, "trace"), allowedBy(t, "zmqauth-serve.service"))
	if !made["lchown"] && !made["fchownat"] {
		t.Errorf("the trace is not that of serve: %v", made)
	}
}

// TestEngineFilter: nor does the engine.
func TestEngineFilter(t *testing.T) {
	program, err := engineProgram()
	must.OK(t, err)
	w := newFleetWorld(t, "one")
	identity(t, w.dir, "ann")
	must.OK(t, w.engine.stop(syscall.SIGTERM))
	w.engine = &proxyProcess{t: t, dir: w.dir, program: "strace", exited: make(chan struct{})}
	w.engine.start("-D", "-f", "-qq", "-o", "trace", program, "fleet/engine-1.engine")
	w.engine.waitFor("zmqauth-engine: the bucket is there", nil)
	w.run("fleet", "add-key", "ann.key", "--domain", "d")
	must.OK(t, w.engine.stop(syscall.SIGTERM))
	made := traced(t, filepath.Join(w.dir, "trace"), allowedBy(t, "zmqauth-engine.service"))
	if !made["accept4"] || !made["fsync"] {
		t.Errorf("the trace is not that of an engine: %v", made)
	}
}
