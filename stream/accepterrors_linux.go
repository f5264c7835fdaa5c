package stream

import "syscall"

// errNotOnNetwork is "Machine is not on the network", which only Linux has.
const errNotOnNetwork = syscall.ENONET
