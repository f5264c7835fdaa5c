package sshtunnel

import (
	"encoding/pem"
	"errors"
	"os"
	"syscall"

	"github.com/zmqauth/zmqauth/internal/files"
)

// The largest sizes of files in bytes. They are far above what is usual.
const (
	maxKeyFile    = 1 << 20
	maxConfigFile = 1 << 20
	maxKnownHosts = 64 << 20
)

// maxGrowing is how often a file is read again if other programs append to it meanwhile, as to
// known_hosts.
const maxGrowing = 10

// untrustedError says that the wrong users can write or read a file.
type untrustedError struct{ error }

func (e untrustedError) Unwrap() error { return e.error }

// isUntrusted reports whether a file cannot be used because the wrong users can write or read it.
func isUntrusted(err error) bool {
	_, ok := errors.AsType[untrustedError](err)
	return ok
}

// readFile reads a file that influences security. The file must belong to root or to this user, and
// nobody else may be able to write it. The null device is an empty file: ssh_config uses it to name
// no file.
func readFile(path string, limit int) ([]byte, error) {
	return readChecked(path, limit, func(stamp files.Stamp, _ []byte) error {
		return stamp.Check(path)
	})
}

// readTextFile is readFile for a text. A byte order mark, UTF-16 or a NUL byte is an error: what
// stands there would be read as something else than what an editor shows.
func readTextFile(path string, limit int) ([]byte, error) {
	data, err := readFile(path, limit)
	if err != nil {
		return nil, err
	}
	if line, err := files.CheckText(data); err != nil {
		return nil, &FileError{File: path, Line: line, Err: err}
	}
	return data, nil
}

// readKeyFile reads a key. A public key is treated as by readFile. A private key must not be
// readable by every user; a group may read it.
func readKeyFile(path string) ([]byte, error) {
	return readChecked(path, maxKeyFile, func(stamp files.Stamp, data []byte) error {
		if isPrivate(data) {
			return stamp.CheckSecret(path)
		}
		return stamp.Check(path)
	})
}

// isPrivate reports whether a key file is in a format that only private keys have.
func isPrivate(data []byte) bool {
	block, _ := pem.Decode(data)
	return block != nil
}

func readChecked(
	path string, limit int, check func(files.Stamp, []byte) error,
) ([]byte, error) {
	if path == os.DevNull {
		return nil, nil
	}
	data, stamp, err := files.Read(path, limit, nil)
	for tries := 0; errors.Is(err, files.ErrGrowing) && tries < maxGrowing; tries++ {
		data, stamp, err = files.Read(path, limit, nil)
	}
	switch {
	case errors.Is(err, syscall.EISDIR):
		err = files.ErrNotRegular
	case err == nil:
		if fault := check(stamp, data); fault != nil {
			err = untrustedError{fault}
		}
	}
	if err != nil {
		return nil, &FileError{File: path, Err: err}
	}
	return data, nil
}
