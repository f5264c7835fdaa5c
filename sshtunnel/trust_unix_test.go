//go:build unix

package sshtunnel

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// trusting makes, for each kind of file, a Config that needs one, and returns the file.
var trusting = map[string]func(t *testing.T, s *sshd, authority string, cfg *Config) (file string){
	"key": func(t *testing.T, s *sshd, _ string, cfg *Config) string {
		cfg.KeyFile = filepath.Join(t.TempDir(), "key")
		write(t, cfg.KeyFile, readText(t, s.UserKey()))
		return cfg.KeyFile
	},
	"public key": func(t *testing.T, s *sshd, _ string, cfg *Config) string {
		cfg.Agent = startAgent(t, s.UserKey())
		cfg.KeyFile = filepath.Join(t.TempDir(), "key.pub")
		write(t, cfg.KeyFile, readText(t, filepath.Join(s.Dir, "authorized_keys")))
		return cfg.KeyFile
	},
	"public half": func(t *testing.T, s *sshd, _ string, cfg *Config) string {
		cfg.KeyFile = newKey(t, filepath.Join(t.TempDir(), "key"), "-t", "rsa", "-b", "2048", "-m", "PEM",
			"-N", "open sesame")
		cfg.Passphrase = func(string) (string, error) { return "open sesame", nil }
		s.authorize(t, cfg.KeyFile+".pub")
		return cfg.KeyFile + ".pub"
	},
	"certificate": func(t *testing.T, s *sshd, authority string, cfg *Config) string {
		cfg.KeyFile = newKey(t, filepath.Join(t.TempDir(), "key"))
		keygen(t, "-q", "-s", authority, "-I", "ann", "-n", s.User, cfg.KeyFile+".pub")
		return cfg.KeyFile + "-cert.pub"
	},
	"CertificateFile": func(t *testing.T, s *sshd, authority string, cfg *Config) string {
		cfg.KeyFile = newKey(t, filepath.Join(t.TempDir(), "key"))
		keygen(t, "-q", "-s", authority, "-I", "ann", "-n", s.User, cfg.KeyFile+".pub")
		file := filepath.Join(t.TempDir(), "certificate")
		must.OK(t, os.Rename(cfg.KeyFile+"-cert.pub", file))
		cfg.ConfigFile = configFile(t, "CertificateFile "+file+"\n")
		return file
	},
	"KnownHosts": func(_ *testing.T, _ *sshd, _ string, cfg *Config) string { return cfg.KnownHosts },
	"UserKnownHostsFile": func(t *testing.T, _ *sshd, _ string, cfg *Config) string {
		file := cfg.KnownHosts
		cfg.ConfigFile, cfg.KnownHosts = configFile(t, "UserKnownHostsFile "+file+"\n"), ""
		return file
	},
	"GlobalKnownHostsFile": func(t *testing.T, _ *sshd, _ string, cfg *Config) string {
		file := cfg.KnownHosts
		cfg.ConfigFile, cfg.KnownHosts = configFile(t, "GlobalKnownHostsFile "+file+"\n"), ""
		return file
	},
	"RevokedHostKeys": func(t *testing.T, _ *sshd, _ string, cfg *Config) string {
		file := filepath.Join(t.TempDir(), "revoked")
		write(t, file, "# none yet\n")
		cfg.ConfigFile = configFile(t, "RevokedHostKeys "+file+"\n")
		return file
	},
	"ConfigFile": func(t *testing.T, _ *sshd, _ string, cfg *Config) string {
		cfg.ConfigFile = configFile(t, "# nothing\n")
		return cfg.ConfigFile
	},
	"included": func(t *testing.T, _ *sshd, _ string, cfg *Config) string {
		file := configFile(t, "# nothing\n")
		cfg.ConfigFile = configFile(t, "Include "+file+"\n")
		return file
	},
	"the user's own": func(t *testing.T, _ *sshd, _ string, cfg *Config) string {
		home := t.TempDir()
		t.Setenv("HOME", home)
		must.OK(t, os.Mkdir(filepath.Join(home, ".ssh"), 0o700))
		cfg.ConfigFile = ""
		file := filepath.Join(home, ".ssh", "config")
		write(t, file, "# nothing\n")
		return file
	},
}

// TestFilesOfOthers: a file of any kind is refused if users other than root and this one can write
// it, and a private key if others can read it.
func TestFilesOfOthers(t *testing.T) {
	const keep = -1
	defects := map[string]struct {
		mode     os.FileMode
		uid, gid int
		want     string // in the error; "": good
	}{
		"a group reads":        {0o640, keep, 12345, ""},
		"the own group writes": {0o660, keep, keep, ""},
		"others read":          {0o604, keep, keep, ""}, // but for a private key
		"others write":         {0o602, keep, keep, "others can write it (mode 0602): chmod o-w "},
		"another group writes": {0o660, keep, 12345, "group 12345 can write it"},
		"another user's":       {0o600, 12345, keep, "user 12345 owns it"},
	}
	authority := newKey(t, filepath.Join(t.TempDir(), "authority"))
	server := newSSHD(t, "TrustedUserCAKeys "+authority+".pub")
	for kind, prepare := range trusting {
		t.Run(kind, func(t *testing.T) {
			cfg := server.config(t)
			file := prepare(t, server, authority, &cfg)
			must.OK(t, open(t, cfg).Err())
			for name, defect := range defects {
				t.Run(name, func(t *testing.T) {
					want := defect.want
					if kind == "key" && name == "others read" {
						want = "a secret that others can reach (mode 0604): chmod o-rwx "
					}
					must.OK(t, os.Chmod(file, defect.mode))
					if defect.uid != keep || defect.gid != keep {
						testpeer.GiveAway(t, file, defect.uid, defect.gid)
						defer testpeer.GiveAway(t, file, os.Getuid(), os.Getgid())
					}
					if want == "" {
						must.OK(t, open(t, cfg).Err())
						return
					}
					err := openFails(t, cfg, file+": "+want)
					if !strings.Contains(err.Error(), ": ch") {
						t.Errorf("%v does not say how to mend it", err)
					}
				})
			}
		})
	}
}

// TestConfigFilesOfOthers: the rule applies to the user's own ssh_config and to files that it
// includes by a relative name.
func TestConfigFilesOfOthers(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	work := filepath.Join(home, ".ssh", "work")
	must.OK(t, os.MkdirAll(work, 0o700))
	own, included := filepath.Join(home, ".ssh", "config"), filepath.Join(work, "a.conf")
	write(t, own, "Include work/*.conf\n")
	write(t, included, "Port 79\n")
	for file, mode := range map[string]os.FileMode{own: 0o666, included: 0o662} {
		_, err := resolve(t.Context(), Config{Host: "gateway"})
		must.OK(t, err)
		must.OK(t, os.Chmod(file, mode))
		_, err = resolve(t.Context(), Config{Host: "gateway"})
		saysAll(t, err, file, "others can write it")
		must.OK(t, os.Chmod(file, 0o600))
	}
}

// TestNullDevice: the null device is an empty file, although everybody can write it.
func TestNullDevice(t *testing.T) {
	for _, limit := range []int{0, 1} {
		if data, err := readFile(os.DevNull, limit); err != nil || len(data) != 0 {
			t.Errorf("%q, %v", data, err)
		}
	}
	if data, err := readKeyFile(os.DevNull); err != nil || len(data) != 0 {
		t.Errorf("%q, %v", data, err)
	}
	cfg := Config{Host: "gateway", ConfigFile: os.DevNull}
	if _, err := resolve(t.Context(), cfg); err != nil {
		t.Error(err)
	}
}
