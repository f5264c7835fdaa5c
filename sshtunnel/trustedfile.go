package sshtunnel

import (
	"encoding/pem"
	"errors"
	"os"
	"syscall"

	"github.com/zmqauth/zmqauth/internal/files"
)

// What files may hold, in bytes: far more than any of their kind does.
const (
	maxKeyFile    = 1 << 20
	maxConfigFile = 1 << 20
	maxKnownHosts = 64 << 20
)

// maxGrowing is how often a file is read again that others append to, as to known_hosts.
const maxGrowing = 10

// untrustedError is what is wrong with who may write or read a file.
type untrustedError struct{ error }

func (e untrustedError) Unwrap() error { return e.error }

// isUntrusted tells whether a file cannot be used for who may write or read it.
func isUntrusted(err error) bool {
	_, ok := errors.AsType[untrustedError](err)
	return ok
}

// readFile reads a file that decides something. It belongs to root or to this user, and nobody else
// can write it. The null device is an empty file: ssh_config names it where there is to be none.
func readFile(path string, limit int) ([]byte, error) {
	return readChecked(path, limit, func(stamp files.Stamp, _ []byte) error {
		return stamp.Check(path)
	})
}

// readKeyFile reads the file of a public key, as readFile does, or of a private one. That one
// others cannot read either, but a group may.
func readKeyFile(path string) ([]byte, error) {
	return readChecked(path, maxKeyFile, func(stamp files.Stamp, data []byte) error {
		if isPrivate(data) {
			return stamp.CheckSecret(path)
		}
		return stamp.Check(path)
	})
}

// isPrivate tells whether a key's file is in a format that only private keys have.
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
