package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestReadmeConfiguration runs the commands that the README gives to try the tool, with the configuration that stands there, but
// for ports that are free and a directory for the socket.
func TestReadmeConfiguration(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	must(t, err)
	_, section, _ := strings.Cut(string(readme), "\n### The configuration file\n")
	section, _, _ = strings.Cut(section, "\n### ")
	blocks := regexp.MustCompile("(?s)\n```\n(.*?)```").FindAllStringSubmatch(section, -1)
	if len(blocks) != 2 {
		t.Fatalf("%d blocks, want a configuration and commands", len(blocks))
	}
	dir, zctx := t.TempDir(), newContext(t)
	port := func(endpoint string) string { return endpoint[strings.LastIndex(endpoint, ":"):] }
	here := strings.NewReplacer(":5555", port(freeEndpoint(t)), ":5556", port(freeEndpoint(t)), ":6666", port(echo(t, zctx)), "/tmp/", dir+"/")
	must(t, os.WriteFile(filepath.Join(dir, "zmqauth.zpl"), []byte(here.Replace(blocks[0][1])), 0o600))
	command := exec.Command("sh", "-e", "-c", "trap 'kill $!' EXIT\n"+here.Replace(blocks[1][1])+"trap - EXIT\nkill $!\nwait $!\n")
	command.Dir, command.Stdin = dir, strings.NewReader("secret\n")
	command.Env = append(os.Environ(), "PATH="+filepath.Dir(binary)+":"+os.Getenv("PATH"))
	out, err := command.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	for _, want := range []string{
		`zmqauth\.zpl: good, domains: 3, frontends: 2\n`, `rule +zmqauth\.zpl:4: curve clients\n`, `accepted, with CURVE\n`, `NULL +cut off\n`,
		`"zmqauth: the proxy is ready" frontends=2`,
	} {
		if !regexp.MustCompile(want).Match(out) {
			t.Errorf("no %s in\n%s", want, out)
		}
	}
}
