//go:build unix

package sshtunnel

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// TestNamesAsSSHTakesThem: what ssh refuses as the name of a host or a user is refused here.
func TestNamesAsSSHTakesThem(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	write(t, empty, "")
	program := testpeer.Program(t, install, "ssh")
	sshTakes := func(user, host string) bool {
		return exec.Command(program, "-F", empty, "-G", "-l", user, "--", host).Run() == nil
	}
	// An ssh older than 9.6 does not look at names, unless its distributor has seen to that. It may
	// take a comma.
	asStrict := !sshTakes("u", "a;b") && !sshTakes("u", "a,b") && !sshTakes("u;v", "a")
	for _, c := range []struct {
		name       string
		host, user bool // whether it can be one
	}{
		{"plain", true, true},
		{"a_b.c-d", true, true},
		{"a.b.", true, true},
		{"é", true, true},
		{"*", true, true},
		{"a?b", true, true},
		{"!a", true, true},
		{"#a", true, true},
		{"a~b", true, true},
		{"a%b", true, true},
		{"a/b", true, true},
		{"a=b", true, true},
		{"a[b", true, true},
		{"a,b", false, true},
		{"a b", false, true},
		{"a$b", false, true},
		{`a\b`, false, true},
		{`a\`, false, false},
		{"a -b", false, false},
		{"a\t-b", false, false},
		{"a\nb", false, false},
		{"a\x7fb", false, false},
		{"-a", false, false},
		{"-oProxyCommand=id", false, false},
		{"a|b", false, false},
		{"a;b", false, false},
		{"a&b", false, false},
		{"a`b", false, false},
		{`a"b`, false, false},
		{"a'b", false, false},
		{"a<b", false, false},
		{"a>b", false, false},
		{"a(b", false, false},
		{"a)b", false, false},
		{"a{b", false, false},
		{"a}b", false, false},
	} {
		cfg := Config{Host: c.name, User: "u", ConfigFile: empty, Agent: "none"}
		_, err := resolve(t.Context(), cfg)
		if (err == nil) != c.host {
			t.Errorf("the host %q: %v", c.name, err)
		}
		if takes := sshTakes("u", c.name); !takes && err == nil || asStrict && takes != (err == nil) {
			t.Errorf("the host %q: %v; ssh takes it: %v", c.name, err, takes)
		}
		cfg.Host, cfg.User = "a", c.name
		_, err = resolve(t.Context(), cfg)
		if (err == nil) != c.user {
			t.Errorf("the user %q: %v", c.name, err)
		}
		// The newest ssh takes these in its configuration, and not in its command line.
		takes := sshTakes(c.name, "a") || c.name == `a\b` || c.name == "a$b"
		if !takes && err == nil || asStrict && takes != (err == nil) {
			t.Errorf("the user %q: %v; ssh takes it: %v", c.name, err, takes)
		}
		cfg.Host, cfg.User = c.name+"@a", ""
		if _, err = resolve(t.Context(), cfg); (err == nil) != c.user {
			t.Errorf("the user in %q: %v", cfg.Host, err)
		}
		cfg.Host, cfg.Jumps = "a", []Config{{Host: "b", User: c.name}}
		if _, err = resolve(t.Context(), cfg); (err == nil) != c.user {
			t.Errorf("the jump host's user %q: %v", c.name, err)
		}
	}
}

// TestNoOtherJumpHosts: ProxyJump is a list as the file has it. The names of the host and the user
// that it mentions add no host and no user to it.
func TestNoOtherJumpHosts(t *testing.T) {
	const evil = "a@evil.example,b"
	for text, want := range map[string][]string{
		"%r@gw.example":          {evil + "@gw.example:22", evil + "@inner:22"},
		"%r@gw.example:77,other": {evil + "@gw.example:77", "ann@other:22", evil + "@inner:22"},
		"gw-%h":                  {"ann@gw-inner:22", evil + "@inner:22"},
		"bob@%n.gw":              {"bob@inner.gw:22", evil + "@inner:22"},
		"x%%y@gw":                {"x%y@gw:22", evil + "@inner:22"},
		"ssh://a%40b@gw":         {"a@b@gw:22", evil + "@inner:22"},
		"gw-%r":                  nil, // ',' cannot be in the name of a host
		"%h:%p":                  nil, // as for ssh
		"ssh://%r@gw":            nil, // as for ssh
	} {
		file := configFile(t, "Host inner\n\tProxyJump "+text+"\n",
			"Match originalhost other,gw-inner\n\tUser ann\n")
		targets, err := resolve(t.Context(),
			Config{Host: "inner", User: evil, ConfigFile: file, Agent: "none"})
		var got []string
		for _, target := range targets {
			got = append(got, target.String())
		}
		if !slices.Equal(got, want) || (err != nil) != (want == nil) {
			t.Errorf("%s: %q, %v; want %q", text, got, err, want)
		}
	}
	for _, user := range []string{"a;b", "-oProxyCommand=id"} { // which ssh takes from a file
		file := configFile(t, "Host inner\n\tUser "+user+"\n\tProxyJump %r@gw\n")
		_, err := resolve(t.Context(), Config{Host: "inner", ConfigFile: file, Agent: "none"})
		saysAll(t, err, "ProxyJump", "user")
	}
	file := configFile(t, "Host *,*\n\tProxyJump gw-%h\n")
	_, err := resolve(t.Context(), Config{Host: "x,evil.example", ConfigFile: file, Agent: "none"})
	saysAll(t, err, `"x,evil.example": ','`)
}

// TestOnlyPlainNamesAreRecorded: a key is recorded for one host, never for a pattern or a list.
func TestOnlyPlainNamesAreRecorded(t *testing.T) {
	for name, plain := range map[string]bool{
		"gateway": true, "[gateway]:2222": true, "::1": true, "[fe80::1%eth0]:22": true, "a#b@c": true,
		"": false, "*": false, "[*]:2222": false, "a?": false, "!a": false, "|1|a": false, "a,b": false,
		"a b": false, "a\tb": false, "a\u00a0b": false, "a\nb": false, "#a": false,
		"@cert-authority": false, "[fe80::1%*]:22": false,
	} {
		if isPlainName(name) != plain {
			t.Errorf("%q: %v", name, !plain)
		}
	}
	server := newSSHD(t)
	for _, c := range []struct{ host, text string }{
		{"*", "HostName 127.0.0.1\n"},
		{"gateway", "HostKeyAlias *\n"},
		{"gateway", "HostKeyAlias a,bank.example\n"},
		{"gateway", "HostKeyAlias \"*\"\nHashKnownHosts yes\n"},
		{"gateway", "HostKeyAlias @cert-authority\n"},
	} {
		cfg := server.config(t)
		cfg.Host, cfg.Port, cfg.User = c.host, server.Port, server.User
		cfg.AcceptNewHostKeys = true
		file := cfg.known(t, "")
		text := "HostName 127.0.0.1\n" + c.text
		if c.host == "*" { // known as *, because a command makes the connection
			relay := strings.ReplaceAll(server.relay(t), "$1:$2", fmt.Sprint("127.0.0.1:", server.Port))
			text = "ProxyCommand " + relay + "\n"
		}
		cfg.ConfigFile = configFile(t, text)
		err := openFails(t, cfg, "no line can be for this name alone")
		var fault *HostKeyError
		if !errors.Is(err, ErrUnknownHost) || !errors.As(err, &fault) || fault.Entry != "" {
			t.Errorf("%q, %q: %#v", c.host, c.text, err)
		}
		if recorded := readText(t, file); recorded != "" {
			t.Errorf("%q, %q: recorded %q", c.host, c.text, recorded)
		}
	}
}
