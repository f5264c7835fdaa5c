package proxy

import (
	"fmt"
	"sync/atomic"
)

var inprocs atomic.Uint64

// newInproc is an inproc endpoint that no other socket of the process uses.
func newInproc() string { return fmt.Sprintf("inproc://zmqauth-%d", inprocs.Add(1)) }
