package sshtunnel

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// generatedConfigs is how many files TestGeneratedConfigs makes.
const generatedConfigs = 400

// TestGeneratedConfigs compares this package with ssh -G on files made at random: both find the
// same settings, and both refuse the same files.
func TestGeneratedConfigs(t *testing.T) {
	dir := includable(t)
	ask := newAsker(t)
	g := generator{rand.New(rand.NewPCG(1, 2)), dir}
	accepted := 0
	for i := range generatedConfigs {
		file := filepath.Join(dir, fmt.Sprint("generated", i))
		write(t, file, g.file())
		for range 2 {
			if ask.compare(t, file, g.one(askedHosts...), g.one(askedUsers...)) {
				accepted++
			}
		}
		if t.Failed() {
			return // one difference is enough to look at
		}
	}
	// Otherwise the comparison would not be worth much.
	if accepted < generatedConfigs*2/3 || accepted > generatedConfigs*5/3 {
		t.Errorf("ssh accepts %d of %d", accepted, 2*generatedConfigs)
	}
}

// generator makes ssh_config files.
type generator struct {
	*rand.Rand
	dir string // with files to include
}

func (g generator) one(of ...string) string { return of[g.IntN(len(of))] }

func (g generator) oddly(percent int) bool { return g.IntN(100) < percent }

func (g generator) file() string {
	var b strings.Builder
	if g.oddly(20) {
		b.WriteString("IgnoreUnknown Tyop,us?keychain,x-*\n")
	}
	for range g.IntN(12) + 1 {
		b.WriteString(g.line())
	}
	return b.String()
}

func (g generator) line() string {
	indent := g.one("", "", "\t", "  ", " \t ")
	end := g.one("\n", "\n", "\n", "\r\n", "  \n", "\f\n", " # comment\n")
	switch n := g.IntN(100); {
	case n < 15:
		return indent + g.word("Host") + g.separator() + g.patterns(" ") + end
	case n < 33:
		return indent + g.word("Match") + g.separator() + g.criteria() + strings.TrimPrefix(end, "\f")
	case n < 38:
		return indent + g.word("Include") + " " + g.one(
			g.dir+"/included-*", g.dir+"/included-1", `"`+g.dir+`/included one"`, g.dir+"/.hid*",
			g.dir+"/*idden", g.dir+"/none", g.dir+"/included-[!1]", "~nosuchuser/x") + end
	case n < 40:
		return g.one("# a comment\n", "\n", " \t\n", "#\n")
	case n < 41:
		return g.one("Tyop x\n", "UseKeychain yes\n", "X-ray \"a b\"\n", "Host\n", "Port\n", "=\n",
			"Host\u00a0x\n", "Match\n", "User \"ann\n")
	}
	name := g.one(settingNames...)
	values := generatedValues[name]
	value := g.one(values...)
	if g.oddly(8) && name != "ProxyJump" { // of which ssh keeps the quotes
		value = `"` + value + `"`
	}
	return indent + g.word(name) + g.separator() + value + end
}

// word returns a keyword in some case, rarely with a letter missing.
func (g generator) word(keyword string) string {
	switch {
	case g.oddly(15):
		keyword = strings.ToLower(keyword)
	case g.oddly(10):
		keyword = strings.ToUpper(keyword)
	}
	if g.oddly(1) {
		at := g.IntN(len(keyword))
		return keyword[:at] + keyword[at+1:]
	}
	return keyword
}

func (g generator) separator() string {
	return g.one(" ", " ", " ", "\t", "  ", "=", " = ", "\t=\t")
}

// inMatch separates a criterion of Match from its argument. Version 10 of ssh takes no spaces
// around the sign there.
func (g generator) inMatch() string { return g.one(" ", " ", "\t", "  ", "=") }

func (g generator) patterns(separator string) string {
	var all []string
	for range g.IntN(3) + 1 {
		all = append(all, g.one("", "", "", "!")+g.one("gateway", "other", "*", "gate*", "?",
			"*.example", "GATEWAY", "x", "g?teway", "nobody", "Gate*", `"gateway"`))
	}
	return strings.Join(all, separator)
}

func (g generator) criteria() string {
	var all []string
	for range g.IntN(3) + 1 {
		not := g.one("", "", "", "!")
		switch g.IntN(8) {
		case 0:
			all = append(all, not+g.one("final", "canonical", "Final"))
		case 1:
			all = append(all, not+"exec "+g.one("true", "false", `"test %n = gateway"`, `"exit 3"`,
				`"test '%h %p %r' = 'gateway 1 ann'"`))
		case 2:
			all = append(all, not+g.one("user", "localuser")+g.inMatch()+
				g.one("ann", "root", "ann,bob", "!root,*", "Ann"))
		case 3:
			if g.oddly(10) {
				all = append(all, g.one("group x", "host", "user #", "tagged", "all x"))
			}
		default:
			all = append(all, not+g.one("host", "originalhost", "HOST")+g.inMatch()+
				strings.ReplaceAll(g.patterns(","), `"`, ""))
		}
	}
	if len(all) == 0 || g.oddly(15) {
		all = append(all, g.one("", "", "!")+"all")
	}
	return strings.Join(all, " ")
}

var settingNames = func() (names []string) {
	for name := range generatedValues {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}()

// generatedValues are values for each setting, some of which ssh refuses.
var generatedValues = map[string][]string{
	"AddressFamily":                   {"any", "inet", "INET6", "ipx"},
	"BindAddress":                     {"127.0.0.1", "::1"},
	"CanonicalDomains":                {"a.invalid", "a.invalid b.invalid", "none"},
	"CanonicalizeFallbackLocal":       {"yes"},
	"CanonicalizeHostname":            {"yes", "no", "always", "Yes", "false", "maybe"},
	"CanonicalizeMaxDots":             {"0", "1", "2"},
	"CASignatureAlgorithms":           {"ssh-ed25519", "rsa-sha2-*", "-rsa*", "+ssh-rsa", "x"},
	"CertificateFile":                 {"/c1", "/c2", "/c1"},
	"ChallengeResponseAuthentication": {"yes", "no"},
	"CheckHostIP":                     {"no"},
	"Ciphers": {"aes128-ctr", "aes256-gcm@openssh.com,3des-cbc", "-aes*", "^aes192-ctr,aes128-cbc",
		"+3des-cbc", "aes*", "aes128-ctr,rot13"},
	"Compression":          {"no", "yes"},
	"ConnectTimeout":       {"5", "1m", "1h30", "none", "1x", "0", "-1"},
	"DSAAuthentication":    {"no"},
	"ForwardAgent":         {"no"},
	"GatewayPorts":         {"no", "yes"},
	"GlobalKnownHostsFile": {"/g", "/g /h", "none", "/g none"},
	"GSSAPIAuthentication": {"yes", "no"},
	"HashKnownHosts":       {"yes", "no", "true", "1"},
	"HostKeyAlgorithms": {"ssh-ed25519", "ssh-*,rsa-sha2-512", "+ssh-rsa", "-ecdsa*", "^rsa*",
		"q*"},
	"HostKeyAlias":   {"alias", "ALIAS", "two words"},
	"HostName":       {"%h.example", "Other.Example", "10.0.0.1", "gateway", "a%%b"},
	"IdentitiesOnly": {"yes", "no", "perhaps"},
	"IdentityAgent":  {"/agent", "none", "SSH_AUTH_SOCK"},
	"IdentityFile":   {"/k1", "/k2", "~/k3", "/k#4", `/k\ 5`, "/k 6", "'/k 7'", "/k1"},
	"IgnoreUnknown":  {"tyop"},
	"KexAlgorithms": {"curve25519-sha256", "-diffie*", "^ecdh-sha2-nistp521",
		"+diffie-hellman-group1-sha1", "x"},
	"LogLevel": {"INFO", "ERROR"},
	"MACs": {"hmac-sha2-256", "-hmac-sha1*", "^hmac-sha2-512", "+hmac-sha1-96",
		"hmac-*"},
	"NumberOfPasswordPrompts":  {"1", "x"},
	"PasswordAuthentication":   {"yes", "no", "NO"},
	"Port":                     {"1", "22", "0022", "65535", "65536", "0", "x", "1 2"},
	"PreferredAuthentications": {"publickey,password", "none", "password"},
	"ProxyCommand":             {"nc a b", "none", "sh -c 'x \"y\"'", "x # y", "nc 'a"},
	"ProxyJump": {"first", "ann@first:22,second", "none", "first:x", "[::1]:22",
		"ssh://a@b:1"},
	"PubkeyAcceptedAlgorithms": {"ssh-ed25519", "-rsa*", "+ssh-rsa", "ssh-*,ecdsa*"},
	"PubkeyAcceptedKeyTypes":   {"ssh-ed25519"},
	"PubkeyAuthentication":     {"yes", "no", "unbound", "host-bound", "unknown"},
	"RequiredRSASize":          {"2048", "4096", "a"},
	"RevokedHostKeys":          {"/r", "none"},
	"SendEnv":                  {"LANG LC_*", "A=b"},
	"ServerAliveCountMax":      {"1", "5"},
	"ServerAliveInterval":      {"10", "2m", "0", "ten"},
	"StrictHostKeyChecking":    {"yes", "no", "ask", "accept-new", "off", "on"},
	"TCPKeepAlive":             {"yes", "no"},
	"Tunnel":                   {"no", "ethernet", "x"},
	"UpdateHostKeys":           {"yes", "no", "ask"},
	"User":                     {"ann", "bob", "Ann", `"bob"`, "'ann'", "a b"},
	"UserKnownHostsFile":       {"/u", "/u /v", "none", "/u%h-%p-%r", "~/u", `"/u v" /w`},
	"VisualHostKey":            {"no"},
}
