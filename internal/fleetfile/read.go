package fleetfile

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/zmqauth/zmqauth/internal/files"
	"github.com/zmqauth/zmqauth/internal/zpl"
)

// maxFile is the size of the largest file in bytes: a list of ten thousand members has two million.
const maxFile = zpl.MaxSize

// entry describes one entry of a file.
type entry struct {
	name     string
	set      func(value string) error // the error does not repeat a secret
	required bool
	many     bool // may be repeated
}

// readFile reads a file as a tree. sum is that of its content. One that is secret must be readable
// by its owner alone.
func readFile(path string, isSecret bool) (root *zpl.Node, sum [sha256.Size]byte, err error) {
	text, stamp, err := files.Read(path, maxFile, nil)
	if err == nil && isSecret {
		err = stamp.CheckSecret(path)
	} else if err == nil {
		err = stamp.Check(path)
	}
	if err != nil {
		return nil, sum, fmt.Errorf("%s: %w", path, files.Bare(err))
	}
	root, err = zpl.Parse(text)
	if fault, ok := errors.AsType[*zpl.Error](err); ok {
		return nil, sum, fmt.Errorf("%s:%d: %w", path, fault.Line, fault.Err)
	}
	if err != nil {
		return nil, sum, fmt.Errorf("%s: %w", path, err)
	}
	return root, sha256.Sum256(text), nil
}

// readEntries reads the entries below a node. line is that of the node. The error joins one for
// each fault.
func readEntries(path string, line int, nodes []*zpl.Node, entries []entry) error {
	var faults []error
	fail := func(line int, format string, args ...any) {
		at := path
		if line > 0 {
			at = fmt.Sprintf("%s:%d", path, line)
		}
		faults = append(faults, fmt.Errorf("%s: %w", at, fmt.Errorf(format, args...)))
	}
	seen := make(map[string]int)
	for _, n := range nodes {
		at := slices.IndexFunc(entries, func(e entry) bool { return e.name == n.Name })
		switch {
		case at < 0:
			var names []string
			for _, e := range entries {
				names = append(names, e.name)
			}
			fail(n.Line, "unknown name %.40q: %s", n.Name, strings.Join(names, ", "))
		case seen[n.Name] != 0 && !entries[at].many:
			fail(n.Line, "a second %s, the first is in line %d", n.Name, seen[n.Name])
		case len(n.Children) > 0:
			fail(n.Line, "nothing belongs below %s", n.Name)
		default:
			seen[n.Name] = n.Line
			if err := entries[at].set(n.Value); err != nil {
				fail(n.Line, "%s: %w", n.Name, err)
			}
		}
	}
	for _, e := range entries {
		if e.required && seen[e.name] == 0 && faults == nil {
			fail(line, "there is no %s", e.name)
		}
	}
	return errors.Join(faults...)
}

// text sets a text that has to be there.
func text(to *string, check func(string) error) func(string) error {
	return func(value string) error {
		if value == "" {
			return errors.New("it has no value")
		}
		*to = value
		if check == nil {
			return nil
		}
		return check(value)
	}
}

// binary sets bytes in base64.
func binary(to *[]byte) func(string) error {
	return func(value string) (err error) {
		if *to, err = base64.StdEncoding.Strict().DecodeString(value); err != nil || value == "" {
			return errors.New("not base64")
		}
		return nil
	}
}

func encodeBinary(data []byte) string { return base64.StdEncoding.EncodeToString(data) }

// encode is the text of a file.
func encode(comment string, root *zpl.Node) ([]byte, error) {
	var out []byte
	for line := range strings.Lines(comment) {
		out = append(append(out, "# "...), line...)
	}
	return zpl.Append(out, root)
}

// write makes a file that does not exist yet.
func write(path, comment string, root *zpl.Node, isSecret bool) error {
	body, err := encode(comment, root)
	mode := fs.FileMode(0o644)
	if isSecret {
		mode = 0o600
	}
	if err == nil {
		err = files.WriteNew(path, body, mode)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, files.Bare(err))
	}
	return nil
}
