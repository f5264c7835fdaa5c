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

// walkGuide adds users to the README's server and to the one of the section about PLAIN, takes them
// away, changes a key, and finds out why a client is refused.
func walkGuide(t *testing.T, r *reader) {
	const password = "correct horse"
	plain := newWalk(t, "5556")
	walkPlain(plain, r.section("PLAIN"), password)
	w := newWalk(t, "5555")
	server := readmeServer(t, w)
	w.run(r.commands()) // bob's key
	connect := r.commands()
	w.prints(connect, r.output())
	plain.run(r.commands(), password) // bob's password
	plain.prints(r.commands(), r.output(), password)
	w.refused(r.commands()) // bob's key is taken away
	plain.refused(r.commands(), password)
	w.run(r.commands()) // ann gets another key
	w.prints(strings.ReplaceAll(connect, "bob", "annette"), "accepted, with CURVE\n")
	w.run(r.commands()) // the old one is taken away
	sample := r.output()
	w.refused(r.commands())
	line := logLine(sample)
	testpeer.Eventually(t, "the log says "+line.String(), func() bool {
		return line.MatchString(server.log.String())
	})
	w.run(r.commands()) // zmqauth list
}

// walkPlain makes a PLAIN server and a client in an empty folder, with a password for its user.
func walkPlain(w *walk, r *reader, password string) {
	w.t.Helper()
	w.run(r.commands(), password)
	w.write(r.file("go"))
	w.write(r.file("go"))
	w.start(r.commands())
	w.awaitPort("5556")
	w.prints(r.commands(), r.output(), password)
	expect(w.t, w.run(r.commands(), password), "^accepted, with PLAIN\n$")
	r.end()
}

var changing = regexp.MustCompile(`\b(duration|key)=\S+`)

// logLine matches the lines of a log that are like a sample, which is broken in two, but for what
// differs each time.
func logLine(sample string) *regexp.Regexp {
	pattern := regexp.QuoteMeta(strings.Join(strings.Fields(sample), " "))
	return regexp.MustCompile(changing.ReplaceAllString(pattern, `$1=\S+`) + `(\n|$)`)
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
