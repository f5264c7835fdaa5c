//go:build !unix

package policyfile

import (
	"errors"
	"os"
)

const openWithoutWaiting = os.O_RDONLY

var errNotDirectory = errors.New("not a directory")
