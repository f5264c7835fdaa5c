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

// TestAgentKeysAreMeasured: RequiredRSASize counts for the agent's keys and certificates, too.
func TestAgentKeysAreMeasured(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	authority := newKey(t, filepath.Join(dir, "authority"))
	server := newSSHD(t, "TrustedUserCAKeys "+authority+".pub")
	plain := newKey(t, filepath.Join(dir, "plain"), "-t", "rsa", "-b", "2048")
	server.authorize(t, plain+".pub")
	certified := newKey(t, filepath.Join(dir, "certified"), "-t", "rsa", "-b", "2048")
	keygen(t, "-q", "-s", authority, "-I", "ann", "-n", server.User, certified+".pub")
	for name, key := range map[string]string{"a key": plain, "a certificate": certified} {
		t.Run(name, func(t *testing.T) {
			cfg := server.config(t)
			cfg.KeyFile, cfg.Agent = "", startAgent(t, key)
			must.OK(t, open(t, cfg).Err())
			cfg.ConfigFile = configFile(t, "RequiredRSASize 3072\n")
			openFails(t, cfg, "an RSA key of 2048 bits; RequiredRSASize asks for 3072")
		})
	}
}

// TestAgentCertificate: a certificate that only the agent has belongs to its key, so that
// IdentitiesOnly and Config.KeyFile allow it.
func TestAgentCertificate(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	authority := newKey(t, filepath.Join(dir, "authority"))
	server := newSSHD(t, "TrustedUserCAKeys "+authority+".pub")
	for _, args := range [][]string{
		{"-t", "ed25519"}, {"-t", "ecdsa"}, {"-t", "rsa", "-b", "2048"},
	} {
		key := newKey(t, filepath.Join(dir, args[1]), args...)
		keygen(t, "-q", "-s", authority, "-I", "ann", "-n", server.User, key+".pub")
		cfg := server.config(t)
		cfg.Agent = startAgent(t, key)
		must.OK(t, os.Remove(key+"-cert.pub"))
		cfg.KeyFile = key + ".pub"
		must.OK(t, open(t, cfg).Err())
		cfg.KeyFile = newKey(t, filepath.Join(dir, "other-"+args[1]))
		openFails(t, cfg, cfg.KeyFile) // it is another key's
	}
}
