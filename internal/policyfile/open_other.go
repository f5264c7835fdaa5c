//go:build !unix

package policyfile

import (
	"errors"
	"os"
)

// openWithoutWaiting are the flags to open a path. This system has no FIFOs among its files.
const openWithoutWaiting = os.O_RDONLY

var errNotDirectory = errors.New("not a directory")
