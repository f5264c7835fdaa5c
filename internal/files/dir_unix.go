//go:build unix

package files

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Dir is a directory whose files are read. Any goroutine may call its methods, but for Entries,
// until Close.
type Dir struct {
	path string
	file *os.File // nil: it is not open
	by   reader   // of one that is open: asked for once
}

// DirAt returns the directory at path, which need not exist: the system looks for it with each file
// that is read.
func DirAt(path string) *Dir { return &Dir{path: path} }

// OpenDir opens the directory at path. Then the system finds its files by their names in it,
// without the way to it each time, and all of them are of one directory, whatever the path leads to
// by now. The error does not contain the path.
func OpenDir(path string) (*Dir, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY, 0) // opening a FIFO would wait
	if err != nil {
		return nil, Bare(err)
	}
	by := reader{uint32(os.Geteuid()), uint32(os.Getegid())}
	return &Dir{path, file, by}, nil
}

// Close closes a directory that is open.
func (d *Dir) Close() { _ = d.file.Close() }

// Below returns the path of a file.
func (d *Dir) Below(name string) string { return Below(d.path, name) }

// Stamp returns the stamp of a directory that is open.
func (d *Dir) Stamp() (Stamp, error) { return stampOf(int(d.file.Fd())) }

// Entry is a name in a directory.
type Entry struct {
	Name string
	Type fs.FileMode // of fs.ModeType; 0: a regular file
}

// entriesAtOnce bounds the memory that listing a directory takes, however many entries it has.
const entriesAtOnce = 4096

// Entries calls visit for what is in a directory that is open, in no order, until visit returns
// false. Only the first call does so.
func (d *Dir) Entries(visit func(Entry) bool) error {
	for {
		entries, err := d.file.ReadDir(entriesAtOnce)
		for _, entry := range entries {
			if !visit(Entry{entry.Name(), entry.Type()}) {
				return nil
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return Bare(err)
		}
	}
}

// Read is the function [Read] for a file of the directory.
func (d *Dir) Read(name string, limit int, buffer []byte) ([]byte, Stamp, error) {
	if d.file == nil {
		return Read(d.Below(name), limit, buffer)
	}
	return readAt(int(d.file.Fd()), name, limit, buffer)
}

// Check is [Stamp.Check] for the stamp of a file of the directory.
func (d *Dir) Check(name string, s Stamp) error {
	if d.file != nil && s.mode&groupWrite == 0 && s.check("", d.by) == nil {
		return nil // as nearly all are: neither the path is needed nor the system
	}
	return s.Check(d.Below(name))
}

// CheckSecret is [Stamp.CheckSecret] for the stamp of a file of the directory.
func (d *Dir) CheckSecret(name string, s Stamp) error { return s.CheckSecret(d.Below(name)) }
