package sshtunnel

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
)

// What files may hold: far more than any of their kind does.
const (
	maxKeyFile    = 1 << 20
	maxConfigFile = 1 << 20
	maxKnownHosts = 64 << 20
)

// readFile reads a regular file without ever waiting for it, as one would for the writer of a FIFO. The null device is
// an empty file: ssh_config names it where there is to be none.
func readFile(path string, limit int64) ([]byte, fs.FileInfo, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, fileError(path, err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, nil, fileError(path, err)
	}
	if path == os.DevNull {
		return nil, info, nil
	}
	if !info.Mode().IsRegular() {
		return nil, nil, &FileError{File: path, Err: errors.New("not a regular file")}
	}
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, nil, fileError(path, err)
	}
	if int64(len(data)) > limit {
		return nil, nil, &FileError{File: path, Err: fmt.Errorf("larger than %d bytes", limit)}
	}
	return data, info, nil
}

// ownedBy tells whether the file belongs to one of the users.
func ownedBy(info fs.FileInfo, uids ...int) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return false
	}
	for _, uid := range uids {
		if int(stat.Uid) == uid {
			return true
		}
	}
	return false
}

// localUser is the user that this program runs as, and its home directory; "" where they cannot be known.
func localUser() (name, home string) {
	home = os.Getenv("HOME")
	if current, err := user.Current(); err == nil {
		name = current.Username
		if home == "" {
			home = current.HomeDir
		}
	}
	if name == "" {
		name = os.Getenv("USER")
	}
	return name, home
}

// expandHome replaces a leading ~/ by the home directory.
func expandHome(path, home string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		return filepath.Join(home, rest)
	}
	return path
}
