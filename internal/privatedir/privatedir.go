// Package privatedir makes private directories and Unix sockets, and removes them.
//
// A new socket replaces one on which nobody listens any more. It never replaces a live one or
// another kind of file. This package removes only what it has made: never what somebody else has
// put in its place since.
package privatedir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/zmqauth/zmqauth/internal/files"
)

// MaxPath is the largest length of the path of a Unix socket in bytes: 107 on Linux, 103 on the
// BSDs and macOS. The system's structure has one more byte, for the final NUL (unix(7)).
const MaxPath = len(syscall.RawSockaddrUnix{}.Path) - 1

// prefix begins the names of private directories.
const prefix = "zmqauth-"

// A Dir is a directory that only this user can enter.
type Dir struct {
	path string
	made fs.FileInfo
}

// Make makes a private directory for sockets whose names have at most longestName bytes. It is in
// $TMPDIR. If paths would be too long there, or if others could replace the directory, it is in
// $XDG_RUNTIME_DIR or /tmp. If none of them is suitable, the error has the reason for each.
func Make(longestName int) (*Dir, error) {
	var tried []string
	var faults []error
	for _, base := range append([]string{os.TempDir()}, otherBases()...) {
		if base == "" || slices.Contains(tried, base) {
			continue
		}
		tried = append(tried, base)
		dir, err := makeIn(base, longestName)
		if err == nil {
			return dir, nil
		}
		faults = append(faults, err)
	}
	return nil, fmt.Errorf("no directory for sockets: %w", errors.Join(faults...))
}

// makeIn makes a private directory in base, or says why base is not suitable.
func makeIn(base string, longestName int) (*Dir, error) {
	base, err := filepath.Abs(base)
	if err != nil {
		return nil, err
	}
	if base, err = filepath.EvalSymlinks(base); err != nil {
		return nil, err
	}
	if err := files.CheckDirectory(base); err != nil {
		return nil, err
	}
	path, err := os.MkdirTemp(base, prefix) // with mode 0700
	if err != nil {
		return nil, err
	}
	d := &Dir{path: path}
	if d.made, err = os.Lstat(path); err != nil {
		return nil, errors.Join(err, os.Remove(path))
	}
	if len(d.Join(strings.Repeat("x", longestName))) > MaxPath {
		fault := fmt.Errorf("%s: paths of sockets there would be too long", base)
		return nil, errors.Join(fault, d.Remove())
	}
	return d, nil
}

// Path returns the directory's absolute path.
func (d *Dir) Path() string { return d.path }

// Join returns the path of a file in the directory.
func (d *Dir) Join(name string) string { return filepath.Join(d.path, name) }

// Remove removes the sockets in the directory, and then the directory. It does nothing if the
// directory is gone or if another one has taken its place. Other files in the directory do not
// belong to this package. If there are any, they and the directory stay, and Remove returns an
// error.
func (d *Dir) Remove() error {
	if !d.isThere() {
		return nil
	}
	faults := []error{d.removeSockets()}
	if d.isThere() {
		faults = append(faults, os.Remove(d.path))
	}
	return errors.Join(faults...)
}

// isThere reports whether the path still leads to the directory that was made.
func (d *Dir) isThere() bool {
	info, err := os.Lstat(d.path)
	return err == nil && os.SameFile(info, d.made)
}

// removeSockets removes the sockets through the opened directory. It does not matter if the path
// leads to another directory meanwhile.
func (d *Dir) removeSockets() error {
	root, err := os.OpenRoot(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer root.Close()
	if info, err := root.Stat("."); err != nil || !os.SameFile(info, d.made) {
		return err
	}
	entries, err := fs.ReadDir(root.FS(), ".")
	faults := []error{err}
	for _, entry := range entries {
		if entry.Type() != fs.ModeSocket {
			continue
		}
		if err := root.Remove(entry.Name()); !errors.Is(err, fs.ErrNotExist) {
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}
