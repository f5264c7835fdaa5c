package proxy

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// reserve is a descriptor that is kept for the time when there are no others. Without one nobody
// can accept the connections that wait, and libzmq would try to without end, which keeps a
// processor busy. With it they are accepted and closed.
type reserve struct {
	spare *os.File // nil: there was none left
}

func newReserve() *reserve {
	r := &reserve{}
	r.refill()
	return r
}

func (r *reserve) refill() {
	if r.spare == nil {
		r.spare, _ = os.Open(os.DevNull) // there may be none; it is tried again
	}
}

func (r *reserve) close() {
	if r.spare != nil {
		_ = r.spare.Close()
		r.spare = nil
	}
}

// turnAway accepts and closes the connections that wait at a listening socket, which does not
// block.
func (r *reserve) turnAway(listening int) {
	r.close()
	for {
		fd, _, err := unix.Accept(listening)
		if err != nil {
			break
		}
		_ = unix.Close(fd)
	}
	r.refill()
}

// isShortage tells whether an error says that there are no more descriptors, or no memory for them.
func isShortage(err error) bool {
	for _, shortage := range []unix.Errno{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM} {
		if errors.Is(err, shortage) {
			return true
		}
	}
	return false
}
