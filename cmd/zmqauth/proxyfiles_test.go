package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// unixFrontend is a policy with a frontend at WORK/f.sock.
func unixFrontend(backend string, more ...string) string {
	return frontendConfig("f", "router", "ipc://WORK/f.sock", backend, "null", more...)
}

// exitStatus is how a command has ended.
type exitStatus struct {
	code   int
	stderr string
}

// execute runs a command that ends by itself.
func execute(t testing.TB, args ...string) exitStatus {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command(binary, args...)
	cmd.Stderr = &stderr
	err := cmd.Run()
	if _, ok := err.(*exec.ExitError); err != nil && !ok {
		t.Fatal(err)
	}
	return exitStatus{cmd.ProcessState.ExitCode(), stderr.String()}
}

// TestProxyKeepsFile: a frontend does not take the place of a file that is no socket. check finds
// that too.
func TestProxyKeepsFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f.sock")
	must.OK(t, os.WriteFile(path, []byte("precious"), 0o600))
	config := strings.ReplaceAll(unixFrontend("tcp://127.0.0.1:1"), "WORK", dir)
	policy := filepath.Join(dir, "zmqauth.zpl")
	must.OK(t, os.WriteFile(policy, []byte(config), 0o600))
	for _, command := range []string{"check", "proxy"} {
		got := execute(t, command, "--config", policy)
		if got.code != exitFailure ||
			!strings.Contains(got.stderr, policy+":1: bind: there is a file that is no socket") {
			t.Errorf("%s: %d, %s", command, got.code, got.stderr)
		}
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "precious" {
		t.Errorf("the file: %q, %v", text, err)
	}
}

// TestProxySocketDirectory: a frontend is not bound where others could replace its socket, and get
// what clients send. check finds that too, and both say what mends it.
func TestProxySocketDirectory(t *testing.T) {
	dir := t.TempDir()
	config := strings.ReplaceAll(unixFrontend("tcp://127.0.0.1:1"), "WORK", dir+"/open")
	policy := filepath.Join(dir, "zmqauth.zpl")
	must.OK(t, os.WriteFile(policy, []byte(config), 0o600))
	if got := execute(t, "check", "--config", policy); got.code != 0 { // somebody may make it later
		t.Errorf("no directory: %d, %s", got.code, got.stderr)
	}
	must.OK(t, os.Mkdir(filepath.Join(dir, "open"), 0o700))
	must.OK(t, os.Chmod(filepath.Join(dir, "open"), 0o777))
	for _, command := range []string{"check", "proxy"} {
		got := execute(t, command, "--config", policy)
		if got.code != exitFailure || !strings.Contains(got.stderr, policy+":1: bind: ") ||
			!strings.Contains(got.stderr, "chmod +t "+dir+"/open") {
			t.Errorf("%s: %d, %s", command, got.code, got.stderr)
		}
	}
	must.OK(t, os.Chmod(filepath.Join(dir, "open"), 0o777|fs.ModeSticky))
	p := startProxy(t, dir, config)
	must.OK(t, p.stop(syscall.SIGTERM))
}

// TestProxyKeepsLiveSocket: a second proxy does not take the socket of the first, and its end
// removes nothing.
func TestProxyKeepsLiveSocket(t *testing.T) {
	dir := t.TempDir()
	zctx := testzmq.NewContext(t)
	backend := echo(t, zctx)
	p := startProxy(t, dir, unixFrontend(backend))
	second := execute(t, "proxy", "--config", filepath.Join(dir, "zmqauth.zpl"))
	const want = "another program listens there"
	if second.code != exitFailure || !strings.Contains(second.stderr, want) {
		t.Errorf("the second: %d, %s", second.code, second.stderr)
	}
	client := testzmq.NewSocket(t, zctx, zmq4.REQ)
	must.OK(t, enter(t, client, "ipc://"+dir+"/f.sock", nil, nil))
	must.OK(t, ask(client, "hello"))
	must.OK(t, p.stop(syscall.SIGTERM))
}

// TestProxyReplacesDeadSocket: the socket that a killed proxy has left is no obstacle.
func TestProxyReplacesDeadSocket(t *testing.T) {
	dir := t.TempDir()
	zctx := testzmq.NewContext(t)
	backend := echo(t, zctx)
	p := startProxy(t, dir, unixFrontend(backend))
	_ = p.stop(syscall.SIGKILL)
	if _, err := os.Lstat(filepath.Join(dir, "f.sock")); err != nil {
		t.Fatal(err)
	}
	p = startProxy(t, dir, unixFrontend(backend))
	client := testzmq.NewSocket(t, zctx, zmq4.REQ)
	must.OK(t, enter(t, client, "ipc://"+dir+"/f.sock", nil, nil))
	must.OK(t, ask(client, "hello"))
	must.OK(t, p.stop(syscall.SIGTERM))
}

// TestProxyKeepsSuccessor: a proxy that ends does not remove what somebody else has put in the
// place of its socket.
func TestProxyKeepsSuccessor(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f.sock")
	p := startProxy(t, dir, unixFrontend("tcp://127.0.0.1:1"))
	must.OK(t, os.Remove(path))
	other, err := net.Listen("unix", path)
	must.OK(t, err)
	defer other.Close()
	must.OK(t, p.stop(syscall.SIGTERM))
	if _, err := os.Lstat(path); err != nil {
		t.Error(err)
	}
}

// TestProxySocketAccess: mode and group of the policy are those of the socket's file.
func TestProxySocketAccess(t *testing.T) {
	groups, err := os.Getgroups()
	must.OK(t, err)
	group := os.Getgid()
	for _, other := range append(groups, 1) {
		if other != group && (os.Getuid() == 0 || other != 1) {
			group = other // one that the file would not have by itself
		}
	}
	dir := t.TempDir()
	p := startProxy(t, dir, unixFrontend("tcp://127.0.0.1:1", "mode = 0660",
		"group = "+strconv.Itoa(group)))
	info, err := os.Lstat(filepath.Join(dir, "f.sock"))
	must.OK(t, err)
	stat := info.Sys().(*syscall.Stat_t)
	if got := fmt.Sprintf("%v %d", info.Mode(), stat.Gid); got != fmt.Sprintf("Srw-rw---- %d", group) {
		t.Error(got)
	}
	must.OK(t, p.stop(syscall.SIGTERM))
	for entry, want := range map[string]string{
		"mode = 0999":             "not the mode of a file",
		"mode = 0":                "not the mode of a file",
		"group = no-such-group-x": "group: ",
	} {
		policy := filepath.Join(dir, "wrong.zpl")
		config := strings.ReplaceAll(unixFrontend("tcp://127.0.0.1:1", entry), "WORK", dir)
		must.OK(t, os.WriteFile(policy, []byte(config), 0o600))
		got := execute(t, "check", "--config", policy)
		if got.code != exitFailure || !strings.Contains(got.stderr, want) {
			t.Errorf("%s: %d, %s", entry, got.code, got.stderr)
		}
	}
}
