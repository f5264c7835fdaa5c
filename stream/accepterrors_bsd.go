//go:build unix && !linux

package stream

import "syscall"

// errNotOnNetwork is an error number that does not occur: only Linux has ENONET.
const errNotOnNetwork = syscall.Errno(1 << 30)
