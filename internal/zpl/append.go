package zpl

import (
	"errors"
	"fmt"
	"strings"
)

// Append appends the text of a tree to dst. czmq reads the text as the same tree. An error names
// the entry that ZPL cannot carry. Append does not check the size and depth of the tree.
func Append(dst []byte, root *Node) ([]byte, error) {
	return appendChildren(dst, root, 0)
}

func appendChildren(dst []byte, parent *Node, level int) ([]byte, error) {
	for _, n := range parent.Children {
		var err error
		if dst, err = appendEntry(dst, n, level); err != nil {
			return nil, err
		}
		if dst, err = appendChildren(dst, n, level+1); err != nil {
			return nil, err
		}
	}
	return dst, nil
}

// appendEntry appends the line of an entry.
func appendEntry(dst []byte, n *Node, level int) ([]byte, error) {
	start := len(dst)
	if err := checkName(n.Name); err != nil {
		return nil, fmt.Errorf("name %q: %w", n.Name, err)
	}
	dst = append(dst, strings.Repeat(" ", level*indent)...)
	dst = append(dst, n.Name...)
	if n.Value != "" {
		quote, err := quoteFor(n.Value)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", n.Name, err)
		}
		dst = append(dst, " = "+quote+n.Value+quote...)
	}
	if len(dst)-start > MaxLine {
		return nil, fmt.Errorf("%.40q: %w", n.Name, ErrLineTooLong)
	}
	return append(dst, '\n'), nil
}

// CheckValue returns an error if Append could not write the value. It does not check the length of
// the line.
func CheckValue(value string) error {
	_, err := quoteFor(value)
	return err
}

// quoteFor returns the quote to write around a value. ZPL has no escapes, so that a value with both
// kinds of quotes can only be written without quotes around it, if at all.
func quoteFor(value string) (quote string, err error) {
	switch {
	case hasControl(value):
		return "", errors.New(
			"ZPL cannot carry a line ending or another control character in a value")
	case !strings.Contains(value, `"`):
		return `"`, nil
	case !strings.Contains(value, `'`):
		return `'`, nil
	case !readsUnquoted(value):
		return "", errors.New("ZPL cannot carry both kinds of quotes " +
			"together with a #, a quote in front, or a blank at an end")
	}
	return "", nil
}

// readsUnquoted reports whether a value that contains quotes can be written without quotes around
// it and is read back unchanged.
func readsUnquoted(value string) bool {
	return !strings.ContainsAny(value[:1], `"' `+"\t") && trimRight(value) == value &&
		!strings.Contains(value, "#")
}
