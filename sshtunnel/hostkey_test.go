//go:build unix

package sshtunnel

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// known gives the Config a known_hosts file with the text, and returns its path.
func (c *Config) known(t testing.TB, text string) string {
	t.Helper()
	c.KnownHosts = filepath.Join(t.TempDir(), "known_hosts")
	write(t, c.KnownHosts, text)
	return c.KnownHosts
}

func TestUnknownHost(t *testing.T) {
	testpeer.NothingLeft(t)
	server := newSSHD(t)
	cfg := server.config(t)
	file := cfg.known(t, "# nothing\nother.example "+readText(t, server.HostKey+".pub"))
	err := openFails(t, cfg, server.Name(), "unknown", "ssh-ed25519 SHA256:", file)
	var fault *HostKeyError
	if !errors.Is(err, ErrUnknownHost) || !errors.As(err, &fault) {
		t.Fatalf("%#v", err)
	}
	if fault.File != file || fault.Line != 0 || fault.Host != server.Name() || len(fault.Want) != 0 {
		t.Errorf("%#v", fault)
	}
	if strings.Contains(server.Log.String(), "publickey") {
		t.Error("the server has been shown a key")
	}
	saysAll(t, err, "AcceptNewHostKeys", "add this line: "+fault.Entry)
	// The error's entry for known_hosts makes the server known.
	cfg.known(t, fault.Entry)
	must.OK(t, open(t, cfg).Err())

	cfg.KnownHosts = filepath.Join(t.TempDir(), "missing")
	if err := openFails(t, cfg, cfg.KnownHosts); !errors.Is(err, ErrUnknownHost) {
		t.Errorf("without a file: %v", err)
	}
	if _, err := os.Stat(cfg.KnownHosts); err == nil {
		t.Error("a file was made")
	}
	cfg.KnownHosts = os.DevNull
	if err := openFails(t, cfg); !errors.Is(err, ErrUnknownHost) {
		t.Errorf("without a file: %v", err)
	}
	cfg.known(t, "unreadable line\n"+server.Name()+" ssh-ed25519 AAAA")
	openFails(t, cfg, cfg.KnownHosts+":1, "+cfg.KnownHosts+":2 cannot be read")
}

func TestChangedHostKey(t *testing.T) {
	testpeer.NothingLeft(t)
	server := newSSHD(t)
	other := readText(t, newKey(t, filepath.Join(t.TempDir(), "other"))+".pub")
	for name, accept := range map[string]bool{
		"refused": false, "refused also where new ones are accepted": true,
	} {
		t.Run(name, func(t *testing.T) {
			cfg := server.config(t)
			cfg.AcceptNewHostKeys = accept
			text := "# first line\n" + server.Name() + " " + other
			file := cfg.known(t, text)
			err := openFails(t, cfg, server.Name(), "changed",
				fmt.Sprintf("%s:2: ssh-ed25519 SHA256:", file))
			var fault *HostKeyError
			if !errors.Is(err, ErrHostKeyChanged) || !errors.As(err, &fault) {
				t.Fatalf("%#v", err)
			}
			if fault.File != file || fault.Line != 2 || len(fault.Want) != 1 ||
				fault.Want[0].Fingerprint == fault.Fingerprint {
				t.Errorf("%#v", fault)
			}
			if readText(t, file) != text {
				t.Error("the file has changed")
			}
		})
	}
}

// TestHostKeyOfAnotherKind: a server has several keys. The known one is asked for, whichever the
// server prefers.
func TestHostKeyOfAnotherKind(t *testing.T) {
	dir := t.TempDir()
	keys := map[string]string{}
	var lines []string
	for kind, bits := range map[string]string{"ed25519": "", "ecdsa": "521", "rsa": "2048"} {
		args := []string{"-t", kind}
		if bits != "" {
			args = append(args, "-b", bits)
		}
		keys[kind] = newKey(t, filepath.Join(dir, kind), args...)
		lines = append(lines, "HostKey "+keys[kind])
	}
	server := newSSHD(t, lines...)
	for kind, key := range keys {
		t.Run(kind, func(t *testing.T) {
			cfg := server.config(t)
			cfg.known(t, server.Name()+" "+readText(t, key+".pub"))
			must.OK(t, open(t, cfg).Err())
			// If only another key of that type is known, the server's key has changed.
			other := newKey(t, filepath.Join(t.TempDir(), "other"), "-t", kind)
			cfg.known(t, server.Name()+" "+readText(t, other+".pub"))
			if err := openFails(t, cfg); !errors.Is(err, ErrHostKeyChanged) {
				t.Error(err)
			}
		})
	}
}

func TestRevokedKey(t *testing.T) {
	server := newSSHD(t)
	key := readText(t, server.HostKey+".pub")
	for name, text := range map[string]string{
		"for this host":                 "@revoked " + server.Name() + " " + key + server.knownLine(t),
		"after the line that allows it": server.knownLine(t) + "@revoked * " + key,
		"for another host":              server.knownLine(t) + "@revoked elsewhere " + key,
	} {
		t.Run(name, func(t *testing.T) {
			cfg := server.config(t)
			cfg.AcceptNewHostKeys = true
			file := cfg.known(t, text)
			var fault *HostKeyError
			err := openFails(t, cfg, "revoked", file)
			if !errors.Is(err, ErrHostKeyRevoked) || !errors.As(err, &fault) || fault.File != file ||
				!strings.HasPrefix(strings.Split(text, "\n")[fault.Line-1], "@revoked") {
				t.Errorf("%#v", err)
			}
		})
	}
	t.Run("a revocation that cannot be read", func(t *testing.T) {
		cfg := server.config(t)
		file := cfg.known(t, server.knownLine(t)+"@revoked * ssh-ed25519 AAAA")
		openFails(t, cfg, file+":2: ")
	})
	t.Run("RevokedHostKeys", func(t *testing.T) {
		dir := t.TempDir()
		cfg := server.config(t)
		cfg.ConfigFile = filepath.Join(dir, "config")
		revoked := filepath.Join(dir, "revoked")
		write(t, cfg.ConfigFile, "RevokedHostKeys "+revoked+"\n")
		openFails(t, cfg, revoked) // the file must exist
		write(t, revoked, "# none yet\n")
		must.OK(t, open(t, cfg).Err())
		write(t, revoked, "# one\n"+key)
		if err := openFails(t, cfg, revoked+":2"); !errors.Is(err, ErrHostKeyRevoked) {
			t.Error(err)
		}
		must.OK(t, os.Remove(revoked))
		keygen(t, "-q", "-k", "-f", revoked, server.HostKey+".pub")
		openFails(t, cfg, revoked, "binary")
	})
}

// TestHashedKnownHosts: a file that ssh-keygen -H has hashed works.
func TestHashedKnownHosts(t *testing.T) {
	server := newSSHD(t)
	cfg := server.config(t)
	other := readText(t, newKey(t, filepath.Join(t.TempDir(), "other"))+".pub")
	file := cfg.known(t, "other.example "+other+server.knownLine(t))
	keygen(t, "-q", "-H", "-f", file)
	if text := readText(t, file); strings.Contains(text, "127.0.0.1") ||
		strings.Count(text, "|1|") != 2 {
		t.Fatalf("not hashed:\n%s", text)
	}
	must.OK(t, open(t, cfg).Err())

	changed := readText(t, newKey(t, filepath.Join(t.TempDir(), "other"))+".pub")
	cfg.known(t, server.Name()+" "+changed)
	keygen(t, "-q", "-H", "-f", cfg.KnownHosts)
	if err := openFails(t, cfg, cfg.KnownHosts+":1"); !errors.Is(err, ErrHostKeyChanged) {
		t.Error(err)
	}
}

func TestAcceptNewHostKeys(t *testing.T) {
	server := newSSHD(t)
	dir := t.TempDir()
	cfg := server.config(t)
	cfg.AcceptNewHostKeys = true
	cfg.KnownHosts = filepath.Join(dir, "ssh", "known_hosts")
	must.OK(t, open(t, cfg).Err())
	text := strings.TrimSpace(readText(t, cfg.KnownHosts))
	if !strings.HasPrefix(server.knownLine(t), text) {
		t.Errorf("recorded %q", text)
	}
	for path, mode := range map[string]os.FileMode{
		cfg.KnownHosts: 0o600, filepath.Dir(cfg.KnownHosts): 0o700,
	} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	cfg.AcceptNewHostKeys = false
	must.OK(t, open(t, cfg).Err()) // it is known now

	t.Run("behind a last line without an end", func(t *testing.T) {
		cfg := cfg
		cfg.AcceptNewHostKeys = true
		cfg.known(t, "other.example "+strings.TrimSpace(readText(t, server.HostKey+".pub")))
		must.OK(t, open(t, cfg).Err())
		if text := readText(t, cfg.KnownHosts); strings.Count(text, "\n") != 2 {
			t.Errorf("%q", text)
		}
		keygen(t, "-F", server.Name(), "-f", cfg.KnownHosts)
	})
	t.Run("hashed, as a file named in the Config wants", func(t *testing.T) {
		cfg := cfg
		cfg.KnownHosts = filepath.Join(t.TempDir(), "known_hosts")
		cfg.ConfigFile = filepath.Join(t.TempDir(), "config")
		write(t, cfg.ConfigFile, "StrictHostKeyChecking accept-new\nHashKnownHosts yes\n")
		must.OK(t, open(t, cfg).Err())
		if text := readText(t, cfg.KnownHosts); !strings.HasPrefix(text, "|1|") {
			t.Errorf("%q", text)
		}
		keygen(t, "-F", server.Name(), "-f", cfg.KnownHosts) // ssh finds it
	})
	t.Run("never by other means", func(t *testing.T) {
		home := t.TempDir()
		t.Setenv("HOME", home)
		must.OK(t, os.Mkdir(filepath.Join(home, ".ssh"), 0o700))
		own := filepath.Join(home, ".ssh", "config")
		for _, c := range []struct{ file, text string }{
			{own, "StrictHostKeyChecking accept-new"}, // the user allows it, but not the program
			{own, "StrictHostKeyChecking no"},
			{"", "StrictHostKeyChecking no"},
			{"", "StrictHostKeyChecking off"},
			{"", "StrictHostKeyChecking ask"},
		} {
			cfg := cfg
			cfg.KnownHosts = filepath.Join(t.TempDir(), "known_hosts")
			cfg.ConfigFile = c.file
			if c.file == own {
				cfg.ConfigFile = ""
				write(t, own, c.text+"\n")
			} else {
				cfg.ConfigFile = filepath.Join(t.TempDir(), "config")
				write(t, cfg.ConfigFile, c.text+"\n")
			}
			if err := openFails(t, cfg); !errors.Is(err, ErrUnknownHost) {
				t.Errorf("%q: %v", c.text, err)
			}
		}
	})
	t.Run("not where it cannot be recorded", func(t *testing.T) {
		cfg := cfg
		cfg.AcceptNewHostKeys = true
		for _, file := range []string{os.DevNull, filepath.Join(t.TempDir(), "no", "such", "directory")} {
			cfg.KnownHosts = file
			openFails(t, cfg, file, "cannot be recorded")
		}
	})
}

// TestNewHostIsKnownByItsBestKey: of several keys, the one that ssh would choose is recorded.
func TestNewHostIsKnownByItsBestKey(t *testing.T) {
	rsa := newKey(t, filepath.Join(t.TempDir(), "rsa"), "-t", "rsa", "-b", "2048")
	server := newSSHD(t, "HostKey "+rsa)
	cfg := server.config(t)
	cfg.AcceptNewHostKeys = true
	cfg.known(t, "")
	must.OK(t, open(t, cfg).Err())
	if text := readText(t, cfg.KnownHosts); !strings.Contains(text, "ssh-ed25519 ") {
		t.Errorf("recorded %q", text)
	}
}

// TestPortsInKnownHosts: a server at another port is known by host and port. The host alone counts
// only if it has the server's key.
func TestPortsInKnownHosts(t *testing.T) {
	server := newSSHD(t)
	key := readText(t, server.HostKey+".pub")
	other := readText(t, newKey(t, filepath.Join(t.TempDir(), "other"))+".pub")
	for name, c := range map[string]struct {
		text string
		want error
	}{
		"its port":                   {server.Name() + " " + key, nil},
		"another port":               {"[127.0.0.1]:1 " + key, ErrUnknownHost},
		"a pattern for ports":        {"[127.0.0.1]:* " + key, nil},
		"a pattern for everything":   {"* " + key, nil},
		"its name":                   {"127.0.0.1 " + key, nil},
		"its name, with another key": {"127.0.0.1 " + other, ErrUnknownHost},
		"its port, with another key": {server.Name() + " " + other + "127.0.0.1 " + key,
			ErrHostKeyChanged},
		"a pattern that leaves it out":    {"!" + server.Name() + ",* " + key, nil}, // by its name alone
		"patterns that leave out both":    {"!" + server.Name() + ",!127.0.0.1,* " + key, ErrUnknownHost},
		"several names":                   {"gateway," + server.Name() + " " + key, nil},
		"several keys":                    {server.Name() + " " + other + server.Name() + " " + key, nil},
		"an authority's line is no key's": {"@cert-authority * " + key, ErrUnknownHost},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := server.config(t)
			cfg.known(t, c.text)
			tunnel, err := Open(patient(t), cfg)
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Errorf("%v, want %v", err, c.want)
			}
			if err == nil {
				must.OK(t, tunnel.Close())
			}
		})
	}
}

// TestHostCertificate: a server whose key an authority has signed is accepted.
func TestHostCertificate(t *testing.T) {
	testpeer.NothingLeft(t)
	dir := t.TempDir()
	authority := newKey(t, filepath.Join(dir, "authority"))
	authorityKey := readText(t, authority+".pub")
	stranger := readText(t, newKey(t, filepath.Join(dir, "stranger"))+".pub")
	host := newKey(t, filepath.Join(dir, "host"))
	key := readText(t, host+".pub")
	server := newSSHD(t, "HostKey "+host, "HostCertificate "+host+"-cert.pub")
	sign := func(args ...string) {
		t.Helper()
		keygen(t,
			append(append([]string{"-q", "-s", authority, "-I", "gateway"}, args...), host+".pub")...)
		server.stop(t)
		must.OK(t, server.Start())
	}
	check := func(name, text string, want error) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			cfg := server.config(t)
			file := cfg.known(t, text)
			tunnel, err := Open(patient(t), cfg)
			if !errors.Is(err, want) || (err == nil) != (want == nil) {
				t.Errorf("%v, want %v", err, want)
			}
			if err == nil {
				must.OK(t, tunnel.Close())
			} else {
				saysAll(t, err, file)
			}
		})
	}
	sign("-h", "-n", "127.0.0.1")
	check("by its authority", "@cert-authority "+server.Name()+" "+authorityKey, nil)
	check("by an authority for all", "@cert-authority * "+authorityKey, nil)
	check("by one for its name without the port", "@cert-authority 127.0.0.* "+authorityKey, nil)
	check("by one for others", "@cert-authority *.example "+authorityKey, ErrUnknownHost)
	check("by somebody else", "@cert-authority * "+stranger, ErrHostCertificate)
	check("by a revoked authority", "@cert-authority * "+authorityKey+"@revoked * "+authorityKey,
		ErrHostKeyRevoked)
	check("with a revoked key", "@cert-authority * "+authorityKey+"@revoked * "+key, ErrHostKeyRevoked)
	check("with a known key, by somebody else", "@cert-authority * "+stranger+server.Name()+" "+key,
		nil)
	check("with a known key, no authority", server.Name()+" "+key, nil)
	sign("-h", "-n", "gateway.example")
	check("for another name", "@cert-authority * "+authorityKey, ErrHostCertificate)
	sign("-h", "-n", "*.example,127.0.*")
	check("for a pattern, which is no name", "@cert-authority * "+authorityKey, ErrHostCertificate)
	sign("-h", "-V", "20200101:20200102")
	check("expired", "@cert-authority * "+authorityKey, ErrHostCertificate)
	check("expired, with a known key", "@cert-authority * "+authorityKey+server.Name()+" "+key, nil)
	sign("-n", "127.0.0.1") // no -h: a user's
	check("of a user", "@cert-authority * "+authorityKey, ErrHostCertificate)
}

// TestHostKeyAlias: HostKeyAlias is the name to look for in known_hosts, without a port.
func TestHostKeyAlias(t *testing.T) {
	server := newSSHD(t)
	cfg := server.config(t)
	cfg.ConfigFile = filepath.Join(t.TempDir(), "config")
	write(t, cfg.ConfigFile, "HostKeyAlias Gateway\n")
	cfg.known(t, "gateway "+readText(t, server.HostKey+".pub"))
	must.OK(t, open(t, cfg).Err())
	cfg.known(t, server.knownLine(t))
	if err := openFails(t, cfg, "gateway: "); !errors.Is(err, ErrUnknownHost) {
		t.Error(err)
	}
}

// TestSeveralKnownHosts: all files of ssh_config are used, those of the user and of the system.
func TestSeveralKnownHosts(t *testing.T) {
	server := newSSHD(t)
	dir := t.TempDir()
	cfg := server.config(t)
	cfg.KnownHosts, cfg.ConfigFile = "", filepath.Join(dir, "config")
	write(t, cfg.ConfigFile,
		"UserKnownHostsFile "+dir+"/one \""+dir+"/two files\"\nGlobalKnownHostsFile "+dir+"/global\n")
	if err := openFails(t, cfg, dir+"/one"); !errors.Is(err, ErrUnknownHost) {
		t.Error(err)
	}
	for _, name := range []string{"one", "two files", "global"} {
		write(t, filepath.Join(dir, name), server.knownLine(t))
		must.OK(t, open(t, cfg).Err())
		must.OK(t, os.Remove(filepath.Join(dir, name)))
	}
}
