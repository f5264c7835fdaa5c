//go:build unix

package policyfile

import (
	"os"
	"syscall"
)

// openWithoutWaiting opens a file that may be a FIFO, whose writer nobody waits for.
const openWithoutWaiting = os.O_RDONLY | syscall.O_NONBLOCK | syscall.O_NOCTTY

var errNotDirectory error = syscall.ENOTDIR
