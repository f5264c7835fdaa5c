package sshtunnel

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// noHost is a lookup that finds nothing.
func noHost(context.Context, string, string, bool) (string, bool) { return "", false }

// settle reads a file as Open does, without looking for hosts.
func settle(t *testing.T, file, host, user string) (*configuration, *target, error) {
	t.Helper()
	local, home := localUser()
	r := &configReader{
		ctx: t.Context(), given: host, user: user, localUser: local, home: home,
		run: runInShell, lookup: noHost,
	}
	found, err := r.readAll(file)
	if err != nil {
		return nil, nil, err
	}
	resolved := &resolver{
		target: &target{
			host: found.host, user: user, network: "tcp", given: host, logger: quiet(),
		},
		cfg:   Config{Host: host, ConfigFile: file, Agent: "none"},
		found: found, localUser: local, home: home,
	}
	for _, step := range resolved.steps() {
		if err := step(); err != nil {
			return nil, nil, err
		}
	}
	_, err = configuredJumps(resolved.cfg, resolved.target, found)
	return found, resolved.target, err
}

// TestConfigAsSSHReadsIt compares the result with the output of ssh -G.
func TestConfigAsSSHReadsIt(t *testing.T) {
	dir := includable(t)
	ask := newAsker(t)
	for name, text := range configurations {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "config")
			write(t, file, strings.ReplaceAll(text, "DIR", dir))
			for _, host := range askedHosts {
				for _, user := range askedUsers {
					ask.compare(t, file, host, user)
				}
			}
		})
	}
}

// includable returns a directory with files to include.
func includable(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "included-1"),
		"Port 11\nHost other\nUser included\nHost gateway\nConnectTimeout 11\n")
	write(t, filepath.Join(dir, "included-2"), "Match host gateway\nUser two\n")
	write(t, filepath.Join(dir, "included one"), "HostKeyAlias included\n")
	write(t, filepath.Join(dir, ".hidden"), "Port 9\n")
	return dir
}

var askedHosts, askedUsers = []string{"gateway", "other", "gateway.example", "x", "GateWay"},
	[]string{"", "ann", "root"}

// asker asks ssh -G.
type asker struct {
	program  string
	hasDSA   bool                              // versions before 10 have it
	foldCase bool                              // Host ignores case; newer versions do not
	unset    map[[2]string]map[string][]string // what ssh has without any configuration
}

func isDSA(algorithm string) bool { return strings.HasPrefix(algorithm, "ssh-dss") }

func newAsker(t *testing.T) *asker {
	t.Helper()
	a := &asker{program: testpeer.Program(t, install, "ssh"),
		unset: map[[2]string]map[string][]string{}}
	algorithms, err := exec.Command(a.program, "-Q", "key").Output()
	must.OK(t, err)
	a.hasDSA = slices.ContainsFunc(strings.Fields(string(algorithms)), isDSA)
	folds := filepath.Join(t.TempDir(), "folds")
	write(t, folds, "Host gateway\nPort 11\n")
	said, err := a.ask(folds, "GateWay", "")
	must.OK(t, err)
	a.foldCase = slices.Equal(said["port"], []string{"11"})
	defaults := filepath.Join(t.TempDir(), "empty")
	write(t, defaults, "")
	for _, host := range askedHosts {
		for _, user := range askedUsers {
			said, err := a.ask(defaults, host, user)
			must.OK(t, err)
			a.unset[[2]string{host, user}] = said
		}
	}
	return a
}

// ask returns what ssh -G prints, by keyword. It is an error if ssh refuses the file.
func (a *asker) ask(file, host, user string) (map[string][]string, error) {
	args := []string{"-F", file, "-G"}
	if user != "" {
		args = append(args, "-l", user)
	}
	out, err := exec.Command(a.program, append(args, "--", host)...).Output()
	if err != nil {
		var exit *exec.ExitError
		errors.As(err, &exit)
		return nil, fmt.Errorf("ssh -G %s: %w: %s", host, err, exit.Stderr)
	}
	said := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		keyword, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		keyword = strings.ToLower(keyword)
		said[keyword] = append(said[keyword], value)
	}
	return said, nil
}

// compare checks that this package reads a file as ssh does. It reports whether ssh accepts it.
func (a *asker) compare(t *testing.T, file, host, user string) bool {
	t.Helper()
	if !a.foldCase {
		host = strings.ToLower(host)
	}
	want, refusal := a.ask(file, host, user)
	found, got, err := settle(t, file, host, user)
	if (err == nil) != (refusal == nil) {
		t.Errorf("%q %q: %v; ssh: %v\n%s", host, user, err, refusal, readText(t, file))
	}
	if err != nil || refusal != nil {
		return refusal == nil
	}
	differs := func(keyword string, ours, theirs []string) {
		t.Errorf("%q %q: %s is %q; ssh has %q\n%s", host, user, keyword, ours, theirs, readText(t, file))
	}
	unset := a.unset[[2]string{host, user}]
	twice := strings.Contains(strings.ToLower(readText(t, file)), "match")
	for keyword, ours := range settled(found, got) {
		if theirs := usual(keyword, want[keyword]); !slices.Equal(ours, theirs) {
			differs(keyword, ours, theirs)
		}
	}
	for keyword := range keywords {
		if slices.Contains(comparedElsewhere, keyword) {
			continue
		}
		if twice && strings.HasPrefix(keyword, "canonicalize") {
			continue // ssh does not set them in the second pass any more, and does not need them
		}
		var ours []string
		for _, d := range found.settings[keyword] {
			ours = append(ours, strings.Join(d.words, " "))
		}
		ours = usual(keyword, ours)
		theirs, without := usual(keyword, want[keyword]), usual(keyword, unset[keyword])
		if !slices.Equal(ours, theirs) && (ours != nil || !slices.Equal(theirs, without)) {
			differs(keyword, ours, theirs)
		}
	}
	a.compareAlgorithms(t, found, got, want, differs)
	return true
}

// comparedElsewhere are the keywords that settled and compareAlgorithms are about, and those of
// which ssh -G prints something else than the value, or nothing.
var comparedElsewhere = []string{
	"user", "hostname", "port", "userknownhostsfile", "identityagent", "proxycommand", "hostkeyalias",
	"ciphers", "macs", "kexalgorithms", "hostkeyalgorithms", "pubkeyacceptedalgorithms",
	"casignaturealgorithms", "hostbasedacceptedalgorithms",
	"addkeystoagent", "cipher", "controlpath", "localforward", "protocol", "rekeylimit",
	"rsaauthentication", "sendenv", "setenv", "updatehostkeys",
}

// settled returns what this package uses, as ssh -G prints it.
func settled(found *configuration, t *target) map[string][]string {
	all := map[string][]string{
		"user": {t.user}, "hostname": {t.host}, "port": {fmt.Sprint(t.port)},
	}
	if t.command != "" && !strings.Contains(t.command, "%") {
		if d, _ := found.first("proxycommand"); !strings.Contains(d.text, "%") {
			all["proxycommand"] = []string{t.command}
		}
	}
	if alias, ok := found.first("hostkeyalias"); ok {
		all["hostkeyalias"] = []string{strings.ToLower(alias.words[0])}
	}
	if files, ok := found.first("userknownhostsfile"); ok && files.words[0] != "none" {
		all["userknownhostsfile"] = []string{strings.Join(t.knownHosts[:len(files.words)], " ")}
	}
	return all
}

// usual returns values in one form: yes and no, and times in seconds.
func usual(keyword string, values []string) []string {
	values = slices.Clone(values)
	for i, value := range values {
		switch keyword {
		case "connecttimeout", "serveraliveinterval", "forwardx11timeout":
			if number, err := readSeconds(value); err == nil {
				values[i] = (time.Duration(number) * time.Second).String()
			}
		case "proxyjump":
			if strings.EqualFold(value, "none") {
				return nil
			}
			values[i] = strings.TrimPrefix(value, "ssh://")
		case "canonicaldomains", "canonicalizepermittedcnames", "revokedhostkeys",
			"knownhostscommand", "pkcs11provider", "localcommand", "remotecommand":
			if strings.EqualFold(value, "none") || value == "" {
				return nil
			}
		case "identityfile", "certificatefile", "globalknownhostsfile", "hostkeyalias", "bindaddress",
			"preferredauthentications", "userknownhostsfile", "user", "identityagent", "proxycommand":
		default:
			value = strings.ToLower(value)
			values[i] = map[string]string{"true": "yes", "false": "no", "off": "no"}[value]
			if values[i] == "" {
				values[i] = value
			}
		}
	}
	return values
}

// compareAlgorithms compares the lists with those of ssh that x/crypto has, too. A list with a sign
// is about other defaults than ssh's. So only what it names is compared.
func (a *asker) compareAlgorithms(
	t *testing.T, found *configuration, got *target, want map[string][]string,
	differs func(string, []string, []string),
) {
	t.Helper()
	for keyword, list := range map[string]struct{ ours, all []string }{
		"ciphers":                  {got.algorithms.Ciphers, supportedCiphers()},
		"macs":                     {got.algorithms.MACs, supportedMACs()},
		"kexalgorithms":            {got.algorithms.KeyExchanges, supportedKeyExchanges()},
		"hostkeyalgorithms":        {got.algorithms.HostKeys, supportedHostKeys()},
		"pubkeyacceptedalgorithms": {got.algorithms.PublicKeyAuths, supportedUserKeys()},
		"casignaturealgorithms":    {got.authoritySigns, supportedHostKeys()},
	} {
		d, ok := found.first(keyword)
		if !ok {
			continue
		}
		operation, patterns := splitAlgorithms(d.words[0])
		named := func(names []string) (those []string) {
			for _, name := range names {
				matches := func(pattern string) bool { return matchPattern(name, pattern) }
				meant := operation == 0 || slices.ContainsFunc(patterns, matches)
				known := a.hasDSA || !isDSA(name)
				if meant && known && slices.Contains(list.all, name) {
					those = append(those, name)
				}
			}
			if operation != '^' || strings.Contains(d.words[0], "*") {
				slices.Sort(those) // patterns name them in ssh's order, and here in that of x/crypto
			}
			return those
		}
		ours, theirs := named(list.ours), named(strings.Split(want[keyword][0], ","))
		if !slices.Equal(ours, theirs) {
			differs(keyword, ours, theirs)
		}
	}
}
