package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// walkGuide adds a user to the README's server, takes the user away, and finds out why.
func walkGuide(t *testing.T, r *reader) {
	w := newWalk(t, "5555")
	server := readmeServer(t, w)
	w.run(r.commands()) // the key
	connect, accepted := r.commands(), r.output()
	testpeer.Eventually(t, "the new user is let in", func() bool {
		out, _, err := w.try(connect)
		return err == nil && out == accepted
	})
	const password = "correct horse"
	w.run(r.commands(), password) // the password
	w.run(r.commands())           // both are taken away
	line, again := strings.TrimSpace(r.output()), r.commands()
	testpeer.Eventually(t, "the user is refused", func() bool {
		_, said, err := w.try(again)
		return err != nil && strings.Contains(said, "access denied (status 400)")
	})
	testpeer.Eventually(t, "the log says "+line, func() bool {
		return strings.Contains(server.log.String(), line)
	})
	w.run(r.commands()) // zmqauth list
}

var reasonCode = regexp.MustCompile(`\bReason[A-Z]\w* += "([a-z-]+)"`)

// TestReasons: the guide explains each reason of a decision.
func TestReasons(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "*.go"))
	must.OK(t, err)
	section := readPage(t, "docs/guide.md").section(t, "## Why is a client refused?")
	reasons := 0
	for _, file := range files {
		source, err := os.ReadFile(file)
		must.OK(t, err)
		for _, code := range reasonCode.FindAllStringSubmatch(string(source), -1) {
			reasons++
			if !strings.Contains(section, "\n| `"+code[1]+"` |") {
				t.Errorf("the guide does not explain %q", code[1])
			}
		}
	}
	if reasons < 15 {
		t.Errorf("%d reasons found", reasons)
	}
}
