//go:build unix

package sshtunnel

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/zmqauth/zmqauth/internal/daemon"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// sshd is OpenSSH's server. It ends with the test.
type sshd struct{ *daemon.SSHD }

// thePassword is the password of sshd's user, on servers with passwords.
const thePassword = daemon.Password

// privatePAM is the library that gives sshd a PAM of its own, compiled once for all tests that need
// it.
var privatePAM struct {
	once    sync.Once
	library string // "": not compiled
	err     error
}

func compilePAM() (library string, err error) {
	privatePAM.once.Do(func() {
		var dir string
		if dir, privatePAM.err = os.MkdirTemp("", "pam"); privatePAM.err != nil {
			return
		}
		privatePAM.library = filepath.Join(dir, "pam.so")
		privatePAM.err = daemon.CompilePAM(privatePAM.library)
	})
	return privatePAM.library, privatePAM.err
}

func TestMain(m *testing.M) {
	// The runtime opens descriptors at the first connection. They must not count as a leak of the
	// first test.
	if listener, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		_ = listener.Close()
	}
	status := m.Run()
	if privatePAM.library != "" {
		_ = os.RemoveAll(filepath.Dir(privatePAM.library))
	}
	os.Exit(status)
}

// newSSHD starts a server that accepts the key that it has made. lines are added at the beginning
// of its configuration, where the first of a keyword counts.
func newSSHD(t testing.TB, lines ...string) *sshd {
	t.Helper()
	library, err := compilePAM()
	if err != nil {
		testpeer.Missing(t, err.Error(), install)
	}
	server, err := daemon.StartSSHD(t.TempDir(), library, lines...)
	if errors.Is(err, daemon.ErrMissing) {
		testpeer.Missing(t, err.Error(), install)
	}
	must.OK(t, err)
	s := &sshd{server}
	t.Cleanup(func() {
		s.stop(t)
		if t.Failed() {
			t.Logf("sshd said:\n%s", s.Log)
		}
	})
	return s
}

// stop kills sshd and all its connections, as a crash of the machine would. It returns when they
// are gone.
func (s *sshd) stop(t testing.TB) {
	t.Helper()
	must.OK(t, s.Stop())
}

// knownHosts makes a file with the server's key.
func (s *sshd) knownHosts(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "known_hosts")
	must.OK(t, s.KnownHosts(path))
	return path
}

func (s *sshd) knownLine(t testing.TB) string {
	t.Helper()
	return s.Name() + " " + readText(t, s.HostKey+".pub")
}

// logged checks that sshd has logged the text exactly so many times. It waits for log lines that
// are on the way.
func (s *sshd) logged(t testing.TB, text string, times int) {
	t.Helper()
	testpeer.Eventually(t, fmt.Sprintf("sshd logs %q %d times", text, times), func() bool {
		return strings.Count(s.Log.String(), text) >= times
	})
	if got := strings.Count(s.Log.String(), text); got != times {
		t.Errorf("sshd has logged %q %d times, want %d", text, got, times)
	}
}

// config returns a Config that logs in to the server with its user's key.
func (s *sshd) config(t testing.TB) Config {
	t.Helper()
	return Config{
		Host: "127.0.0.1", Port: s.Port, User: s.User, KeyFile: s.UserKey(),
		KnownHosts: s.knownHosts(t), ConfigFile: "none", Agent: "none", Logger: testLogger(t),
	}
}

// newKey makes a key with ssh-keygen, and returns the private key's path.
func newKey(t testing.TB, path string, args ...string) string {
	t.Helper()
	must.OK(t, daemon.NewKey(path, args...))
	return path
}

func keygen(t testing.TB, args ...string) {
	t.Helper()
	command := exec.Command(testpeer.Program(t, install, "ssh-keygen"), args...)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen %q: %v\n%s", args, err, out)
	}
}
