//go:build unix

package sshtunnel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// viaCommand returns a Config for a server that is reached through a command. The command writes
// its process id to the returned file.
func (s *sshd) viaCommand(t *testing.T, before, command string) (cfg Config, pid string) {
	t.Helper()
	dir := t.TempDir()
	pid, script := filepath.Join(dir, "pid"), filepath.Join(dir, "command")
	write(t, script, fmt.Sprintf("echo $$ >%s\n%s\n%s\n", pid, before, command))
	cfg = Config{Host: "gateway", Agent: "none", Logger: testLogger(t)}
	cfg.ConfigFile = configFile(t, s.hostBlock(t, "gateway", "ProxyCommand /bin/sh "+script+" %h %p"))
	return cfg, pid
}

// relay is a command that connects to the server with OpenSSH's client, through the server itself.
func (s *sshd) relay(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf("%s -F none -i %s -o UserKnownHostsFile=%s -p %d -W $1:$2 %s@127.0.0.1",
		testpeer.Program(t, install, "ssh"), s.UserKey(), s.knownHosts(t), s.Port, s.User)
}

// gone checks that the process whose id is in a file does not exist any more.
func gone(t *testing.T, file string) {
	t.Helper()
	pid, err := strconv.Atoi(strings.TrimSpace(readText(t, file)))
	must.OK(t, err)
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the process %d of ProxyCommand: %v, want none", pid, err)
	}
}

// TestProxyCommand: the connection goes through a program, which ends with it.
func TestProxyCommand(t *testing.T) {
	testpeer.NothingLeft(t)
	server := newSSHD(t)
	address := echo(t)
	for name, before := range map[string]string{
		"plain":                   "",
		"deaf to SIGHUP":          "trap '' HUP",
		"with a child":            "sleep 1000 <&- >&- 2>&- &",
		"with a child that talks": "sleep 1000 <&- >&- &",
	} {
		t.Run(name, func(t *testing.T) {
			command := server.relay(t)
			if name == "plain" {
				command = "exec " + command
			}
			cfg, pid := server.viaCommand(t, before, command)
			tunnel, err := Open(patient(t), cfg)
			must.OK(t, err)
			echoes(t, tunnel, address)
			must.OK(t, tunnel.Close())
			gone(t, pid)
		})
	}
	t.Run("before a jump host", func(t *testing.T) {
		cfg, pid := server.viaCommand(t, "", "exec "+server.relay(t))
		last := newSSHD(t)
		cfg.ConfigFile = configFile(t, readText(t, cfg.ConfigFile),
			last.hostBlock(t, "last", "ProxyJump gateway"))
		cfg.Host = "last"
		tunnel, err := Open(patient(t), cfg)
		must.OK(t, err)
		echoes(t, tunnel, address)
		must.OK(t, tunnel.Close())
		gone(t, pid)
	})
	t.Run("not with Jumps", func(t *testing.T) {
		cfg, pid := server.viaCommand(t, "", "exit 1")
		cfg.Jumps = []Config{}
		echoes(t, open(t, cfg), address)
		if _, err := os.Stat(pid); err == nil {
			t.Error("the command was run")
		}
	})
}

// TestProxyCommandAgain: after the program has ended, another one is started.
func TestProxyCommandAgain(t *testing.T) {
	testpeer.NothingLeft(t)
	server := newSSHD(t)
	cfg, file := server.viaCommand(t, "", "exec "+server.relay(t))
	tunnel := open(t, cfg)
	before := readText(t, file)
	pid, err := strconv.Atoi(strings.TrimSpace(before))
	must.OK(t, err)
	must.OK(t, syscall.Kill(pid, syscall.SIGKILL))
	echoes(t, tunnel, echo(t))
	testpeer.Eventually(t, "another program runs", func() bool { return readText(t, file) != before })
}

// TestProxyCommandFails: the error says what the program has said, and the program is gone.
func TestProxyCommandFails(t *testing.T) {
	testpeer.NothingLeft(t)
	server := newSSHD(t)
	cfg, pid := server.viaCommand(t, "echo first >&2; echo the road is closed >&2", "exit 1")
	openFails(t, cfg, "ProxyCommand", `it said "the road is closed"`, server.User+"@127.0.0.1")
	gone(t, pid)

	cfg, pid = server.viaCommand(t, "trap '' HUP", "sleep 1000")
	cfg.ConnectTimeout = 300 * time.Millisecond
	openFails(t, cfg, "not within 300ms")
	gone(t, pid)

	t.Setenv("SHELL", filepath.Join(t.TempDir(), "none"))
	if err := openFails(t, cfg, "none"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// TestCommandsAndNames: a name that means something to a shell is not put into a command. The names
// come here as they are, although Open refuses most of them before.
func TestCommandsAndNames(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "mark")
	names := []string{"$(touch${IFS}" + mark + ")", "a;touch " + mark, "`id`", "a b", "a\tb", "-x",
		"a'b", `a"b`, "a|b", "a>" + mark, "a&b", "a\\b", "*", "~", "{a,b}"}
	for text, field := range map[string]string{
		"Match exec \"true %h\"\n":                                 "host",
		"Match exec \"true %n\"\n":                                 "host",
		"Match exec \"true %k\"\n":                                 "host",
		"Match exec \"true %r\"\n":                                 "user",
		"ProxyCommand true %h\n":                                   "host",
		"ProxyCommand true %r\n":                                   "user",
		"HostName x\nProxyCommand true %n\n":                       "host",
		"HostName %h\nMatch exec \"true %k\"\n":                    "host",
		"CanonicalizeHostname yes\nMatch final exec \"true %k\"\n": "host",
	} {
		file := configFile(t, text)
		for _, name := range names {
			host, user := name, "ann"
			if field == "user" {
				host, user = "gateway", name
			}
			if _, _, err := settle(t, file, host, user); err == nil ||
				!strings.Contains(err.Error(), "a shell") {
				t.Errorf("%q, %s %q: %v", text, field, name, err)
			}
		}
	}
	file := configFile(t, "HostKeyAlias \"a;touch "+mark+"\"\nMatch exec \"true %k\"\n")
	if _, _, err := settle(t, file, "gateway", "ann"); err == nil ||
		!strings.Contains(err.Error(), "%k is") {
		t.Errorf("HostKeyAlias: %v", err)
	}
	known := allTokens("/home/a b", "a;b", tokenValues{
		given: "a;b", host: "a;b", port: 22, user: "a;b", alias: "a;b",
	})
	known['l'], known['L'] = "a;b", "a;b" // the name of this machine
	for token := range known {
		text, err := expandCommand("true %"+string(token), known)
		if strings.Contains(text, ";") || (err != nil) != strings.ContainsRune("hklLnru", rune(token)) {
			t.Errorf("%%%c: %q, %v", token, text, err)
		}
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("a name was executed")
	}
}

// TestMatchExec: the program decides, and the context ends it.
func TestMatchExec(t *testing.T) {
	testpeer.NothingLeft(t)
	dir := t.TempDir()
	mark := filepath.Join(dir, "mark")
	file := configFile(t, "Match host other exec \"touch "+mark+"\"\nPort 1\n"+
		"Match exec \"test %h-%n-%p-%r = gateway-gateway-22-ann\"\nPort 77\n")
	found, err := readConfig(t.Context(), file, "gateway", "ann")
	must.OK(t, err)
	if found.word("port") != "77" {
		t.Errorf("port %q", found.word("port"))
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("a program is run although the condition before it is false")
	}
	pid := filepath.Join(dir, "pid")
	file = configFile(t, "Match exec \"echo $$ >"+pid+"; sleep 1000\"\nPort 1\n")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		testpeer.Eventually(t, "the program runs", func() bool {
			text, err := os.ReadFile(pid)
			return err == nil && len(text) > 0
		})
		cancel()
	}()
	_, err = readConfig(ctx, file, "gateway", "")
	saysAll(t, err, file+":1: Match exec", "canceled")
	gone(t, pid)
	_, err = readConfig(t.Context(), configFile(t, "Match exec \"kill -9 $$\"\n"), "gateway", "")
	saysAll(t, err, ":1: Match exec", "killed")
}

// TestBindAddress: the connection comes from the address.
func TestBindAddress(t *testing.T) {
	server := newSSHD(t)
	cfg := server.config(t)
	cfg.ConfigFile = configFile(t, "BindAddress 127.0.0.77\n")
	must.OK(t, open(t, cfg).Err())
	testpeer.Eventually(t, "sshd names the address", func() bool {
		return strings.Contains(server.Log.String(), "Connection from 127.0.0.77 ")
	})
	cfg.ConfigFile = configFile(t, "BindAddress 999.0.0.1\n")
	openFails(t, cfg, `BindAddress "999.0.0.1"`)
}
