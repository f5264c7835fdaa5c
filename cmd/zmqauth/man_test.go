package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/zmqauth/zmqauth/internal/must"
)

// TestMan: every command that the help shows has a manual page, without a fault that groff finds,
// and with all words of the help.
func TestMan(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "man1")
	if out, err := exec.Command(binary, "man", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var pages []string
	var words []string // of the help
	var look func(*cobra.Command)
	look = func(cmd *cobra.Command) {
		pages = append(pages,
			filepath.Join(dir, strings.ReplaceAll(cmd.CommandPath(), " ", "-")+".1"))
		if !strings.HasPrefix(cmd.CommandPath(), "zmqauth completion") { // that one is Markdown
			words = append(words, cmd.Short, cmd.Long, cmd.Example)
		}
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() {
				look(sub)
			}
		}
	}
	look(newRoot())
	files, err := os.ReadDir(dir)
	must.OK(t, err)
	if len(files) != len(pages) {
		t.Errorf("%d pages for %d commands", len(files), len(pages))
	}
	// As man does, with all warnings, for one wide page without hyphens.
	show := exec.Command("groff", append([]string{"-man", "-ww", "-Kutf8", "-Tutf8", "-rLL=1000n",
		"-rHY=0", "-P-c", "-P-b", "-P-o", "-P-u"}, pages...)...)
	var stderr strings.Builder
	show.Stderr = &stderr
	out, err := show.Output()
	if err != nil || stderr.Len() > 0 {
		t.Errorf("groff: %v\n%s", err, &stderr)
	}
	shown := strings.Join(strings.Fields(string(out)), " ")
	for _, text := range words {
		if text = strings.Join(strings.Fields(text), " "); !strings.Contains(shown, text) {
			t.Errorf("no page says %q", text)
		}
	}
}
