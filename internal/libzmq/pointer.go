package libzmq

import (
	"errors"
	"reflect"
	"unsafe"

	"github.com/pebbe/zmq4"
)

// errSocketField says that zmq4 has changed inside; the package's test fails first.
var errSocketField = errors.New("zmq4.Socket has no pointer field soc any more")

// socketPointer reads the libzmq socket that zmq4 hides. It is nil-safe: a closed socket gives an
// error.
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
