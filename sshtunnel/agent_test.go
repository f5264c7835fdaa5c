//go:build unix

package sshtunnel

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/zmqauth/zmqauth/internal/daemon"
	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// startAgent starts a real ssh-agent with the keys, and returns its socket.
func startAgent(t testing.TB, keys ...string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "agent") // the name of a test may be too long for a socket
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, os.RemoveAll(dir)) })
	socket := filepath.Join(dir, "agent")
	agent, err := daemon.Start(&logbuffer.Buffer{}, nil, testpeer.Program(t, install, "ssh-agent"),
		"-D", "-a", socket)
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, agent.Stop()) })
	testpeer.Eventually(t, "the agent listens", func() bool {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	for _, key := range keys {
		add := exec.Command(testpeer.Program(t, install, "ssh-add"), "-q", key)
		add.Env = append(os.Environ(), "SSH_AUTH_SOCK="+socket)
		if out, err := add.CombinedOutput(); err != nil {
			t.Fatalf("ssh-add: %v\n%s", err, out)
		}
	}
	return socket
}

func TestAgent(t *testing.T) {
	testpeer.NothingLeft(t)
	server := newSSHD(t)
	t.Setenv("HOME", t.TempDir())
	socket := startAgent(t, server.UserKey())
	cfg := server.config(t)
	cfg.KeyFile = ""

	t.Run("by name", func(t *testing.T) {
		cfg := cfg
		cfg.Agent = socket
		echoes(t, open(t, cfg), echo(t))
	})
	t.Run("by the environment", func(t *testing.T) {
		t.Setenv("SSH_AUTH_SOCK", socket)
		cfg := cfg
		cfg.Agent = ""
		must.OK(t, open(t, cfg).Err())
		cfg.Agent = "none"
		openFails(t, cfg, "nothing to try")
	})
	t.Run("by ssh_config", func(t *testing.T) {
		cfg := cfg
		cfg.Agent = ""
		cfg.ConfigFile = filepath.Join(t.TempDir(), "config")
		write(t, cfg.ConfigFile, "IdentityAgent "+socket+"\n")
		must.OK(t, open(t, cfg).Err())
	})
	t.Run("for a public key", func(t *testing.T) {
		cfg := cfg
		cfg.Agent = socket
		cfg.KeyFile = filepath.Join(t.TempDir(), "key.pub")
		write(t, cfg.KeyFile, readText(t, filepath.Join(server.Dir, "authorized_keys")))
		must.OK(t, open(t, cfg).Err())
	})
	t.Run("for a key that is encrypted on disk", func(t *testing.T) {
		cfg := cfg
		cfg.Agent = socket
		cfg.KeyFile = filepath.Join(t.TempDir(), "key")
		write(t, cfg.KeyFile, readText(t, server.UserKey()))
		keygen(t, "-q", "-p", "-P", "", "-N", "open sesame", "-a", "1", "-f", cfg.KeyFile)
		must.OK(t, open(t, cfg).Err()) // without Prompt or Password
	})
	t.Run("no agent there", func(t *testing.T) {
		cfg := cfg
		cfg.Agent = filepath.Join(t.TempDir(), "none")
		if err := openFails(t, cfg, cfg.Agent); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%v does not say why", err)
		}
	})
}

// TestFullAgent: sshd hangs up after six keys (from OpenSSH 10.6 on, after twelve). So the
// configured key must come before the agent's other keys.
func TestFullAgent(t *testing.T) {
	server := newSSHD(t)
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	var keys []string
	for i := range 13 {
		keys = append(keys, newKey(t, filepath.Join(dir, fmt.Sprint("key", i))))
	}
	cfg := server.config(t)
	cfg.Agent = startAgent(t, keys...)
	must.OK(t, open(t, cfg).Err())

	cfg.KeyFile, cfg.ConfigFile = "", filepath.Join(dir, "config")
	write(t, cfg.ConfigFile, "IdentityFile "+server.UserKey()+"\n")
	must.OK(t, open(t, cfg).Err())

	cfg.ConfigFile = "none"
	var refused *AuthError
	err := openFails(t, cfg, "Too many authentication failures", "the agent's SHA256:",
		"IdentitiesOnly yes")
	if !errors.As(err, &refused) {
		t.Errorf("%T, want an AuthError", err)
	}
}

// TestIdentitiesOnly: with IdentitiesOnly, the agent's other keys are not offered.
func TestIdentitiesOnly(t *testing.T) {
	server := newSSHD(t)
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	cfg := server.config(t)
	cfg.Agent = startAgent(t, server.UserKey())
	cfg.KeyFile, cfg.ConfigFile = "", filepath.Join(dir, "config")
	other := newKey(t, filepath.Join(dir, "other"))
	write(t, cfg.ConfigFile, "IdentityFile "+other+"\n")
	must.OK(t, open(t, cfg).Err())
	write(t, cfg.ConfigFile, "IdentityFile "+other+"\nIdentitiesOnly yes\n")
	openFails(t, cfg, other)
}
