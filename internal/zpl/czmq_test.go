package zpl

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// dumpSource prints, for each file, a line "== FILE", and then the output of dumpTree or "error".
// It reads each file in a process of its own, because a broken file could crash the process.
const dumpSource = `
#include <czmq.h>
#include <sys/wait.h>

static FILE *out;

static void text (const char *s) {
	fputc ('"', out);
	for (; *s; s++) {
		unsigned char c = *s;
		if (c < ' ' || c >= 0x7f || c == '"' || c == '\\')
			fprintf (out, "\\x%02x", c);
		else
			fputc (c, out);
	}
	fputc ('"', out);
}

static void dump (zconfig_t *n, int level) {
	for (; n; n = zconfig_next (n)) {
		fprintf (out, "%*s", 2 * level, "");
		text (zconfig_name (n));
		fputc (' ', out);
		text (zconfig_value (n));
		fputc ('\n', out);
		dump (zconfig_child (n), level + 1);
	}
}

int main (int argc, char **argv) {
	out = fdopen (dup (1), "w");
	if (!freopen ("/dev/null", "w", stdout))    //  czmq logs there
		return 1;
	for (int i = 1; i < argc; i++) {
		fprintf (out, "== %s\n", argv [i]);
		fflush (out);
		pid_t child = fork ();
		if (child == 0) {
			zconfig_t *root = zconfig_load (argv [i]);
			if (root)
				dump (zconfig_child (root), 0);
			else
				fputs ("error\n", out);
			fflush (out);
			_exit (0);
		}
		int status;
		waitpid (child, &status, 0);
		if (status) {
			fputs ("crash\n", out);
			fflush (out);
		}
	}
	return 0;
}
`

// czmqTrees returns what czmq's zconfig_load reads from each file.
func czmqTrees(t *testing.T, files []string) map[string]string {
	t.Helper()
	out, err := exec.Command(testpeer.CompileCzmq(t, dumpSource), files...).Output()
	if err != nil {
		t.Fatal(err)
	}
	trees := map[string]string{}
	for _, part := range strings.Split("\n"+string(out), "\n== ")[1:] {
		file, tree, _ := strings.Cut(part, "\n")
		if tree != "" && !strings.HasSuffix(tree, "\n") {
			tree += "\n"
		}
		trees[file] = tree
	}
	return trees
}

func TestCorpusAgainstCzmq(t *testing.T) {
	files := corpusFiles(t)
	trees := czmqTrees(t, files)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".zpl")
		t.Run(name, func(t *testing.T) {
			want := readResult(t, strings.TrimSuffix(file, ".zpl")+".want")
			czmq, ok := trees[file]
			if !ok {
				t.Fatal("czmq said nothing of it")
			}
			expected := want.czmq
			if want.differs == "" {
				expected = want.ours
				if strings.HasPrefix(expected, "error ") {
					expected = "error\n"
				}
			}
			if czmq != expected {
				t.Errorf("czmq:\n%swant:\n%s", czmq, expected)
			}
		})
	}
}

// TestWrittenIsReadByCzmq writes every tree of the corpus again and has czmq read the result.
func TestWrittenIsReadByCzmq(t *testing.T) {
	dir := t.TempDir()
	written := map[string]string{} // by file, the tree
	var files []string
	for _, file := range corpusFiles(t) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		root, err := Parse(data)
		if err != nil {
			continue
		}
		text, err := Append(nil, root)
		if errors.Is(err, ErrLineTooLong) {
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		copied := filepath.Join(dir, filepath.Base(file))
		if err := os.WriteFile(copied, text, 0o600); err != nil {
			t.Fatal(err)
		}
		written[copied] = dumpTree(root)
		files = append(files, copied)
	}
	for file, tree := range czmqTrees(t, files) {
		if tree != written[file] {
			t.Errorf("%s: czmq:\n%swritten:\n%s", filepath.Base(file), tree, written[file])
		}
	}
}
