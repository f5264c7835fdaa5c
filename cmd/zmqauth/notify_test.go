package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/proxy"
	"github.com/zmqauth/zmqauth/internal/zapservice"
)

// manager is the service manager's end of NOTIFY_SOCKET.
type manager struct {
	t    *testing.T
	conn *net.UnixConn
}

func startManager(t *testing.T, address string) *manager {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, conn.Close()) })
	t.Setenv("NOTIFY_SOCKET", address)
	return &manager{t, conn}
}

// until reads until a message begins so, and returns it and how many signs of life came before.
func (m *manager) until(prefix string) (message string, beats int) {
	m.t.Helper()
	buffer := make([]byte, 4096)
	for {
		must.OK(m.t, m.conn.SetReadDeadline(time.Now().Add(patience)))
		n, err := m.conn.Read(buffer)
		if err != nil {
			m.t.Fatalf("waiting for %s: %v", prefix, err)
		}
		message = string(buffer[:n])
		if strings.HasPrefix(message, prefix) {
			return message, beats
		}
		if strings.HasPrefix(message, "WATCHDOG=1\n") {
			beats++
		}
	}
}

func (m *manager) wants(prefix, part string) {
	m.t.Helper()
	if message, _ := m.until(prefix); !strings.Contains(message, part) {
		m.t.Errorf("%q, want %q in it", message, part)
	}
}

// managed is a policy of a proxy.
var managed = "domain = d\n    allow = 127.0.0.1\n" +
	frontendConfig("d", "router", "tcp://127.0.0.1:*", "tcp://127.0.0.1:9", "null")

// TestServiceManager: proxy and serve tell the service manager that they are ready, alive,
// reloading and stopping, and in a line what they do.
func TestServiceManager(t *testing.T) {
	dir := t.TempDir()
	for command, of := range map[string]struct{ policy, wrong, reloaded, status string }{
		"proxy": {managed, proxy.MessageWrong, proxy.MessageReloaded,
			"frontends: 1, links: 0, sessions: 0"},
		"serve": {"domain = d\n    allow = 127.0.0.1\nservice = host\n" +
			"    bind = ipc://WORK/zap/zap.sock\n",
			zapservice.MessageWrong, zapservice.MessageReloaded,
			"services: 1, allowed: 0, denied: 0"},
	} {
		t.Run(command, func(t *testing.T) {
			for _, address := range []string{filepath.Join(dir, command),
				fmt.Sprintf("@zmqauth-%s-%d", command, os.Getpid())} {
				m := startManager(t, address)
				t.Setenv("WATCHDOG_USEC", "200000")
				work, err := os.MkdirTemp("/tmp", "notify") // the path of a socket is short
				must.OK(t, err)
				t.Cleanup(func() { must.OK(t, os.RemoveAll(work)) })
				p := &proxyProcess{t: t, dir: work, exited: make(chan struct{})}
				p.configure(of.policy)
				p.start(command, "--config", "zmqauth.zpl")
				m.wants("READY=1\n", "STATUS="+of.status+"\n")
				for range 3 {
					m.until("WATCHDOG=1\n")
				}
				must.OK(t, p.cmd.Process.Signal(syscall.SIGHUP))
				m.wants("RELOADING=1\n", "MONOTONIC_USEC=")
				m.until("READY=1\n")
				p.waitFor(of.reloaded, nil)
				p.configure("nonsense\n")
				must.OK(t, p.cmd.Process.Signal(syscall.SIGHUP))
				m.until("RELOADING=1\n")
				m.wants("READY=1\n", "; the last reload failed\n")
				p.waitFor(of.wrong, nil)
				must.OK(t, p.stop(syscall.SIGTERM))
				m.until("STOPPING=1\n")
			}
		})
	}
}

// TestEngineOfServiceManager: so does an engine.
func TestEngineOfServiceManager(t *testing.T) {
	m := startManager(t, filepath.Join(t.TempDir(), "notify"))
	t.Setenv("WATCHDOG_USEC", "200000")
	w := newFleetWorld(t, "one")
	m.wants("READY=1\n", "STATUS=connections: 0, the bucket is not there yet\n")
	m.until("WATCHDOG=1\nSTATUS=connections: 0\n")
	for range 3 {
		m.until("WATCHDOG=1\n")
	}
	must.OK(t, w.engine.cmd.Process.Signal(syscall.SIGHUP))
	m.wants("RELOADING=1\n", "MONOTONIC_USEC=")
	m.until("READY=1\n")
	w.engine.waitFor("zmqauth-engine: another list of members is in force", nil)
	must.OK(t, w.engine.stop(syscall.SIGTERM))
	m.until("STOPPING=1\n")
}

// TestWatchdogOfAnother: a watchdog that is not for this process gets no sign of life.
func TestWatchdogOfAnother(t *testing.T) {
	m := startManager(t, filepath.Join(t.TempDir(), "notify"))
	t.Setenv("WATCHDOG_USEC", "1000")
	t.Setenv("WATCHDOG_PID", "1")
	p := startProxy(t, t.TempDir(), managed)
	must.OK(t, p.stop(syscall.SIGTERM))
	if _, beats := m.until("STOPPING=1\n"); beats > 0 {
		t.Errorf("%d signs of life", beats)
	}
}
