package main

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// TestMan: groff finds no fault in the package's manual page, which has every flag of the help.
func TestMan(t *testing.T) {
	show := exec.Command("groff", "-man", "-ww", "-Tascii", "-rLL=1000n", "-P-c", "-P-b", "-P-o",
		"-P-u", "../../packaging/zmqauth-engine.1")
	var stderr, help strings.Builder
	show.Stderr = &stderr
	page, err := show.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("groff: %v\n%s", err, &stderr)
	}
	if code := run([]string{"--help"}, &help); code != 0 {
		t.Fatalf("--help: exit code %d", code)
	}
	flags := regexp.MustCompile(`--[a-z-]+`).FindAllString(help.String(), -1)
	if len(flags) == 0 {
		t.Fatal("the help has no flags")
	}
	for _, flag := range flags {
		if !strings.Contains(string(page), flag) {
			t.Errorf("the page does not have %s", flag)
		}
	}
}
