//go:build unix

package policyfile

import (
	"os"
	"syscall"
)

// openWithoutWaiting are the flags to open a path that may be a FIFO, without waiting for a writer.
const openWithoutWaiting = os.O_RDONLY | syscall.O_NONBLOCK | syscall.O_NOCTTY

var errNotDirectory error = syscall.ENOTDIR
