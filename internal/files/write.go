package files

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// WriteNew writes a new file. Others see either nothing or the whole file. It never replaces what
// exists at path, not even a dangling symbolic link: the error is fs.ErrExist.
func WriteNew(path string, data []byte, mode fs.FileMode) error {
	dir := filepath.Dir(path)
	// The file has mode 0600 until it is complete. Readers of directories ignore dot files.
	file, err := os.CreateTemp(dir, ".zmqauth-*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	if err := errors.Join(fill(file, data, mode), file.Close()); err != nil {
		return err
	}
	// Unlike a rename, a link replaces nothing that exists.
	if err := os.Link(file.Name(), path); err != nil {
		return err
	}
	return syncDirectory(dir)
}

// fill writes the data and then sets the mode.
func fill(file *os.File, data []byte, mode fs.FileMode) error {
	if _, err := file.Write(data); err != nil {
		return err
	}
	if err := file.Chmod(mode); err != nil {
		return err
	}
	return file.Sync()
}

// syncDirectory makes the entries of dir survive a loss of power. Some file systems cannot do that,
// which is no reason to fail.
func syncDirectory(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return nil // a directory may be writable and not readable
	}
	_ = d.Sync()
	return d.Close()
}
