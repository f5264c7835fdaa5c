package libzmq

import "golang.org/x/sys/unix"

// Descriptor is one connection of libzmq's, as its monitor names it. Two are equal only where they
// are the same connection: a number is used again, a cookie is not.
type Descriptor struct {
	FD     int
	cookie uint64 // SO_COOKIE (socket(7))
}

// Identify is the Descriptor that belongs to a number now. The error is that it is no socket's.
func Identify(fd int) (Descriptor, error) {
	cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_COOKIE)
	return Descriptor{fd, cookie}, err
}
