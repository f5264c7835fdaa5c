//go:build unix

package sshtunnel

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

const (
	allowPassword    = "PasswordAuthentication yes"
	allowInteractive = "KbdInteractiveAuthentication yes"
)

func TestKey(t *testing.T) {
	testpeer.NothingLeft(t)
	server := newSSHD(t)
	echoes(t, open(t, server.config(t)), echo(t))
}

// TestKeyKinds logs in with every type of key that ssh-keygen makes and sshd accepts, in each file
// format.
func TestKeyKinds(t *testing.T) {
	server := newSSHD(t)
	for name, args := range map[string][]string{
		"ed25519":     {"-t", "ed25519"},
		"ecdsa":       {"-t", "ecdsa", "-b", "384"},
		"rsa":         {"-t", "rsa", "-b", "2048"},
		"rsa PEM":     {"-t", "rsa", "-b", "2048", "-m", "PEM"},
		"ecdsa PKCS8": {"-t", "ecdsa", "-m", "PKCS8"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := server.config(t)
			cfg.KeyFile = newKey(t, filepath.Join(t.TempDir(), "key"), args...)
			server.authorize(t, cfg.KeyFile+".pub")
			must.OK(t, open(t, cfg).Err())
		})
	}
}

// authorize adds the keys of a public key file to those that may log in.
func (s *sshd) authorize(t testing.TB, file string) {
	t.Helper()
	path := filepath.Join(s.Dir, "authorized_keys")
	write(t, path, readText(t, path)+readText(t, file))
}

// asked returns a callback that counts its calls.
func asked(count *atomic.Int32, answer string) func() (string, error) {
	return func() (string, error) {
		count.Add(1)
		return answer, nil
	}
}

func TestEncryptedKey(t *testing.T) {
	server := newSSHD(t)
	for name, args := range map[string][]string{
		"OpenSSH's format":           nil,
		"PEM, which hides the key":   {"-m", "PEM", "-t", "rsa", "-b", "2048"},
		"PEM without the public key": {"-m", "PEM", "-t", "ecdsa"},
		"PKCS#8":                     {"-m", "PKCS8", "-t", "rsa", "-b", "2048"},
		"PKCS#8 without the public":  {"-m", "PKCS8", "-t", "ecdsa"},
		"AES-GCM":                    {"-Z", "aes256-gcm@openssh.com"},
		"AES-GCM of 128 bits":        {"-Z", "aes128-gcm@openssh.com", "-t", "rsa", "-b", "2048"},
		"ChaCha20":                   {"-Z", "chacha20-poly1305@openssh.com"},
		"AES-CTR":                    {"-Z", "aes192-ctr", "-t", "ecdsa", "-b", "521"},
		"AES-CTR of 128 bits":        {"-Z", "aes128-ctr"},
		"AES-CBC":                    {"-Z", "aes256-cbc"},
		"AES-CBC of 128 bits":        {"-Z", "aes128-cbc"},
		"AES-CBC of 192 bits":        {"-Z", "aes192-cbc"},
		"Triple DES":                 {"-Z", "3des-cbc"},
	} {
		t.Run(name, func(t *testing.T) {
			key := newKey(t, filepath.Join(t.TempDir(), "key"),
				append(args, "-N", "open sesame", "-a", "1")...)
			server.authorize(t, key+".pub")
			if strings.Contains(name, "without") {
				must.OK(t, os.Remove(key+".pub"))
			}
			cfg := server.config(t)
			cfg.KeyFile = key
			var count atomic.Int32
			cfg.Password = asked(&count, "open sesame")
			must.OK(t, open(t, cfg).Err())
			if count.Load() != 1 {
				t.Errorf("the passphrase is asked for %d times", count.Load())
			}
			cfg.Password, cfg.Passphrase = nil, func(file string) (string, error) {
				if file != key {
					t.Errorf("the passphrase of %q is asked for", file)
				}
				return "open sesame", nil
			}
			must.OK(t, open(t, cfg).Err())

			cfg.Passphrase = func(string) (string, error) { return "close sesame", nil }
			err := openFails(t, cfg, key, "the passphrase is wrong")
			if strings.Contains(err.Error(), "sesame") {
				t.Errorf("%q shows a passphrase", err)
			}
			cfg.Passphrase = nil
			openFails(t, cfg, key, "encrypted", "Config.Passphrase")
			reason := errors.New("nobody is at home")
			cfg.Passphrase = func(string) (string, error) { return "", reason }
			if err := openFails(t, cfg, key); !errors.Is(err, reason) {
				t.Errorf("%v does not say why", err)
			}
		})
	}
}

// TestOldFormatKnowsWrongPassphrase: the padding of the old format looks right for one wrong
// passphrase of 256. That one is as wrong as the others.
func TestOldFormatKnowsWrongPassphrase(t *testing.T) {
	for _, kind := range []string{"rsa", "ecdsa"} {
		file := newKey(t, filepath.Join(t.TempDir(), "key"),
			"-m", "PEM", "-t", kind, "-N", "open sesame")
		data, err := os.ReadFile(file)
		must.OK(t, err)
		_, err = decryptKey(data, []byte("open sesame"))
		must.OK(t, err)
		for i := range 3000 {
			if _, err := decryptKey(data, fmt.Append(nil, i)); !errors.Is(err, x509.IncorrectPasswordError) {
				t.Fatalf("%s: the passphrase %d: %v", kind, i, err)
			}
		}
	}
}

// TestPassphraseIsAskedForInNeed: a key that the server does not accept is not decrypted.
func TestPassphraseIsAskedForInNeed(t *testing.T) {
	server := newSSHD(t)
	cfg := server.config(t)
	cfg.KeyFile = newKey(t, filepath.Join(t.TempDir(), "key"), "-N", "open sesame", "-a", "1")
	var count atomic.Int32
	cfg.Password = asked(&count, "open sesame")
	var refused *AuthError
	if err := openFails(t, cfg, cfg.KeyFile, "publickey"); !errors.As(err, &refused) {
		t.Errorf("%T, want an AuthError", err)
	}
	if count.Load() != 0 {
		t.Error("the passphrase is asked for")
	}
}

func TestUnusableKeys(t *testing.T) {
	server := newSSHD(t)
	dir := t.TempDir()
	open := filepath.Join(dir, "open")
	write(t, open, readText(t, server.UserKey()))
	must.OK(t, os.Chmod(open, 0o644))
	text := filepath.Join(dir, "text")
	write(t, text, "not a key at all")
	broken := filepath.Join(dir, "broken")
	write(t, broken, "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n")
	for name, c := range map[string]struct {
		file  string
		parts []string
		is    error
	}{
		"others can read it": {open, []string{"0644", "chmod o-rwx " + open}, nil},
		"missing":            {filepath.Join(dir, "none"), nil, fs.ErrNotExist},
		"a directory":        {dir, []string{"not a regular file"}, nil},
		"text":               {text, []string{"neither a private nor a public key"}, nil},
		"broken":             {broken, []string{"not a private key"}, nil},
		"public, no agent":   {server.HostKey + ".pub", []string{"no agent has"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := server.config(t)
			cfg.KeyFile = c.file
			err := openFails(t, cfg, append(c.parts, c.file)...)
			var fault *FileError
			if !errors.As(err, &fault) || fault.File != c.file {
				t.Errorf("%#v, want a FileError of %s", err, c.file)
			}
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%v is not %v", err, c.is)
			}
		})
	}
}

// TestUsualKeys: by default the keys in ~/.ssh are offered. One that cannot be used does not
// prevent the use of others.
func TestUsualKeys(t *testing.T) {
	server := newSSHD(t, allowPassword)
	home := t.TempDir()
	t.Setenv("HOME", home)
	must.OK(t, os.Mkdir(filepath.Join(home, ".ssh"), 0o700))
	cfg := server.config(t)
	cfg.KeyFile, cfg.KnownHosts = "", "~/.ssh/known_hosts"
	write(t, filepath.Join(home, ".ssh", "known_hosts"), server.knownLine(t))
	openFails(t, cfg, "nothing to try")
	key := filepath.Join(home, ".ssh", "id_ed25519")
	write(t, key, readText(t, server.UserKey()))
	must.OK(t, open(t, cfg).Err())

	keygen(t, "-q", "-p", "-P", "", "-N", "open sesame", "-a", "1", "-f", key)
	openFails(t, cfg, key, "encrypted")
	cfg.Password = func() (string, error) { return thePassword, nil } // the user's, not the key's
	must.OK(t, open(t, cfg).Err())
	cfg.Password = func() (string, error) { return "open sesame", nil }
	must.OK(t, open(t, cfg).Err())
	must.OK(t, os.Chmod(key, 0o644))
	cfg.Password = nil
	openFails(t, cfg, key, "chmod o-rwx "+key)
}

func TestPassword(t *testing.T) {
	testpeer.NothingLeft(t)
	server := newSSHD(t, allowPassword)
	cfg := server.config(t)
	cfg.KeyFile = ""
	t.Setenv("HOME", t.TempDir())
	var count atomic.Int32
	cfg.Password = asked(&count, thePassword)
	echoes(t, open(t, cfg), echo(t))
	if count.Load() != 1 {
		t.Errorf("the password is asked for %d times", count.Load())
	}

	count.Store(0)
	cfg.Password = asked(&count, "battery staple")
	err := openFails(t, cfg, server.User+"@127.0.0.1", "tried password", "publickey")
	var refused *AuthError
	if !errors.As(err, &refused) || !slices.Equal(refused.Tried, []string{"password"}) ||
		!slices.Contains(refused.Allowed, "password") {
		t.Errorf("%#v", err)
	}
	if count.Load() != 1 || strings.Contains(err.Error(), "battery") {
		t.Errorf("asked %d times; %v", count.Load(), err)
	}
	server.logged(t, "Failed password", 1)

	cfg.Password = nil
	openFails(t, cfg, "nothing to try", "there is no Config.Password")
	cfg.Password = func() (string, error) { return "", context.Canceled }
	if err := openFails(t, cfg, "no password"); !errors.Is(err, context.Canceled) {
		t.Errorf("%v does not say why", err)
	}
	cfg.Password = func() (string, error) { panic("a fault of the program") }
	openFails(t, cfg, "panicked")
}

func TestKeyboardInteractive(t *testing.T) {
	testpeer.NothingLeft(t)
	server := newSSHD(t, allowInteractive)
	cfg := server.config(t)
	cfg.KeyFile = ""
	t.Setenv("HOME", t.TempDir())
	t.Run("with Prompt", func(t *testing.T) {
		cfg := cfg
		cfg.Prompt = func(name, instruction string, questions []string, echos []bool) ([]string, error) {
			if len(questions) == 0 { // PAM has nothing more to say
				return nil, nil
			}
			if len(questions) != 1 || !strings.Contains(questions[0], "Password:") || echos[0] {
				t.Errorf("asked %q, %v", questions, echos)
			}
			return []string{thePassword}, nil
		}
		echoes(t, open(t, cfg), echo(t))
		cfg.Prompt = func(_, _ string, questions []string, _ []bool) ([]string, error) {
			return make([]string, len(questions)), nil
		}
		openFails(t, cfg, "tried keyboard-interactive")
		cfg.Prompt = func(string, string, []string, []bool) ([]string, error) {
			return []string{"one", "two", "three"}, nil
		}
		openFails(t, cfg, "3 answers to 1 questions")
		cfg.Prompt = func(string, string, []string, []bool) ([]string, error) {
			return nil, context.Canceled
		}
		if err := openFails(t, cfg, "no answer"); !errors.Is(err, context.Canceled) {
			t.Errorf("%v does not say why", err)
		}
	})
	t.Run("with Password", func(t *testing.T) {
		cfg := cfg
		var count atomic.Int32
		cfg.Password = asked(&count, thePassword)
		echoes(t, open(t, cfg), echo(t))
		cfg.Password = asked(&count, "battery staple")
		openFails(t, cfg, "tried keyboard-interactive")
		if count.Load() != 2 {
			t.Errorf("asked %d times by two tunnels", count.Load())
		}
	})
	t.Run("with nothing", func(t *testing.T) { openFails(t, cfg, "there is no Config.Prompt") })
}

// TestTwoFactors: a server asks for a key and then for a password.
func TestTwoFactors(t *testing.T) {
	server := newSSHD(t, allowPassword, "AuthenticationMethods publickey,password")
	cfg := server.config(t)
	openFails(t, cfg, "there is no Config.Password")
	cfg.Password = func() (string, error) { return thePassword, nil }
	must.OK(t, open(t, cfg).Err())
}

// TestWrongPasswordIsSentOnce: a password that was refused by one method is not tried with another.
func TestWrongPasswordIsSentOnce(t *testing.T) {
	server := newSSHD(t, allowPassword, allowInteractive)
	cfg := server.config(t)
	cfg.KeyFile = ""
	t.Setenv("HOME", t.TempDir())
	cfg.Password = func() (string, error) { return "battery staple", nil }
	openFails(t, cfg, "tried password")
	testpeer.Eventually(t, "sshd has logged it", func() bool {
		return strings.Contains(server.Log.String(), "Connection closed by")
	})
	server.logged(t, "Failed ", 1)
}

// TestSilentCallback: Open returns when its context ends, whatever the callbacks do.
func TestSilentCallback(t *testing.T) {
	server := newSSHD(t)
	cfg := server.config(t)
	cfg.KeyFile = newKey(t, filepath.Join(t.TempDir(), "key"), "-N", "open sesame", "-a", "1")
	server.authorize(t, cfg.KeyFile+".pub")
	ctx, cancel := context.WithCancel(t.Context())
	release := make(chan struct{})
	defer close(release)
	cfg.Passphrase = func(string) (string, error) {
		cancel()
		<-release
		return "", nil
	}
	if _, err := Open(ctx, cfg); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want the context's", err)
	}
}

// TestUserCertificate logs in with a certificate beside the key. The server knows only its
// authority.
func TestUserCertificate(t *testing.T) {
	dir := t.TempDir()
	authority := newKey(t, filepath.Join(dir, "authority"))
	server := newSSHD(t, "TrustedUserCAKeys "+authority+".pub")
	cfg := server.config(t)
	cfg.KeyFile = newKey(t, filepath.Join(dir, "key"))
	openFails(t, cfg, cfg.KeyFile)
	keygen(t, "-q", "-s", authority, "-I", "ann", "-n", server.User, cfg.KeyFile+".pub")
	must.OK(t, open(t, cfg).Err())
}
