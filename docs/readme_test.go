package docs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
)

// walkReadme is a newcomer's way: from an empty folder to a CURVE server that lets one client in,
// and then refuses it.
func walkReadme(t *testing.T, r *reader) {
	r.ranByCI("make demo")
	r.ranByCI("make test")
	w := newWalk(t, "5555")
	w.run(r.commands())
	w.write(r.file("go"))
	w.write(r.file("go"))
	w.start(r.commands())
	w.awaitPort("5555")
	if out := w.run(r.commands()); out != "hello operator\n" {
		t.Errorf("the client says %q", out)
	}
	w.refused(r.commands()) // its certificate is taken away
}

// ranByCI takes a block of one command that .ci/run has, too.
func (r *reader) ranByCI(command string) {
	r.t.Helper()
	script, err := os.ReadFile(filepath.Join(root, ".ci/run"))
	must.OK(r.t, err)
	if got := r.commands(); got != command+"\n" || !strings.Contains(string(script), "\n"+got) {
		r.t.Errorf("%s: %q, want %q, which .ci/run has to run", r.page.path, got, command)
	}
}

// readmeServer makes the folder of the README's walk, with its server running and its client at
// hand.
func readmeServer(t *testing.T, w *walk) *running {
	t.Helper()
	r := &reader{t: t, page: readPage(t, "README.md")}
	r.take("sh") // make demo
	r.take("sh") // make test
	w.run(r.commands())
	w.write(r.file("go"))
	w.write(r.file("go"))
	server := w.start(r.commands())
	w.awaitPort("5555")
	return server
}
