package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
)

// root is the checkout, seen from here.
const root = ".."

// page is a file of the documentation.
type page struct {
	path   string // from the root of the checkout
	lines  []string
	blocks []block
}

// block is what stands between two fences.
type block struct {
	line    int    // of its first line, from 1
	heading string // of its section
	info    string // behind the first fence: sh, go, zpl, text
	intro   string // what stands between the block before it, or its heading, and this one
	text    string
}

// isFragment tells of code that is no whole program: TestFragments compiles it.
func (b block) isFragment() bool { return b.info == "go" && !strings.HasPrefix(b.text, "package ") }

var fileName = regexp.MustCompile("`([a-z]+(?:/[a-z]+)*\\.[a-z]+)`")

// file is the name that the page gives to a block that is a file, the last one in the text before
// it.
func (b block) file() string {
	names := fileName.FindAllStringSubmatch(b.intro, -1)
	if len(names) == 0 {
		return ""
	}
	return names[len(names)-1][1]
}

// readPage reads a file of the checkout.
func readPage(t testing.TB, path string) *page {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, path))
	must.OK(t, err)
	p := &page{path: path, lines: strings.Split(string(content), "\n")}
	var heading string
	var intro []string
	var open *block
	for i, line := range p.lines {
		fence, isFence := strings.CutPrefix(line, "```")
		switch {
		case open != nil && isFence:
			p.blocks = append(p.blocks, *open)
			open, intro = nil, nil
		case open != nil:
			open.text += line + "\n"
		case isFence:
			open = &block{
				line: i + 2, heading: heading, info: fence, intro: strings.Join(intro, "\n"),
			}
		case strings.HasPrefix(line, "#"):
			heading, intro = strings.TrimLeft(line, "# "), nil
		default:
			intro = append(intro, line)
		}
	}
	if open != nil {
		t.Fatalf("%s:%d: a block without an end", path, open.line)
	}
	return p
}

// section is the text below a heading, down to the next one of its level or a higher one.
func (p *page) section(t testing.TB, heading string) string {
	t.Helper()
	_, section, found := strings.Cut("\n"+strings.Join(p.lines, "\n"), "\n"+heading+"\n")
	if !found {
		t.Fatalf("%s has no section %q", p.path, heading)
	}
	level, _, _ := strings.Cut(heading, " ")
	for ; level != ""; level = level[1:] {
		section, _, _ = strings.Cut(section, "\n"+level+" ")
	}
	return section
}

// guides are the pages that have to hold what they say: README.md and all in docs, with one more
// that an example has.
func guides(t testing.TB) []string {
	t.Helper()
	found, err := filepath.Glob("*.md")
	must.OK(t, err)
	paths := []string{"README.md", "examples/gssapi/README.md"}
	for _, name := range found {
		paths = append(paths, "docs/"+name)
	}
	return paths
}

// pages are the guides and all other pages.
func pages(t testing.TB) []string {
	t.Helper()
	return append(guides(t), "CHANGELOG.md", "bench/results.md")
}
