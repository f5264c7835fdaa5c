package stream

import "syscall"

// errNotOnNetwork is one that only Linux has: "Machine is not on the network".
const errNotOnNetwork = syscall.ENONET
