package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/zmqauth/zmqauth/internal/must"
)

// TestReadmeIsShort: the README is read whole. What does not fit into it has a guide.
func TestReadmeIsShort(t *testing.T) {
	const limit = 900
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	must.OK(t, err)
	if words := len(strings.Fields(string(text))); words > limit { // as wc -w counts
		t.Errorf("README.md has %d words, want at most %d", words, limit)
	}
}

// TestReadmeLinksGuides: each guide is found from the README.
func TestReadmeLinksGuides(t *testing.T) {
	readme := strings.Join(readPage(t, "README.md").lines, "\n")
	for _, path := range guides(t) {
		if strings.HasPrefix(path, "docs/") && !strings.Contains(readme, "]("+path) {
			t.Errorf("the README does not link %s", path)
		}
	}
}

// TestColumns: lines are narrow, but for the rows of tables, which Markdown cannot break.
func TestColumns(t *testing.T) {
	const limit = 120
	for _, path := range guides(t) {
		for i, line := range readPage(t, path).lines {
			if columns := utf8.RuneCountInString(line); columns > limit && line[0] != '|' {
				t.Errorf("%s:%d: %d columns, want at most %d", path, i+1, columns, limit)
			}
		}
	}
}

var (
	link      = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	codeSpan  = regexp.MustCompile("`[^`]*`")
	linkLabel = regexp.MustCompile(`\[([^]]*)\]\([^)]*\)`)
)

// TestLinks: what a page links within the checkout is there, be it a file or a heading.
func TestLinks(t *testing.T) {
	anchors := make(map[string]map[string]bool)
	for _, path := range pages(t) {
		anchors[path] = readPage(t, path).anchors()
	}
	for _, path := range pages(t) {
		text := readPage(t, path).prose()
		for _, found := range link.FindAllStringSubmatch(text, -1) {
			target := found[1]
			if strings.Contains(target, "://") {
				continue
			}
			name, anchor, _ := strings.Cut(target, "#")
			file := path
			if name != "" {
				file = filepath.ToSlash(filepath.Join(filepath.Dir(path), name))
			}
			if _, err := os.Stat(filepath.Join(root, file)); err != nil {
				t.Errorf("%s: the link %q leads nowhere", path, target)
			} else if anchor != "" && !anchors[file][anchor] {
				t.Errorf("%s: the link %q leads to no heading", path, target)
			}
		}
	}
}

// prose is the text of a page without its blocks and code.
func (p *page) prose() string {
	var lines []string
	inBlock := false
	for _, line := range p.lines {
		if strings.HasPrefix(line, "```") {
			inBlock = !inBlock
		} else if !inBlock {
			lines = append(lines, codeSpan.ReplaceAllString(line, "``"))
		}
	}
	return strings.Join(lines, "\n")
}

// anchors are those of a page's headings, as GitHub makes them.
func (p *page) anchors() map[string]bool {
	anchors := make(map[string]bool)
	inBlock := false
	for _, line := range p.lines {
		if strings.HasPrefix(line, "```") {
			inBlock = !inBlock
		}
		if !inBlock && strings.HasPrefix(line, "#") {
			anchors[anchorOf(strings.TrimLeft(line, "# "))] = true
		}
	}
	return anchors
}

func anchorOf(heading string) string {
	heading = linkLabel.ReplaceAllString(heading, "$1")
	return strings.Map(func(c rune) rune {
		switch {
		case unicode.IsLetter(c) || unicode.IsDigit(c) || c == '-' || c == '_':
			return unicode.ToLower(c)
		case c == ' ':
			return '-'
		}
		return -1
	}, heading)
}

// TestDesignHasEveryFile: the design says of each file of the root and of each package what is
// there.
func TestDesignHasEveryFile(t *testing.T) {
	page := readPage(t, "docs/design.md")
	found := page.section(t, "## Where to find what")
	files, err := filepath.Glob(filepath.Join(root, "*.go"))
	must.OK(t, err)
	for _, file := range files {
		name := filepath.Base(file)
		if !strings.HasSuffix(name, "_test.go") && !strings.Contains(found, "](../"+name+")") {
			t.Errorf("docs/design.md does not say what is in %s", name)
		}
	}
	packages, err := filepath.Glob(filepath.Join(root, "internal/*"))
	must.OK(t, err)
	layers := page.section(t, "## The layers")
	for _, dir := range packages {
		name := filepath.Base(dir)
		isLeaf := strings.Contains(layers, "`"+name+"`")
		if !isLeaf && !strings.Contains(layers, "`internal/"+name+"`") &&
			!strings.HasPrefix(name, "test") {
			t.Errorf("docs/design.md has no layer for internal/%s", name)
		}
	}
}
