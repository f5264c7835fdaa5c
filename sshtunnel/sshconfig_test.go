package sshtunnel

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
)

// TestConfigErrors: each error names file and line.
func TestConfigErrors(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct{ text, where, what string }{
		"no value":              {"\nPort", ":2", "nothing behind"},
		"two values":            {"Port 1 2", ":1", "one value is wanted, there are 2"},
		"an empty value":        {`User ""`, ":1", "empty"},
		"an open quote":         {"# first\nUser \"ann", ":2", "quote"},
		"a bad port":            {"Host gateway\nPort http", ":2", "not a port"},
		"a port too high":       {"Port 65536", ":1", "not a port"},
		"a bad time":            {"ConnectTimeout soon", ":1", "not a time"},
		"neither yes nor no":    {"IdentitiesOnly perhaps", ":1", "neither yes nor no"},
		"strictness":            {"StrictHostKeyChecking perhaps", ":1", "StrictHostKeyChecking"},
		"a family":              {"AddressFamily ipx", ":1", "AddressFamily"},
		"a token":               {"IdentityFile ~/%z", ":1", "%z is not known"},
		"a token without end":   {"HostName gateway%", ":1", "ends with a %"},
		"a variable":            {"IdentityFile ${NO_SUCH_VARIABLE}", ":1", "NO_SUCH_VARIABLE"},
		"a user":                {"IdentityFile ~nosuchuser/key", ":1", `there is no user "nosuchuser"`},
		"no algorithm":          {"Ciphers rot13", ":1", `no algorithm "rot13"`},
		"algorithms":            {"MACs umac-64@openssh.com", ":1", "none of them is supported"},
		"a jump host":           {"ProxyJump one,,two", ":1", "no host in it"},
		"Match host":            {"Match host", ":1", "nothing behind"},
		"Match canonical alone": {"Match canonical host", ":1", "nothing behind"},
		"Match tagged":          {"Match tagged x", ":1", "not supported"},
		"Match alone":           {"Match", ":1", "nothing behind"},
		"Match all and more":    {"Match all host x", ":1", "all stands alone"},
		"Match all of three":    {"Match host a user b all", ":1", "all stands alone"},
		"an include of itself":  {"Include " + dir + "/config", ":1", "more than 16 files deep"},
		"an included fault":     {"Include " + dir + "/other", "", "nothing behind"},
		"a typo":                {"Port 1\nRevokedHostKey /x", ":2", "ssh has no setting RevokedHostKey"},
		"a typo of Host":        {"Hosts gw\nPort 1", ":1", "ssh has no setting Hosts"},
		"an invisible character": {
			"Host a\nPort 1\nHost\u00a0gw\nPort 2", ":3", `"Host\u00a0gw" (there is a character`,
		},
		"no known_hosts":    {"KnownHostsCommand /bin/x", ":1", "KnownHostsCommand is not supported"},
		"a key in hardware": {"PKCS11Provider /x.so", ":1", "PKCS11Provider is not supported"},
		"an interface":      {"BindInterface eth0", ":1", "BindInterface is not supported"},
		"standard input":    {"ProxyCommand -", ":1", "standard input"},
		"fallback": {
			"CanonicalizeHostname yes\nCanonicalizeFallbackLocal no", ":2", "CanonicalDomains",
		},
		"the limit of files":  {"UserKnownHostsFile" + strings.Repeat(" x", 33), ":1", "more than 32"},
		"a file and none":     {"GlobalKnownHostsFile /x none", ":1", "none must stand alone"},
		"a rule for aliases":  {"CanonicalizePermittedCNAMEs a", ":1", "domains:domains"},
		"a number":            {"CanonicalizeMaxDots -1", ":1", "not a number"},
		"a variable to send":  {"SendEnv A=b", ":1", "not the name of a variable"},
		"a variable to set":   {"SetEnv A", ":1", "NAME=VALUE"},
		"a forward":           {"LocalForward 1", ":1", "two values are wanted"},
		"a bad word of a key": {"RekeyLimit 1 2 3", ":1", "at most 2 values"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(dir, "config")
			write(t, file, c.text+"\n")
			write(t, filepath.Join(dir, "other"), "\n\nUser\n")
			where := file + c.where
			if c.where == "" {
				where = filepath.Join(dir, "other") + ":3"
			}
			_, err := resolve(t.Context(), Config{Host: "gateway", ConfigFile: file})
			saysAll(t, err, where+": ", c.what)
		})
	}
}

// TestConfigForOthers: settings of other hosts that are not supported here do not matter.
func TestConfigForOthers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config")
	write(t, file, "KnownHostsCommand none\nCheckHostIP no\nHost other\nProxyCommand -\n"+
		"KnownHostsCommand /x\nIdentityFile ~nosuchuser/x\nMACs umac-64@openssh.com\n")
	_, err := resolve(t.Context(), Config{Host: "gateway", ConfigFile: file})
	must.OK(t, err)
}

// TestSettingsWithoutEffect: settings that change neither where one connects nor whom one trusts
// are named in one warning, those of the system's file in no warning.
func TestSettingsWithoutEffect(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	must.OK(t, os.Mkdir(filepath.Join(dir, ".ssh"), 0o700))
	own, system := filepath.Join(dir, ".ssh", "config"), filepath.Join(dir, "system")
	write(t, own, "SendEnv LANG\nCompression yes\nForwardAgent no\nVerifyHostKeyDNS yes\n"+
		"Ciphers aes128-ctr,aes192-cbc\n")
	write(t, system, "GSSAPIAuthentication yes\nCompression yes\nPort 77\n")
	r := &configReader{ctx: t.Context(), given: "gateway", home: dir, system: system, lookup: noHost}
	found, err := r.readAll("")
	must.OK(t, err)
	log := &logbuffer.Buffer{}
	resolved := &resolver{
		target: &target{host: "gateway", user: "ann", network: "tcp", logger: log.Logger()},
		cfg:    Config{Host: "gateway", Agent: "none"}, found: found, home: dir,
	}
	for _, step := range resolved.steps() {
		must.OK(t, step())
	}
	if resolved.port != 77 {
		t.Errorf("port %d: the system's file is not read", resolved.port)
	}
	for _, line := range []string{
		"level=WARN msg=\"sshtunnel: settings of ssh_config that have no effect here\" host=gateway " +
			"settings=\"[Compression (" + own + ":2) SendEnv (" + own + ":1)]\"",
		"level=DEBUG msg=\"sshtunnel: settings of ssh_config that have no effect here\" host=gateway " +
			"settings=\"[GSSAPIAuthentication (" + system + ":1)]\"",
		"level=WARN msg=\"sshtunnel: host keys are checked in known_hosts all the same\" host=gateway " +
			"setting=\"VerifyHostKeyDNS (" + own + ":4)\"",
		"level=WARN msg=\"sshtunnel: algorithms that are not supported here are left out\" " +
			"host=gateway setting=\"Ciphers (" + own + ":5)\" algorithms=[aes192-cbc]",
	} {
		if !strings.Contains(log.String(), line) {
			t.Errorf("%q is not in\n%s", line, log)
		}
	}
}

func TestConfigFiles(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	own := filepath.Join(home, ".ssh", "config")
	port := func(cfg Config) (int, error) {
		cfg.Host = "gateway"
		targets, err := resolve(t.Context(), cfg)
		if err != nil {
			return 0, err
		}
		return targets[0].port, nil
	}
	expect := func(what string, cfg Config, want int) {
		t.Helper()
		if got, err := port(cfg); err != nil || got != want {
			t.Errorf("%s: port %d, %v; want %d", what, got, err, want)
		}
	}
	expect("no file of the user's", Config{}, 22)
	must.OK(t, os.Mkdir(filepath.Dir(own), 0o700))
	write(t, own, "Host gateway\nPort 77\n")
	expect("the user's file", Config{}, 77)
	expect("no file wanted", Config{ConfigFile: "none"}, 22)
	write(t, filepath.Join(home, "other"), "Port 78\n")
	expect("a file in the home directory", Config{ConfigFile: "~/other"}, 78)
	expect("the Config comes first", Config{Port: 80}, 80)
	_, err := port(Config{ConfigFile: filepath.Join(home, "missing")})
	if saysAll(t, err, filepath.Join(home, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	write(t, own, "Include work/*.conf\n")
	must.OK(t, os.Mkdir(filepath.Join(home, ".ssh", "work"), 0o700))
	write(t, filepath.Join(home, ".ssh", "work", "a.conf"), "Port 79\n")
	expect("an included file, by its relative name", Config{}, 79)
}

// TestTextsThatAreNoText: a byte order mark, UTF-16 and NUL bytes are errors with their line.
// Without that the first line would be passed over in silence.
func TestTextsThatAreNoText(t *testing.T) {
	dir := t.TempDir()
	config, known := filepath.Join(dir, "config"), filepath.Join(dir, "known_hosts")
	for text, want := range map[string]string{
		"\ufeffHost gateway\nPort 77\n":  ":1: a byte order mark",
		"\xff\xfeH\x00o\x00s\x00t\x00":   ":1: it is UTF-16",
		"Host gateway\nPort 77\x00\n":    ":2: a NUL byte",
		"Host gateway\nUser a\x00b\nx\n": ":2: a NUL byte",
	} {
		write(t, config, text)
		if _, err := resolve(t.Context(), Config{Host: "gateway", ConfigFile: config}); err == nil ||
			!strings.Contains(err.Error(), config+want) {
			t.Errorf("ssh_config %q: %v", text, err)
		}
		write(t, known, text)
		logger := slog.New(slog.DiscardHandler)
		if _, err := loadKnownHosts([]string{known}, "gateway", "", logger); err == nil ||
			!strings.Contains(err.Error(), known+want) {
			t.Errorf("known_hosts %q: %v", text, err)
		}
		if err := new(knownHosts).loadRevoked(known); err == nil ||
			!strings.Contains(err.Error(), known+want) {
			t.Errorf("revoked keys %q: %v", text, err)
		}
	}
}
