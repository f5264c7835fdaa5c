//go:build cgo

package fastcurve

/*
#cgo LDFLAGS: -ldl
#include "pool_linux.h"
*/
import "C"

func active() bool { return C.fastcurve_active() != 0 }

// handedOut returns how many blocks the pool has handed out since the program began.
func handedOut() uint64 { return uint64(C.fastcurve_handed_out()) }
