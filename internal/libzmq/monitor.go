package libzmq

/*
#cgo linux LDFLAGS: -Wl,--wrap=zmq_socket_monitor -Wl,--wrap=zmq_close
#include "monitor.h"
*/
import "C"

import "github.com/pebbe/zmq4"

// Monitored tells whether the program has set a monitor on the socket and not ended it: by any binding that is linked
// into the program, not from within a shared library. Elsewhere than on Linux it is always false.
func Monitored(socket *zmq4.Socket) (bool, error) {
	pointer, err := socketPointer(socket)
	if err != nil {
		return false, err
	}
	return C.monitor_is_set(pointer) != 0, nil
}
