// Package zpl reads and writes the ZeroMQ Property Language (RFC 4,
// https://rfc.zeromq.org/spec/4/): trees of names and values. Certificates and policies are written
// in it.
//
// The package reads as czmq does (zconfig_load, 4.2.1) where the RFC is silent or czmq differs from
// it: a file must not mean two things. A few texts are deliberately read differently. They are
// marked in testdata/corpus, each with the reason.
package zpl

import "fmt"

// The limits of a text. People and tools write far less. Within the limits no text is expensive to
// read.
const (
	// MaxSize is the size of the largest text in bytes. A policy with 20,000 keys has 1 MiB.
	MaxSize = 4 << 20
	// MaxLine is the length of the longest line in bytes, without its ending.
	MaxLine = 4096

	maxDepth   = 32      // levels; people use four, and recursion over a tree stays shallow
	maxEntries = 100_000 // of a text; at some 100 bytes each they take 10 MiB at most
	indent     = 4       // spaces for one level (RFC 4, "hierarchy")
)

// Node is one entry of a tree, or the root, which has neither name nor value. The zero value is an
// empty tree.
type Node struct {
	Name     string
	Value    string  // "": the entry has none
	Line     int     // from 1; 0: the root, or an entry that was not read from a text
	Children []*Node // the entries below, in order; names may repeat
}

// Add appends an entry below n and returns it.
func (n *Node) Add(name, value string) *Node {
	child := &Node{Name: name, Value: value}
	n.Children = append(n.Children, child)
	return child
}

// Find returns the first and the second entry below n with the given name. Each is nil if there is
// none. A caller that wants one entry can report the second as a fault.
func (n *Node) Find(name string) (first, second *Node) {
	for _, child := range n.Children {
		if child.Name != name {
			continue
		}
		if first != nil {
			return first, child
		}
		first = child
	}
	return first, nil
}

// Error is a fault in a text. It never repeats any of the text, which may be secret.
type Error struct {
	Line int   // from 1; 0: the text as a whole
	Err  error // the bare fact; never nil
}

// Error returns "line N: FACT", or the fact alone for a fault of the whole text.
func (e *Error) Error() string {
	if e.Line == 0 {
		return e.Err.Error()
	}
	return fmt.Sprintf("line %d: %v", e.Line, e.Err)
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// ErrLineTooLong says that a line has more than MaxLine bytes. Parse and Append return errors that
// wrap it.
var ErrLineTooLong = fmt.Errorf("a line of more than %d bytes", MaxLine)
