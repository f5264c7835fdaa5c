//go:build !linux

package libzmq

import "errors"

// Descriptor is one connection of libzmq's, as its monitor names it.
type Descriptor struct{ FD int }

// Identify is always an error: only Linux tells one connection from another with the same number.
func Identify(int) (Descriptor, error) {
	return Descriptor{}, errors.New("connections cannot be told apart on this system")
}
