//go:build unix

package sshtunnel

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// hostBlock returns the lines of ssh_config for a server.
func (s *sshd) hostBlock(t testing.TB, name string, more ...string) string {
	t.Helper()
	lines := append(
		[]string{"Host " + name, "HostName 127.0.0.1", fmt.Sprint("Port ", s.Port), "User " + s.User,
			"IdentityFile " + s.UserKey(), "UserKnownHostsFile " + s.knownHosts(t)}, more...)
	return strings.Join(lines, "\n\t") + "\n"
}

func configFile(t testing.TB, blocks ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config")
	write(t, file, strings.Join(blocks, ""))
	return file
}

// TestJump connects through two servers to a third one. Each has a key of its own and accepts
// another user's key.
func TestJump(t *testing.T) {
	testpeer.NothingLeft(t)
	first, second, last := newSSHD(t), newSSHD(t), newSSHD(t)
	cfg := Config{Host: "last", Agent: "none", Logger: testLogger(t)}
	t.Run("by ssh_config", func(t *testing.T) {
		cfg := cfg
		cfg.ConfigFile = configFile(t, first.hostBlock(t, "first"), second.hostBlock(t, "second"),
			last.hostBlock(t, "last", "ProxyJump first,second"))
		echoes(t, open(t, cfg), echo(t))
	})
	t.Run("one after the other", func(t *testing.T) {
		cfg := cfg
		cfg.ConfigFile = configFile(t, first.hostBlock(t, "first"),
			second.hostBlock(t, "second", "ProxyJump first"),
			last.hostBlock(t, "last", "ProxyJump ssh://second"))
		echoes(t, open(t, cfg), echo(t))
		first.stop(t)
		cfg.Jumps = []Config{} // without the jump hosts, which are not needed here
		echoes(t, open(t, cfg), echo(t))
		must.OK(t, first.Start())
	})
	t.Run("by the Config", func(t *testing.T) {
		cfg := last.config(t)
		cfg.Jumps = []Config{first.config(t), second.config(t)}
		echoes(t, open(t, cfg), echo(t))
		for _, s := range []*sshd{first, second, last} {
			testpeer.Eventually(t, "somebody has logged in at "+s.Name(), func() bool {
				return strings.Contains(s.Log.String(), "Accepted publickey for "+s.User)
			})
		}
	})
	t.Run("with the Config's key", func(t *testing.T) {
		cfg := last.config(t)
		first.authorize(t, filepath.Join(last.Dir, "authorized_keys"))
		jump := first.config(t)
		jump.KeyFile = ""
		cfg.Jumps = []Config{jump}
		echoes(t, open(t, cfg), echo(t))
	})
	t.Run("a changed host key on the way", func(t *testing.T) {
		cfg := last.config(t)
		jump := first.config(t)
		jump.known(t, first.Name()+" "+readText(t, second.HostKey+".pub"))
		cfg.Jumps = []Config{jump}
		var fault *HostKeyError
		if err := openFails(t, cfg, first.Name()); !errors.Is(err, ErrHostKeyChanged) ||
			!errors.As(err, &fault) || fault.Host != first.Name() {
			t.Error(err)
		}
	})
	t.Run("a changed host key at the end", func(t *testing.T) {
		cfg := last.config(t)
		cfg.known(t, last.Name()+" "+readText(t, first.HostKey+".pub"))
		cfg.Jumps = []Config{first.config(t)}
		if err := openFails(t, cfg, last.Name()); !errors.Is(err, ErrHostKeyChanged) {
			t.Error(err)
		}
	})
	t.Run("refused on the way", func(t *testing.T) {
		cfg := last.config(t)
		jump := first.config(t)
		jump.KeyFile = newKey(t, filepath.Join(t.TempDir(), "stranger"))
		cfg.Jumps = []Config{jump}
		var refused *AuthError
		if err := openFails(t, cfg); !errors.As(err, &refused) ||
			!strings.HasSuffix(refused.Host, fmt.Sprint(":", first.Port)) {
			t.Error(err)
		}
	})
	t.Run("nobody at the end", func(t *testing.T) {
		cfg := last.config(t)
		cfg.Port = testpeer.FreePort(t)
		cfg.Jumps = []Config{first.config(t)}
		openFails(t, cfg, fmt.Sprint("127.0.0.1:", cfg.Port), "Connection refused")
	})
	t.Run("in a circle", func(t *testing.T) {
		cfg := cfg
		cfg.ConfigFile = configFile(t, "Host *\nProxyJump first\n")
		openFails(t, cfg, "more than 16")
	})
}

// TestNoPasswordForJumpHosts: the password for the last server is not sent to the jump hosts.
func TestNoPasswordForJumpHosts(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	first := newSSHD(t, allowPassword, allowInteractive)
	last := newSSHD(t, allowPassword)
	cfg := last.config(t)
	cfg.KeyFile = ""
	var count atomic.Int32
	cfg.Password = asked(&count, thePassword)
	jump := first.config(t)
	jump.KeyFile = ""
	cfg.Jumps = []Config{jump}
	openFails(t, cfg, fmt.Sprint(first.Port), "there is no Config.Password",
		"there is no Config.Prompt")
	cfg.Prompt = func(string, string, []string, []bool) ([]string, error) {
		t.Error("Prompt is called for a jump host")
		return nil, errors.New("no")
	}
	openFails(t, cfg, fmt.Sprint(first.Port))
	cfg.Jumps, cfg.KnownHosts = nil, ""
	cfg.ConfigFile = configFile(t,
		first.hostBlock(t, "first", "IdentitiesOnly yes", "PubkeyAuthentication no"),
		"Match originalhost 127.0.0.1\nProxyJump first\n")
	openFails(t, cfg, fmt.Sprint(first.Port))
	if count.Load() != 0 {
		t.Fatal("the password is asked for")
	}
	cfg = last.config(t)
	jump.Password = asked(&count, thePassword)
	cfg.Jumps = []Config{jump}
	must.OK(t, open(t, cfg).Err())
	if count.Load() != 1 {
		t.Errorf("asked %d times", count.Load())
	}
}
