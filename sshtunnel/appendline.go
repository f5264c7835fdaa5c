package sshtunnel

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// appendLine adds a line to a known_hosts file, which it makes where there is none: readable by its
// owner alone, as its directory is. The line goes out in one write, so that other programs that
// append do not tear it.
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
