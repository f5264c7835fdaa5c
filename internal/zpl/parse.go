package zpl

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unsafe"
)

// Parse reads a whole text into a tree. Lines end with LF or CRLF; in a text without any LF they
// end with CR. The last line needs no ending. Every error is an *Error.
func Parse(text []byte) (*Node, error) {
	var parser Parser
	return parser.Parse(bytes.Clone(text))
}

// Parser reads one text after another into the same memory. That halves the time to read a
// directory of certificates. The zero value is ready to use. Only one goroutine at a time may use
// it.
type Parser struct {
	root    Node
	line    int                 // the number of the line being read
	entries int                 // how many have been read
	last    [maxDepth + 1]*Node // the last entry of each level; the next one below is its child
	level   int                 // of the last entry; 0: the root
	slab    []Node              // the memory of the entries, used up to its length
}

// Parse is like the function [Parse], except that the tree is valid only until the next call, and
// as long as text does not change: names and values are parts of it.
func (p *Parser) Parse(text []byte) (*Node, error) {
	if len(text) > MaxSize {
		return nil, &Error{Err: fmt.Errorf("larger than %d bytes", MaxSize)}
	}
	p.root.Children = p.root.Children[:0]
	p.line, p.entries, p.level, p.slab = 0, 0, 0, p.slab[:0]
	p.last[0] = &p.root
	crOnly := !bytes.Contains(text, []byte("\n"))
	for rest := unsafe.String(unsafe.SliceData(text), len(text)); rest != ""; {
		var line string
		line, rest = cutLine(rest, crOnly)
		p.line++
		if err := p.parseLine(line); err != nil {
			return nil, &Error{Line: p.line, Err: err}
		}
	}
	return &p.root, nil
}

// cutLine returns the first line of text, without its ending, and the rest of the text. A lone CR
// ends a line only if crOnly says that all lines end so, or if it ends the text. Elsewhere it is
// part of the line, as for czmq.
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

func (p *Parser) parseLine(line string) error {
	if len(line) > MaxLine {
		return ErrLineTooLong
	}
	if hasControl(line) {
		return errors.New("a control character in the line")
	}
	line = trimRight(line)
	rest := strings.TrimLeft(line, " ")
	spaces := len(line) - len(rest)
	if spaces%indent != 0 {
		return fmt.Errorf("indented by %d spaces: use %d for each level, for comments too",
			spaces, indent)
	}
	name, rest := cutName(rest)
	if name == "" {
		return checkNoEntry(rest, p.line)
	}
	if err := checkName(name); err != nil {
		return err
	}
	value, err := parseValue(rest)
	if err != nil {
		return err
	}
	return p.addEntry(spaces/indent, name, value)
}

func (p *Parser) addEntry(level int, name, value string) error {
	if level > p.level {
		return errors.New("indented by more than one level below the entry above")
	}
	if level >= maxDepth {
		return fmt.Errorf("more than %d levels deep", maxDepth)
	}
	if p.entries++; p.entries > maxEntries {
		return fmt.Errorf("more than %d entries", maxEntries)
	}
	parent, entry := p.last[level], p.newNode()
	entry.Name, entry.Value, entry.Line = name, value, p.line
	parent.Children = append(parent.Children, entry)
	p.last[level+1], p.level = entry, level+1
	return nil
}

// newNode returns the next node of the slab. The node keeps the memory for children that it had
// before. When the slab is full a larger one replaces it; the tree still uses the nodes of the old
// one.
func (p *Parser) newNode() *Node {
	if len(p.slab) == cap(p.slab) {
		// A certificate has some six entries.
		p.slab = make([]Node, 0, max(8, min(2*cap(p.slab), 512)))
	}
	p.slab = p.slab[:len(p.slab)+1]
	node := &p.slab[len(p.slab)-1]
	node.Children = node.Children[:0]
	return node
}

// checkNoEntry checks a line that has no name: it must be blank or a comment.
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

// parseValue reads the part of a line after the name. That is nothing, or a comment, or "=" and a
// value; a comment may follow the value.
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
	case value[0] == '#' && len(value) < len(rest)-1:
		// czmq reads this one kind of comment as the value.
		return "", errors.New("a # follows = and a blank: quote the value, " +
			"or leave out the = where there is none")
	}
	value, _, _ = strings.Cut(value, "#")
	return trimRight(value), nil
}

// parseQuoted reads a quoted value and what follows it. text begins with the quote.
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
