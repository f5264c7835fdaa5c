package zpl

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// dumpTree returns a tree in the form of testdata/corpus and of dumpSource: two blanks for each
// level, then the name and the value in quotes. \xNN stands for a quote, a backslash, or a byte
// that is not printable ASCII.
func dumpTree(root *Node) string {
	var out strings.Builder
	var dump func(n *Node, level int)
	dump = func(n *Node, level int) {
		for _, child := range n.Children {
			fmt.Fprintf(&out, "%*s%s %s\n", 2*level, "", dumpText(child.Name), dumpText(child.Value))
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

// result is the content of a .want file.
type result struct {
	ours    string // a tree, or "error LINE: FACT\n"
	differs string // why our result deliberately differs from czmq's; "": it does not
	czmq    string // czmq's result if it differs
}

func readResult(t *testing.T, file string) result {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	reason, marked := strings.CutPrefix(string(data), "differs: ")
	if !marked {
		return result{ours: string(data)}
	}
	reason, rest, _ := strings.Cut(reason, "\nczmq:\n")
	czmq, ours, ok := strings.Cut(rest, "ours:\n")
	if !ok || reason == "" || ours == czmq {
		t.Fatalf("%s: a difference needs a reason, czmq's result and another one of ours", file)
	}
	return result{ours: ours, differs: reason, czmq: czmq}
}

// parseDump returns the result of Parse in the form of a .want file.
func parseDump(data []byte) string {
	root, err := Parse(data)
	if fault, ok := errors.AsType[*Error](err); ok {
		return fmt.Sprintf("error %d: %v\n", fault.Line, fault.Err)
	}
	return dumpTree(root)
}

func corpusFiles(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/corpus/*.zpl")
	if err != nil || len(files) < 60 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	return files
}

func TestCorpus(t *testing.T) {
	for _, file := range corpusFiles(t) {
		name := strings.TrimSuffix(filepath.Base(file), ".zpl")
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want := readResult(t, strings.TrimSuffix(file, ".zpl")+".want")
			if got := parseDump(data); got != want.ours {
				t.Errorf("got:\n%swant:\n%s", got, want.ours)
			}
		})
	}
}

// TestParserReuse reads all texts with one parser and compares each with the result of a fresh one.
func TestParserReuse(t *testing.T) {
	var parser Parser
	for range 2 {
		for _, file := range corpusFiles(t) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			root, err := parser.Parse(data)
			fresh, freshErr := Parse(data)
			if (err == nil) != (freshErr == nil) {
				t.Fatalf("%s: %v, fresh %v", file, err, freshErr)
			}
			if err == nil && dumpTree(root) != dumpTree(fresh) {
				t.Errorf("%s: %s fresh: %s", file, dumpTree(root), dumpTree(fresh))
			}
		}
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
		root, err := Parse(data)
		if err != nil {
			return
		}
		text, err := Append(nil, root)
		if errors.Is(err, ErrLineTooLong) { // the added quotes and blanks make the line longer
			return
		}
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		again, err := Parse(text)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, text)
		}
		if want, got := dumpTree(root), dumpTree(again); want != got {
			t.Fatalf("read:\n%swritten and read again:\n%s", want, got)
		}
		if twice, err := Append(nil, again); err != nil || !bytes.Equal(twice, text) {
			t.Fatalf("written again: %v\n%s", err, twice)
		}
	})
}
