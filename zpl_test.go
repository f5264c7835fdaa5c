package zmqauth

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// dumpTree is the tree as testdata/zpl and dumpZPLSource write it: two blanks for each level, the name and the value in
// quotes, where \xNN stands for quotes, backslashes and all that is not printable ASCII.
func dumpTree(root *zplNode) string {
	var out strings.Builder
	var dump func(n *zplNode, level int)
	dump = func(n *zplNode, level int) {
		for _, child := range n.children {
			fmt.Fprintf(&out, "%*s%s %s\n", 2*level, "", dumpText(child.name), dumpText(child.value))
			dump(child, level+1)
		}
	}
	dump(root, 0)
	return out.String()
}

func dumpText(text string) string {
	quoted := []byte{'"'}
	for _, c := range []byte(text) {
		if c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			quoted = fmt.Appendf(quoted, "\\x%02x", c)
		} else {
			quoted = append(quoted, c)
		}
	}
	return string(append(quoted, '"'))
}

// dumpZPLSource prints, for each file it is given, a line "== FILE" and what dumpTree prints or "error". It reads each in
// a process of its own, because a broken file could end it.
const dumpZPLSource = `
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

// czmqTrees is what czmq's zconfig_load makes of each file.
func czmqTrees(t *testing.T, files []string) map[string]string {
	t.Helper()
	out, err := exec.Command(testpeer.CompileCzmq(t, dumpZPLSource), files...).Output()
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

// zplWant is what a .want file says.
type zplWant struct {
	ours    string // a tree, or "error LINE: what\n"
	differs string // why czmq's result is deliberately another; "" where it is the same
	czmq    string // czmq's result, where it differs
}

func readWant(t *testing.T, file string) zplWant {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	reason, marked := strings.CutPrefix(string(data), "differs: ")
	if !marked {
		return zplWant{ours: string(data)}
	}
	reason, rest, _ := strings.Cut(reason, "\nczmq:\n")
	czmq, ours, ok := strings.Cut(rest, "ours:\n")
	if !ok || reason == "" || ours == czmq {
		t.Fatalf("%s: a difference needs a reason, czmq's result and another one of ours", file)
	}
	return zplWant{ours: ours, differs: reason, czmq: czmq}
}

// parseDump is parseZPL's result in the form of a .want file.
func parseDump(file string, data []byte) string {
	root, err := parseZPL(file, data)
	var fileErr *FileError
	if errors.As(err, &fileErr) {
		return fmt.Sprintf("error %d: %v\n", fileErr.Line, fileErr.Err)
	}
	return dumpTree(root)
}

func corpusFiles(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/zpl/*.zpl")
	if err != nil || len(files) < 60 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	return files
}

func TestZPLCorpus(t *testing.T) {
	for _, file := range corpusFiles(t) {
		name := strings.TrimSuffix(filepath.Base(file), ".zpl")
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want := readWant(t, strings.TrimSuffix(file, ".zpl")+".want")
			if got := parseDump(file, data); got != want.ours {
				t.Errorf("got:\n%swant:\n%s", got, want.ours)
			}
		})
	}
}

func TestZPLCorpusAgainstCzmq(t *testing.T) {
	files := corpusFiles(t)
	trees := czmqTrees(t, files)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".zpl")
		t.Run(name, func(t *testing.T) {
			want := readWant(t, strings.TrimSuffix(file, ".zpl")+".want")
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

// TestZPLWrittenIsReadByCzmq writes every tree of the corpus anew and lets czmq read the result.
func TestZPLWrittenIsReadByCzmq(t *testing.T) {
	dir := t.TempDir()
	written := map[string]string{} // by file, the tree
	var files []string
	for _, file := range corpusFiles(t) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		root, err := parseZPL(file, data)
		if err != nil {
			continue
		}
		text, err := appendZPL(nil, root)
		if errors.Is(err, errZPLLineTooLong) {
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

func TestZPLLines(t *testing.T) {
	root, err := parseZPL("f", []byte("# x\na = 1\r\n\r\nb\n    c\n\n        d = 2"))
	if err != nil {
		t.Fatal(err)
	}
	b, _ := root.find("b")
	c, _ := b.find("c")
	d, second := c.find("d")
	if root.children[0].line != 2 || b.line != 4 || c.line != 5 || d.line != 7 || second != nil {
		t.Errorf("lines %d %d %d %d, second %v", root.children[0].line, b.line, c.line, d.line, second)
	}
}

func TestZPLFind(t *testing.T) {
	var root zplNode
	root.add("other", "")
	first, second := root.add("a", "1"), root.add("a", "2")
	root.add("a", "3")
	if got1, got2 := root.find("a"); got1 != first || got2 != second {
		t.Error("not the first and the second")
	}
	if got1, got2 := root.find("b"); got1 != nil || got2 != nil {
		t.Error("found what is not there")
	}
}

func TestZPLBounds(t *testing.T) {
	tests := map[string]struct {
		text, want string
	}{
		"size":    {strings.Repeat("\n", maxZPLSize+1), "zmqauth: f: larger than 4194304 bytes"},
		"entries": {strings.Repeat("a\n", maxZPLEntries+1), "zmqauth: f:100001: more than 100000 entries"},
		"line":    {"\n" + strings.Repeat(" ", maxZPLLine+1), "zmqauth: f:2: a line of more than 4096 bytes"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			root, err := parseZPL("f", []byte(test.text))
			if root != nil || err == nil || err.Error() != test.want {
				t.Errorf("error %v", err)
			}
		})
	}
	for name, text := range map[string]string{
		"size":    strings.Repeat("\r", maxZPLSize),
		"entries": strings.Repeat("a\n", maxZPLEntries),
	} {
		t.Run(name+" just within", func(t *testing.T) {
			if _, err := parseZPL("f", []byte(text)); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestZPLErrorsHideContent puts a secret into every place of a line and every error that there is.
func TestZPLErrorsHideContent(t *testing.T) {
	const secret = "hunter2"
	for _, text := range []string{
		secret + " " + secret, secret + "\x00", " " + secret, "a\n        " + secret, "\t" + secret, "*" + secret,
		"/" + secret, "a = \"" + secret, "a = 'x' " + secret, "a = # " + secret, "\ufeff" + secret, "a " + secret,
		strings.Repeat(secret, maxZPLLine),
	} {
		_, err := parseZPL("f", []byte(text))
		if err == nil {
			t.Errorf("%.40q: no error", text)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("%.40q: the error shows it: %v", text, err)
		}
	}
}

// TestZPLParserReuse reads texts of every kind with one parser and compares with a fresh one each.
func TestZPLParserReuse(t *testing.T) {
	var parser zplParser
	for range 2 {
		for _, file := range corpusFiles(t) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			root, err := parser.parse(file, data)
			fresh, freshErr := parseZPL(file, data)
			if (err == nil) != (freshErr == nil) {
				t.Fatalf("%s: %v, fresh %v", file, err, freshErr)
			}
			if err == nil && dumpTree(root) != dumpTree(fresh) {
				t.Errorf("%s: %s fresh: %s", file, dumpTree(root), dumpTree(fresh))
			}
		}
	}
}

func TestZPLWrite(t *testing.T) {
	tests := map[string]struct {
		name, value string
		want        string
		wantErr     string
	}{
		"plain":                    {"a", "x y", "a = \"x y\"\n", ""},
		"empty":                    {"a", "", "a\n", ""},
		"comment":                  {"a", "#x", "a = \"#x\"\n", ""},
		"blanks":                   {"a", " \tx ", "a = \" \tx \"\n", ""},
		"double quotes":            {"a", `say "x"`, "a = 'say \"x\"'\n", ""},
		"single quotes":            {"a", "it's", "a = \"it's\"\n", ""},
		"both quotes":              {"a", `it's "x"`, "a = it's \"x\"\n", ""},
		"both quotes, quote first": {"a", `"it's"`, "", `"a": ZPL cannot carry both kinds`},
		"both quotes and comment":  {"a", `it's "x" # y`, "", `"a": ZPL cannot carry both kinds`},
		"both quotes, blank last":  {"a", `it's "x" `, "", `"a": ZPL cannot carry both kinds`},
		"both quotes, tab first":   {"a", "\tit's \"x\"", "", `"a": ZPL cannot carry both kinds`},
		"line feed":                {"a", "x\ny", "", `"a": ZPL cannot carry a line ending`},
		"carriage return":          {"a", "x\ry", "", `"a": ZPL cannot carry a line ending`},
		"NUL":                      {"a", "x\x00y", "", `"a": ZPL cannot carry a line ending`},
		"name with a blank":        {"a b", "x", "", `name "a b": a ZPL name is made of`},
		"name empty":               {"", "x", "", `name "": a ZPL name is made of`},
		"name with a slash first":  {"/a", "x", "", `name "/a": the name begins or ends with a /`},
		"line too long":            {"a", strings.Repeat("x", maxZPLLine), "", `"a": a line of more than 4096 bytes`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var root zplNode
			root.add(test.name, test.value)
			text, err := appendZPL([]byte("# kept\n"), &root)
			if test.wantErr != "" {
				if err == nil || !strings.HasPrefix(err.Error(), test.wantErr) {
					t.Fatalf("error %v, want %s", err, test.wantErr)
				}
				return
			}
			if err != nil || string(text) != "# kept\n"+test.want {
				t.Fatalf("%q, %v", text, err)
			}
		})
	}
}

func FuzzZPL(f *testing.F) {
	for _, file := range corpusFiles(f) {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		root, err := parseZPL("f", data)
		if err != nil {
			return
		}
		text, err := appendZPL(nil, root)
		if errors.Is(err, errZPLLineTooLong) { // written with quotes and blanks that it was read without
			return
		}
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		again, err := parseZPL("f", text)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, text)
		}
		if want, got := dumpTree(root), dumpTree(again); want != got {
			t.Fatalf("read:\n%swritten and read again:\n%s", want, got)
		}
		if twice, err := appendZPL(nil, again); err != nil || !bytes.Equal(twice, text) {
			t.Fatalf("written again: %v\n%s", err, twice)
		}
	})
}
