//go:build unix && !linux

package stream

import "syscall"

// errNotOnNetwork is one that this system does not have.
const errNotOnNetwork = syscall.Errno(1 << 30)
