// Package zpl reads and writes the ZeroMQ Property Language (RFC 4,
// https://rfc.zeromq.org/spec/4/): trees of names and values, in which certificates and policies
// are written.
//
// Where the RFC is silent, or where czmq's reader (zconfig_load, 4.2.1) differs from it, this
// package does as czmq does: a file must not mean two things. testdata/corpus marks the few texts
// that the two read differently, each with the reason.
package zpl

import "fmt"

// The limits of a text. They are far above what people and tools write, and low enough that no text
// costs much.
const (
	// MaxSize is how many bytes a text may have. A policy that names 20,000 keys has 1 MiB.
	MaxSize = 4 << 20
	// MaxLine is how many bytes a line may have, without its ending.
	MaxLine = 4096

	maxDepth   = 32      // levels of indentation: people use four; recursion over a tree stays shallow
	maxEntries = 100_000 // of a text: at some 100 bytes each, the costliest text takes 10 MiB
	indent     = 4       // spaces for one level (RFC 4, "hierarchy")
)

// Node is one entry of a tree. The root of a tree has neither name nor value. The zero value is an
// empty tree.
type Node struct {
	Name     string
	Value    string  // "": the entry has none
	Line     int     // from 1; 0: the root, or an entry that no text was read for
	Children []*Node // the entries indented below it, in their order; names may repeat
}

// Add appends an entry below n and returns it.
func (n *Node) Add(name, value string) *Node {
	child := &Node{Name: name, Value: value}
	n.Children = append(n.Children, child)
	return child
}

// Find returns the first entry below n that has the name, and the second if the name is repeated.
// An entry that is not there is nil.
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

// Error is what is wrong with a text. It never repeats what the text holds, which may be a secret.
type Error struct {
	Line int   // from 1; 0: the text as a whole
	Err  error // what is wrong; never nil
}

// Error is "line N: what", or "what" alone where no line is to blame.
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
