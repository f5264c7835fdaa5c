//go:build unix

package sshtunnel

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/zmqauth/zmqauth/internal/daemon"
	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// certifying returns a server that trusts only an authority, a Config without keys, and a function
// that makes a certificate for a key and moves it away from the key.
func certifying(t *testing.T) (cfg Config, certify func(key string) (certificate string)) {
	t.Helper()
	dir := t.TempDir()
	authority := newKey(t, filepath.Join(dir, "authority"))
	server := newSSHD(t, "TrustedUserCAKeys "+authority+".pub", "AuthorizedKeysFile none")
	cfg = server.config(t)
	cfg.KeyFile = ""
	return cfg, func(key string) string {
		t.Helper()
		keygen(t, "-q", "-s", authority, "-I", "ann", "-n", server.User, key+".pub")
		certificate := filepath.Join(dir, "certificate.pub")
		must.OK(t, os.Rename(key+"-cert.pub", certificate))
		return certificate
	}
}

// TestCertificateFile: a certificate is offered with the key that it is for, wherever the key is.
func TestCertificateFile(t *testing.T) {
	cfg, certify := certifying(t)
	home := t.TempDir()
	t.Setenv("HOME", home)
	must.OK(t, os.Mkdir(filepath.Join(home, ".ssh"), 0o700))
	key := newKey(t, filepath.Join(home, ".ssh", "id_ed25519"))
	lines := "CertificateFile " + certify(key) + "\n"
	openFails(t, cfg, key)
	cfg.ConfigFile = configFile(t, lines)
	must.OK(t, open(t, cfg).Err()) // with a default key

	other := newKey(t, filepath.Join(home, "other"))
	cfg.ConfigFile = configFile(t, lines+"IdentityFile "+other+"\n")
	openFails(t, cfg, other)
	cfg.ConfigFile = configFile(t, lines+"IdentityFile "+other+"\nIdentityFile "+key+"\n")
	must.OK(t, open(t, cfg).Err())

	cfg.Agent = startAgent(t, key)
	public := readText(t, key+".pub")
	must.OK(t, os.Remove(key))
	must.OK(t, os.Remove(key+".pub"))
	cfg.ConfigFile = configFile(t, lines)
	must.OK(t, open(t, cfg).Err()) // with a key of the agent that no file names
	cfg.ConfigFile = configFile(t, lines+"IdentitiesOnly yes\n")
	openFails(t, cfg)
	write(t, key+".pub", public)
	cfg.ConfigFile = configFile(t, lines+"IdentitiesOnly yes\nIdentityFile "+key+"\n")
	must.OK(t, open(t, cfg).Err()) // with a key of the agent of which there is only the public half
}

// TestPublicKeyBeside: if there is only KEY.pub, the agent's key is used.
func TestPublicKeyBeside(t *testing.T) {
	server := newSSHD(t)
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	key := newKey(t, filepath.Join(dir, "key"))
	server.authorize(t, key+".pub")
	cfg := server.config(t)
	cfg.Agent = startAgent(t, newKey(t, filepath.Join(dir, "other")), key)
	must.OK(t, os.Remove(key))

	cfg.KeyFile = key
	must.OK(t, open(t, cfg).Err())
	cfg.KeyFile, cfg.ConfigFile = "", configFile(t, "IdentitiesOnly yes\nIdentityFile "+key+"\n")
	must.OK(t, open(t, cfg).Err())
	server.logged(t, "Accepted publickey", 2)

	cfg.Agent = "none"
	openFails(t, cfg, key+".pub", "no agent has")
	must.OK(t, os.Chmod(key+".pub", 0o622))
	openFails(t, cfg, key+".pub", "chmod")
	must.OK(t, os.Remove(key+".pub"))
	cfg.KeyFile = key
	if err := openFails(t, cfg, key); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// TestWrongPassphrase: after a wrong passphrase the next key is tried, and then the other methods.
func TestWrongPassphrase(t *testing.T) {
	server := newSSHD(t, allowPassword)
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	var keys []string
	for _, name := range []string{"one", "two", "three"} {
		keys = append(keys, newKey(t, filepath.Join(dir, name), "-N", name, "-a", "1"))
		server.authorize(t, keys[len(keys)-1]+".pub")
	}
	cfg := server.config(t)
	cfg.KeyFile = ""
	cfg.ConfigFile = configFile(t, "IdentityFile "+strings.Join(keys, "\nIdentityFile ")+"\n")
	var asked []string
	cfg.Passphrase = func(file string) (string, error) {
		asked = append(asked, filepath.Base(file))
		return "three", nil
	}
	must.OK(t, open(t, cfg).Err())
	if !slices.Equal(asked, []string{"one", "two", "three"}) {
		t.Errorf("asked for %q", asked)
	}
	cfg.Passphrase = func(string) (string, error) { return "four", nil }
	cfg.Password = func() (string, error) { return thePassword, nil }
	must.OK(t, open(t, cfg).Err())
	cfg.Password = nil
	err := openFails(t, cfg, keys[0]+": the passphrase is wrong", keys[2]+": the passphrase is wrong")
	var refused *AuthError
	var fault *FileError
	if !errors.As(err, &refused) || !errors.As(err, &fault) || fault.File != keys[0] ||
		len(refused.Tried) != 1 {
		t.Errorf("%#v", err)
	}
	// A Passphrase that fails ends the attempt: nobody is there to ask.
	var count atomic.Int32
	reason := errors.New("nobody is at home")
	cfg.Passphrase = func(string) (string, error) { count.Add(1); return "", reason }
	if err := openFails(t, cfg, keys[0]); !errors.Is(err, reason) || count.Load() != 1 {
		t.Errorf("asked %d times: %v", count.Load(), err)
	}
}

// TestAgentRefuses: a key that the agent does not sign with does not prevent the use of others.
func TestAgentRefuses(t *testing.T) {
	server := newSSHD(t)
	dir, err := os.MkdirTemp("", "agent")
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, os.RemoveAll(dir)) })
	t.Setenv("HOME", dir)
	key := newKey(t, filepath.Join(dir, "key"))
	server.authorize(t, key+".pub")
	socket := filepath.Join(dir, "socket")
	agent, err := daemon.Start(&logbuffer.Buffer{}, []string{"SSH_ASKPASS=/bin/false", "DISPLAY=x"},
		testpeer.Program(t, install, "ssh-agent"), "-D", "-a", socket)
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, agent.Stop()) })
	testpeer.Eventually(t, "the agent listens", func() bool {
		conn, err := net.Dial("unix", socket) // the file is there before the agent listens
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	add := exec.Command(testpeer.Program(t, install, "ssh-add"), "-q", "-c", key)
	add.Env = append(os.Environ(), "SSH_AUTH_SOCK="+socket)
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("ssh-add: %v\n%s", err, out)
	}
	must.OK(t, os.Remove(key))
	cfg := server.config(t)
	cfg.KeyFile, cfg.Agent = "", socket
	cfg.ConfigFile = configFile(t, "IdentityFile "+key+"\n")
	openFails(t, cfg, "does not sign")
	cfg.ConfigFile = configFile(t, "IdentityFile "+key+"\nIdentityFile "+server.UserKey()+"\n")
	must.OK(t, open(t, cfg).Err())
}

// TestUnreadableAuthority: a line of an authority that cannot be read is passed over, as any other
// but a revocation.
func TestUnreadableAuthority(t *testing.T) {
	server := newSSHD(t)
	cfg := server.config(t)
	for _, line := range []string{"@cert-authority * ssh-ed448 AAAA", "@cert-authority",
		"@something * ssh-ed25519 AAAA", "@revokedx * y"} {
		cfg.known(t, line+"\n"+server.knownLine(t))
		must.OK(t, open(t, cfg).Err())
	}
	for _, line := range []string{"@revoked * ssh-ed448 AAAA", "@revoked", "  @revoked\t*"} {
		file := cfg.known(t, line+"\n"+server.knownLine(t))
		openFails(t, cfg, file+":1: ")
	}
}
