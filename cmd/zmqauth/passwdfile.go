package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/zmqauth/zmqauth/internal/files"
	"github.com/zmqauth/zmqauth/internal/passhash"
)

// isUser tells whether a line of a password file is that user's.
func isUser(line []byte, user string) bool {
	name, _, _, ok := passhash.SplitLine(line)
	return ok && string(name) == user
}

// lineOf is the number, from 1, of the line that counts for a user, the last of several; 0: there
// is none.
func lineOf(content []byte, user string) (line int) {
	number := 0
	for text := range bytes.Lines(content) {
		if number++; isUser(text, user) {
			line = number
		}
	}
	return line
}

// setUser is the content of a password file with that hash for the user: in the line that has
// counted, the last of several, or at the end. The others of the user's go, so that none counts
// once that is deleted.
func setUser(content []byte, user, hash string) []byte {
	entry := user + ":" + hash
	lines := slices.Collect(bytes.Lines(content))
	last := -1
	for i, line := range lines {
		if isUser(line, user) {
			last = i
		}
	}
	var out []byte
	for i, line := range lines {
		switch {
		case i == last:
			out = append(append(out, entry...), ending(line)...)
		case !isUser(line, user):
			out = append(out, line...)
		}
	}
	if last >= 0 {
		return out
	}
	newline := []byte("\n")
	if len(lines) > 0 {
		if end := ending(lines[0]); len(end) > 0 {
			newline = end // CRLF, where the others have it
		}
		if len(ending(lines[len(lines)-1])) == 0 {
			out = append(out, newline...)
		}
	}
	return append(append(out, entry...), newline...)
}

// deleteUser is the content of a password file without the user.
func deleteUser(content []byte, user string) ([]byte, error) {
	var out []byte
	found := false
	for line := range bytes.Lines(content) {
		if isUser(line, user) {
			found = true
		} else {
			out = append(out, line...)
		}
	}
	if !found {
		return nil, fmt.Errorf("there is no user %q", user)
	}
	return out, nil
}

// ending is how a line ends.
func ending(line []byte) []byte {
	if bytes.HasSuffix(line, []byte("\r\n")) {
		return line[len(line)-2:]
	}
	if bytes.HasSuffix(line, []byte("\n")) {
		return line[len(line)-1:]
	}
	return nil
}

// editPasswords replaces a password file at once by what edit makes of it. Where it is a symbolic
// link, what that leads to is replaced. Others that edit a file of the directory at the same time
// wait for their turn: none of the changes is lost.
func editPasswords(path string, create bool, edit func(content []byte) ([]byte, error)) error {
	err := func() error {
		target, err := filepath.EvalSymlinks(path)
		if _, there := os.Lstat(path); errors.Is(err, fs.ErrNotExist) && create && there != nil { // no link that leads nowhere
			target = path
		} else if err != nil {
			return err
		}
		dir, err := lockDirectory(filepath.Dir(target))
		if err != nil {
			return err
		}
		defer dir.Close() // that ends the lock
		content, of, err := readPasswords(target, create)
		if err != nil {
			return err
		}
		defer clear(content)
		edited, err := edit(content)
		if err != nil {
			return err
		}
		return replaceFile(dir, target, edited, of)
	}()
	if err != nil {
		return fmt.Errorf("%s: %w", path, cause(err))
	}
	return nil
}

// lockDirectory waits until nobody else holds the directory's lock. It is the directory's, because
// the file is replaced while the lock is held, and a file of locks beside it would stay for ever.
func lockDirectory(path string) (*os.File, error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	for {
		if err = unix.Flock(int(dir.Fd()), unix.LOCK_EX); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		_ = dir.Close()
		return nil, fmt.Errorf("locking its directory: %w", err)
	}
	return dir, nil
}

// owner is whom a file belongs to.
type owner struct{ uid, gid int }

// readPasswords reads the file and tells its owner, nil where there is no file and none is needed.
func readPasswords(path string, create bool) (content []byte, of *owner, err error) {
	content, stamp, err := files.Read(path, passhash.MaxFileSize, nil)
	switch {
	case errors.Is(err, fs.ErrNotExist) && create:
		return nil, nil, nil
	case errors.Is(err, syscall.EISDIR):
		return nil, nil, files.ErrNotRegular
	case err != nil:
		return nil, nil, err
	}
	of = &owner{}
	of.uid, of.gid = stamp.Owner()
	return content, of, nil
}

// replaceFile puts a file of mode 0600 with that content in the place of another, whose owner it
// keeps.
func replaceFile(dir *os.File, path string, content []byte, of *owner) error {
	file, err := os.CreateTemp(filepath.Dir(path), ".zmqauth-*") // of mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // which is gone where all went well
	if err := errors.Join(fill(file, content, of), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return err
	}
	_ = dir.Sync() // some file systems cannot
	return nil
}

func fill(file *os.File, content []byte, of *owner) error {
	if of != nil && *of != (owner{os.Geteuid(), os.Getegid()}) {
		if err := file.Chown(of.uid, of.gid); err != nil {
			return fmt.Errorf("it belongs to another user, and cannot be given to that one: %w", cause(err))
		}
	}
	if _, err := file.Write(content); err != nil {
		return err
	}
	return file.Sync()
}
