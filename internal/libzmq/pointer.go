package libzmq

import (
	"errors"
	"reflect"
	"unsafe"

	"github.com/pebbe/zmq4"
)

// errSocketField says that zmq4 has renamed the field. A test of this package finds that first.
var errSocketField = errors.New("zmq4.Socket has no pointer field soc any more")

// socketPointer returns the libzmq socket in an unexported field of zmq4.Socket. A nil or closed
// socket is an error.
func socketPointer(socket *zmq4.Socket) (unsafe.Pointer, error) {
	if socket == nil {
		return nil, zmq4.ErrorSocketClosed
	}
	field := reflect.ValueOf(socket).Elem().FieldByName("soc")
	if !field.IsValid() || field.Kind() != reflect.UnsafePointer {
		return nil, errSocketField
	}
	pointer := field.UnsafePointer()
	if pointer == nil {
		return nil, zmq4.ErrorSocketClosed
	}
	return pointer, nil
}
