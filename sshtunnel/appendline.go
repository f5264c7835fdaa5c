package sshtunnel

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// appendLine adds a line to a known_hosts file. It makes the file and its directory if they do not
// exist, accessible by their owner alone. It writes the line in one call, so that it does not mix
// with the lines of other programs.
func appendLine(path, line string) error {
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fileError(path, err)
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fileError(path, err)
	}
	err = func() error {
		info, err := file.Stat()
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return errors.New("not a regular file")
		}
		if size := info.Size(); size > 0 {
			last := make([]byte, 1)
			if _, err := file.ReadAt(last, size-1); err != nil {
				return err
			}
			if last[0] != '\n' {
				line = "\n" + line
			}
		}
		_, err = file.WriteString(line)
		return err
	}()
	if err := errors.Join(err, file.Close()); err != nil {
		return fileError(path, err)
	}
	return nil
}
