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
	spare     *os.File // nil: there was none left
	listening int      // a copy of the listener's descriptor; -1: none
}

func newReserve() *reserve {
	r := &reserve{listening: -1}
	r.refill()
	return r
}

func (r *reserve) refill() {
	if r.spare == nil {
		r.spare, _ = os.Open(os.DevNull) // there may be none; it is tried again
	}
}

// watch says which descriptor listens.
func (r *reserve) watch(fd int) {
	r.forget()
	duplicate, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return // none is left already
	}
	_ = unix.SetNonblock(duplicate, true) // libzmq may be faster to accept
	r.listening = duplicate
}

// forget closes the copy of the listener's descriptor, which would keep the endpoint in use.
func (r *reserve) forget() {
	if r.listening >= 0 {
		_ = unix.Close(r.listening)
		r.listening = -1
	}
}

// turnAway accepts and closes the connections that wait.
func (r *reserve) turnAway() {
	if r.spare != nil {
		_ = r.spare.Close()
		r.spare = nil
	}
	for r.listening >= 0 {
		fd, _, err := unix.Accept(r.listening)
		if err != nil {
			break
		}
		_ = unix.Close(fd)
	}
	r.refill()
}

func (r *reserve) close() {
	r.forget()
	if r.spare != nil {
		_ = r.spare.Close()
		r.spare = nil
	}
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
