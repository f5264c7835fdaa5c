package zmqauth

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// ZPL, the ZeroMQ Property Language, RFC 4: https://rfc.zeromq.org/spec/4/. Certificates and policies are written in it.
// Where the RFC is silent or czmq's reader (zconfig_load, 4.2.1) does otherwise, this one does as czmq does, because
// a file must not mean two things; testdata/zpl marks the few files of which the two make different things, with the reason.

// The bounds of a ZPL text. They are far above what people and tools write, and low enough that no file costs much.
const (
	maxZPLSize    = 4 << 20 // bytes: a policy that names 20,000 keys has 1 MiB
	maxZPLLine    = 4096    // bytes without the line ending: a line in an editor, not a blob
	maxZPLDepth   = 32      // levels of indentation: people use four; recursion over a tree stays shallow
	maxZPLEntries = 100_000 // nodes: at some 100 bytes each, a hostile file of the greatest size costs 10 MiB
	zplIndent     = 4       // spaces for one level (RFC 4, "hierarchy")
)

// zplNode is one entry of a ZPL tree: a name, its value ("" where it has none), and the entries indented below it, in
// their order and with repeated names kept. The root has neither name nor value.
type zplNode struct {
	name, value string
	line        int // from 1; 0 in the root and in a tree that no file was read for
	children    []*zplNode
}

// add appends an entry below n.
func (n *zplNode) add(name, value string) *zplNode {
	child := &zplNode{name: name, value: value}
	n.children = append(n.children, child)
	return child
}

// find is the first entry below n that has the name, and the second where the name is repeated; nil where there is none.
func (n *zplNode) find(name string) (first, second *zplNode) {
	for _, child := range n.children {
		if child.name != name {
			continue
		}
		if first != nil {
			return first, child
		}
		first = child
	}
	return first, nil
}

// parseZPL reads a whole ZPL text. Lines end with LF or CRLF, or all of them with CR; the last one may end with the text.
// Every error is a *FileError for file that names the line and repeats nothing of it.
func parseZPL(file string, data []byte) (*zplNode, error) {
	var parser zplParser
	return parser.parse(file, data)
}

// zplParser reads one text after another into the same memory: a tree is good until the next parse. That halves the time
// that a directory of certificates takes.
type zplParser struct {
	root    zplNode
	line    int
	entries int
	open    [maxZPLDepth + 1]*zplNode // the last entry of each level: the parent of the next entry one level below
	level   int                       // of the last entry; 0: the root
	slab    []zplNode                 // memory of entries, in use up to its length
}

func (p *zplParser) parse(file string, data []byte) (*zplNode, error) {
	if len(data) > maxZPLSize {
		return nil, &FileError{File: file, Err: fmt.Errorf("larger than %d bytes", maxZPLSize)}
	}
	p.root.children = p.root.children[:0]
	p.line, p.entries, p.level, p.slab = 0, 0, 0, p.slab[:0]
	p.open[0] = &p.root
	crOnly := !bytes.Contains(data, []byte("\n"))
	for text := string(data); text != ""; {
		var line string
		line, text = cutLine(text, crOnly)
		p.line++
		if err := p.parseLine(line); err != nil {
			return nil, &FileError{File: file, Line: p.line, Err: err}
		}
	}
	return &p.root, nil
}

// cutLine is the first line of text, without its ending, and what follows it. A CR alone ends a line only where crOnly
// says that the whole text is written so: elsewhere czmq takes it for a part of the line.
func cutLine(text string, crOnly bool) (line, rest string) {
	for i := range len(text) {
		switch c := text[i]; {
		case c > '\r':
		case c == '\n':
			return text[:i], text[i+1:]
		case c == '\r' && strings.HasPrefix(text[i+1:], "\n"):
			return text[:i], text[i+2:]
		case c == '\r' && (crOnly || i+1 == len(text)):
			return text[:i], text[i+1:]
		}
	}
	return text, ""
}

func (p *zplParser) parseLine(line string) error {
	if len(line) > maxZPLLine {
		return errZPLLineTooLong
	}
	if hasControl(line) {
		return errors.New("a control character in the line")
	}
	line = trimRight(line)
	rest := strings.TrimLeft(line, " ")
	level, odd := (len(line)-len(rest))/zplIndent, (len(line)-len(rest))%zplIndent
	if odd != 0 {
		return fmt.Errorf("indented by %d spaces: use %d for each level, for comments too", len(line)-len(rest), zplIndent)
	}
	name, rest := cutName(rest)
	if name == "" {
		return checkNoEntry(rest, p.line)
	}
	if err := checkZPLName(name); err != nil {
		return err
	}
	value, err := parseValue(rest)
	if err != nil {
		return err
	}
	return p.addEntry(level, name, value)
}

func (p *zplParser) addEntry(level int, name, value string) error {
	if level > p.level {
		return errors.New("indented by more than one level below the entry above")
	}
	if level >= maxZPLDepth {
		return fmt.Errorf("more than %d levels deep", maxZPLDepth)
	}
	if p.entries++; p.entries > maxZPLEntries {
		return fmt.Errorf("more than %d entries", maxZPLEntries)
	}
	parent, entry := p.open[level], p.newNode()
	entry.name, entry.value, entry.line = name, value, p.line
	parent.children = append(parent.children, entry)
	p.open[level+1], p.level = entry, level+1
	return nil
}

// newNode is the next node of the slab, with the memory for children that it had before. A slab that is full stays with
// the tree, and a greater one takes its place.
func (p *zplParser) newNode() *zplNode {
	if len(p.slab) == cap(p.slab) {
		p.slab = make([]zplNode, 0, max(8, min(2*cap(p.slab), 512))) // a certificate has some six
	}
	p.slab = p.slab[:len(p.slab)+1]
	node := &p.slab[len(p.slab)-1]
	node.children = node.children[:0]
	return node
}

// checkNoEntry judges a line without a name: it has to be blank or a comment.
func checkNoEntry(rest string, line int) error {
	text := trimLeft(rest)
	switch {
	case text == "" || text[0] == '#':
		return nil
	case line == 1 && strings.HasPrefix(text, "\ufeff"):
		return errors.New("the file begins with a byte order mark: save it without")
	case len(text) < len(rest):
		return errors.New("a tab before the name: indent with spaces")
	default:
		return errors.New("no name: one is made of letters, digits and $-_@.&+/")
	}
}

// parseValue reads what follows a name: nothing, a comment, or "=" and a value with perhaps a comment behind it.
func parseValue(rest string) (string, error) {
	rest = trimLeft(rest)
	if rest == "" || rest[0] == '#' {
		return "", nil
	}
	if rest[0] != '=' {
		return "", errors.New(`something other than "=" after the name`)
	}
	value := trimLeft(rest[1:])
	switch {
	case value == "":
		return "", nil
	case value[0] == '"' || value[0] == '\'':
		return parseQuoted(value)
	case value[0] == '#' && len(value) < len(rest)-1: // czmq takes this comment, and only this one, for the value
		return "", errors.New("a # follows = and a blank: quote the value, or leave out the = where there is none")
	}
	value, _, _ = strings.Cut(value, "#")
	return trimRight(value), nil
}

func parseQuoted(text string) (string, error) {
	end := strings.IndexByte(text[1:], text[0])
	if end < 0 {
		return "", errors.New("the closing quote is missing")
	}
	value, rest := text[1:1+end], trimLeft(text[2+end:])
	if rest != "" && rest[0] != '#' {
		return "", errors.New("something other than a comment after the closing quote")
	}
	return value, nil
}

// appendZPL appends the text of the tree to dst, in a form that czmq reads as the same tree. An error names the entry
// that ZPL cannot carry. It trusts the tree with the bounds of the whole text.
func appendZPL(dst []byte, root *zplNode) ([]byte, error) {
	return appendChildren(dst, root, 0)
}

func appendChildren(dst []byte, parent *zplNode, level int) ([]byte, error) {
	for _, n := range parent.children {
		start := len(dst)
		if err := checkZPLName(n.name); err != nil {
			return nil, fmt.Errorf("name %q: %w", n.name, err)
		}
		dst = append(dst, strings.Repeat(" ", level*zplIndent)...)
		dst = append(dst, n.name...)
		if n.value != "" {
			quote, err := quoteZPL(n.value)
			if err != nil {
				return nil, fmt.Errorf("%q: %w", n.name, err)
			}
			dst = append(dst, " = "+quote+n.value+quote...)
		}
		if len(dst)-start > maxZPLLine {
			return nil, fmt.Errorf("%.40q: %w", n.name, errZPLLineTooLong)
		}
		dst = append(dst, '\n')
		var err error
		if dst, err = appendChildren(dst, n, level+1); err != nil {
			return nil, err
		}
	}
	return dst, nil
}

var errZPLLineTooLong = fmt.Errorf("a line of more than %d bytes", maxZPLLine)

// quoteZPL is the quote that ZPL writes around the value. There are no escapes, so a value with both kinds of quotes goes
// without any, where it can.
func quoteZPL(value string) (quote string, err error) {
	switch {
	case hasControl(value):
		return "", errors.New("ZPL cannot carry a line ending or another control character in a value")
	case !strings.Contains(value, `"`):
		return `"`, nil
	case !strings.Contains(value, `'`):
		return `'`, nil
	case strings.ContainsAny(value[:1], `"' `+"\t") || trimRight(value) != value || strings.Contains(value, "#"):
		return "", errors.New("ZPL cannot carry both kinds of quotes together with a #, a quote in front, or a blank at an end")
	}
	return "", nil
}

// hasControl finds ASCII's control characters, but the tab: nobody sees them, and C's readers end at the NUL byte.
func hasControl(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' && c != '\t' || c == 0x7f {
			return true
		}
	}
	return false
}

func trimLeft(text string) string {
	for text != "" && (text[0] == ' ' || text[0] == '\t') {
		text = text[1:]
	}
	return text
}

func trimRight(text string) string {
	for text != "" && (text[len(text)-1] == ' ' || text[len(text)-1] == '\t') {
		text = text[:len(text)-1]
	}
	return text
}

// cutName is the name at the beginning of text, perhaps empty, and what follows it.
func cutName(text string) (name, rest string) {
	for i := range len(text) {
		if !zplNameBytes[text[i]] {
			return text[:i], text[i:]
		}
	}
	return text, ""
}

func checkZPLName(name string) error {
	if start, _ := cutName(name); name == "" || start != name {
		return errors.New("a ZPL name is made of letters, digits and $-_@.&+/")
	}
	if name[0] == '/' || name[len(name)-1] == '/' {
		return errors.New("the name begins or ends with a /")
	}
	return nil
}

// zplNameBytes are the bytes of names (RFC 4, "name"; czmq besides takes the +).
var zplNameBytes = func() (is [256]bool) {
	for _, c := range []byte("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ$-_@.&+/") {
		is[c] = true
	}
	return is
}()
