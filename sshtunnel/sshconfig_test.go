package sshtunnel

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// The configurations that are compared with ssh -G. DIR stands for their directory.
var configurations = map[string]string{
	"plain": `
Host gateway
	HostName gateway.example
	User ann
	Port 2222
Host *
	Port 22222
	ServerAliveInterval 30
`,
	"the first value counts, identities add up": `
IdentityFile /keys/first
Host gateway
  IdentityFile /keys/second
  Port 1
Host *
  Port 2
  IdentityFile /keys/third
  CertificateFile /keys/third-cert.pub
`,
	"patterns": `
Host gate?ay !other
	Port 1
Host ???????? *.example
	Port 2
Host !gateway *
	User nobody
Host [abc]* {a,b}
	Port 3
`,
	"blanks": "\tHost\tgateway\tother\n\t \tPort\t=\t77   \nUser=ann\nHostKeyAlias =  bob\n\n" +
		"   # comment\nHost other\r\n  ConnectTimeout 5\r\n",
	"quotes": `
Host "gateway" 'other'
	User "ann"
	IdentityFile "/keys/with blank"
	IdentityFile '/keys/with "quotes"'
	IdentityFile /keys/escaped\ blank
	IdentityFile "/keys/a \"quote\""
	CertificateFile /keys/x\y
`,
	"comments": `
Host gateway # other
	IdentityFile /keys/with#hash
	User ann # not bob
	Port 77 #78
# Port 79
`,
	"cases": `
HOST gateway
	hostNAME Example.ORG
	PORT 77
	StrictHostKeyChecking ACCEPT-NEW
Host GATEWAY
	User ann
`,
	"match": `
Match originalhost gateway user root
	Port 1
Match host gateway
	User ann
Match user ann host *.example,gate*
	HostName %h.example
Match host gateway.example
	HostKeyAlias found
Match !originalhost gateway
	IdentityFile /keys/notgateway
Match localuser !nobody,*
	ConnectTimeout 7
Match all
	ServerAliveCountMax 9
`,
	"match with equals": `
Match originalhost=gateway
	Port 1
Match user=ann,bob
	ConnectTimeout 7
`,
	"include": `
Host gateway
	Include DIR/included-*
	Port 3
Host *
	Include "DIR/included one"
	User last
`,
	"jump": `
Host gateway
	ProxyJump ann@first:2222,second
Host other
	ProxyJump none
	ProxyJump third
Host *
	ProxyJump fallback
`,
	"command and jump": `
Host gateway
	ProxyCommand none
Host *
	ProxyJump fallback
`,
	"files": `
UserKnownHostsFile /one "/two files" /three
GlobalKnownHostsFile none
RevokedHostKeys /revoked
IdentityAgent /agent
IdentitiesOnly yes
HashKnownHosts yes
AddressFamily inet6
PubkeyAuthentication no
KbdInteractiveAuthentication no
PasswordAuthentication no
PreferredAuthentications publickey,password
`,
	"times": `
ConnectTimeout 1m30s
ServerAliveInterval 2m
`,
	"old names": "ChallengeResponseAuthentication no\nDSAAuthentication no\n",
	"unknown to us": `
IgnoreUnknown Whatever
Whatever "unbalanced is fine here, too"
SendEnv LANG LC_*
LocalForward 8080 localhost:80
Port 77
`,
}

// TestConfigAsSSHReadsIt compares the result with the output of ssh -G.
func TestConfigAsSSHReadsIt(t *testing.T) {
	program := testpeer.Program(t, install, "ssh")
	dir := t.TempDir()
	write(t, filepath.Join(dir, "included-1"),
		"Port 11\nHost other\nUser included\nHost gateway\nConnectTimeout 11\n")
	write(t, filepath.Join(dir, "included-2"), "Match host gateway\nUser two\n")
	write(t, filepath.Join(dir, "included one"), "HostKeyAlias included\n")
	defaults := filepath.Join(dir, "empty")
	write(t, defaults, "")
	hosts, users := []string{"gateway", "other", "gateway.example", "x"}, []string{"", "ann", "root"}
	without := map[[2]string]map[string][]string{} // what ssh has without any configuration
	for _, host := range hosts {
		for _, user := range users {
			without[[2]string{host, user}] = askSSH(t, program, defaults, host, user)
		}
	}
	for name, text := range configurations {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "config")
			write(t, file, strings.ReplaceAll(text, "DIR", dir))
			for _, host := range hosts {
				for _, user := range users {
					want := askSSH(t, program, file, host, user)
					unset := without[[2]string{host, user}]
					found, _, err := readConfig(file, host, user)
					must.OK(t, err)
					for keyword := range keywords {
						compareSetting(t, host, user, keyword, found, want, unset)
					}
				}
			}
		})
	}
}

// askSSH returns what ssh -G prints, by keyword.
func askSSH(t *testing.T, program, file, host, user string) map[string][]string {
	t.Helper()
	args := []string{"-F", file, "-G"}
	if user != "" {
		args = append(args, "-l", user)
	}
	out, err := exec.Command(program, append(args, "--", host)...).Output()
	if err != nil {
		var exit *exec.ExitError
		errors.As(err, &exit)
		t.Fatalf("ssh -G %s: %v\n%s", host, err, exit.Stderr)
	}
	said := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		keyword, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		said[keyword] = append(said[keyword], value)
	}
	return said
}

func compareSetting(
	t *testing.T, host, user, keyword string, found settings, want, unset map[string][]string,
) {
	t.Helper()
	if user != "" && keyword == "user" {
		return // it comes from the command line
	}
	if keyword == "proxycommand" ||
		slices.Contains([]string{"ciphers", "macs", "kexalgorithms", "hostkeyalgorithms"}, keyword) {
		return // ssh prints them after more has been done to them
	}
	if found[keyword] == nil {
		if keyword == "proxyjump" && want[keyword] == nil || slices.Equal(want[keyword], unset[keyword]) {
			return
		}
		t.Errorf("%s %s: %s is not found; ssh has %q", host, user, keyword, want[keyword])
		return
	}
	var got []string
	for _, d := range found[keyword] {
		value := strings.Join(d.words, " ")
		switch keyword {
		case "hostname":
			value = strings.ToLower(strings.ReplaceAll(value, "%h", host))
		case "connecttimeout", "serveraliveinterval":
			seconds, err := readSeconds(value)
			must.OK(t, err)
			value = (time.Duration(seconds) * time.Second).String()
		case "stricthostkeychecking":
			value = strings.ToLower(value)
		}
		got = append(got, value)
	}
	theirs := slices.Clone(want[keyword])
	for i, value := range theirs {
		switch keyword {
		case "connecttimeout", "serveraliveinterval":
			seconds, err := readSeconds(value)
			must.OK(t, err)
			theirs[i] = (time.Duration(seconds) * time.Second).String()
		case "hostname":
			theirs[i] = strings.ToLower(value)
		case "identitiesonly", "hashknownhosts", "pubkeyauthentication", "kbdinteractiveauthentication",
			"passwordauthentication":
			theirs[i] = strings.NewReplacer("true", "yes", "false", "no").Replace(value)
		}
	}
	if keyword == "proxyjump" && slices.Equal(got, []string{"none"}) && theirs == nil {
		return
	}
	if !slices.Equal(got, theirs) {
		t.Errorf("%s %s: %s is %q; ssh has %q", host, user, keyword, got, theirs)
	}
}

// TestConfigErrors: each error names file and line.
func TestConfigErrors(t *testing.T) {
	dir := t.TempDir()
	execute := "Match host gateway exec \"touch " + dir + "/executed\""
	for name, c := range map[string]struct{ text, where, what string }{
		"no value":             {"\nPort", ":2", "nothing behind"},
		"two values":           {"Port 1 2", ":1", "one value is wanted, there are 2"},
		"an empty value":       {`User ""`, ":1", "empty"},
		"an open quote":        {"# first\nUser \"ann", ":2", "quote"},
		"a bad port":           {"Host gateway\nPort http", ":2", "not a port"},
		"a port too high":      {"Port 65536", ":1", "not a port"},
		"a bad time":           {"ConnectTimeout soon", ":1", "not a time"},
		"neither yes nor no":   {"IdentitiesOnly perhaps", ":1", "neither yes nor no"},
		"strictness":           {"StrictHostKeyChecking perhaps", ":1", "StrictHostKeyChecking"},
		"a family":             {"AddressFamily ipx", ":1", "AddressFamily"},
		"a token":              {"IdentityFile ~/%z", ":1", "%z is not known"},
		"a token without end":  {"HostName gateway%", ":1", "ends with a %"},
		"a variable":           {"IdentityFile ${NO_SUCH_VARIABLE}", ":1", "NO_SUCH_VARIABLE"},
		"algorithms":           {"Ciphers rot13", ":1", "none of them is supported"},
		"a jump host":          {"ProxyJump one,,two", ":1", "no host in it"},
		"ProxyCommand":         {"Host *\n ProxyCommand touch " + dir + "/executed", ":2", "never does"},
		"Match exec":           {execute, ":1", "never does"},
		"Match canonical":      {"Match canonical", ":1", "nothing behind"},
		"Match final host":     {"Match final host x", ":1", "not supported"},
		"Match alone":          {"Match", ":1", "nothing behind"},
		"Match all and more":   {"Match all host x", ":1", "all stands alone"},
		"an include of itself": {"Include " + dir + "/config", ":1", "more than 16 files deep"},
		"an included fault":    {"Include " + dir + "/other", "", "nothing behind"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(dir, "config")
			write(t, file, c.text+"\n")
			write(t, filepath.Join(dir, "other"), "\n\nUser\n")
			where := file + c.where
			if c.where == "" {
				where = filepath.Join(dir, "other") + ":3"
			}
			_, err := resolve(Config{Host: "gateway", ConfigFile: file})
			saysAll(t, err, where+": ", c.what)
			if _, err := os.Stat(filepath.Join(dir, "executed")); err == nil {
				t.Error("a command was executed")
			}
		})
	}
	// Errors in parts for other hosts do not matter.
	file := filepath.Join(dir, "config")
	write(t, file, "Match host other exec \"touch "+dir+"/executed\"\nPort http\n"+
		"Host other\nProxyCommand x\nInclude "+dir+"/config\n")
	_, err := resolve(Config{Host: "gateway", ConfigFile: file})
	must.OK(t, err)
}

func TestConfigFiles(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	own := filepath.Join(home, ".ssh", "config")
	port := func(cfg Config) (int, error) {
		cfg.Host = "gateway"
		targets, err := resolve(cfg)
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
		if _, err := resolve(Config{Host: "gateway", ConfigFile: config}); err == nil ||
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
