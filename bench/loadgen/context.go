package loadgen

import (
	"errors"
	"reflect"
	"unsafe"

	"github.com/pebbe/zmq4"
)

// errContextField says that zmq4 has changed inside; the package's test fails first.
var errContextField = errors.New("zmq4.Context has no pointer field ctx any more")

// contextPointer reads the libzmq context that zmq4 hides.
func contextPointer(ctx *zmq4.Context) (unsafe.Pointer, error) {
	if ctx == nil {
		return nil, zmq4.ErrorContextClosed
	}
	// Asking for an option shows whether it lives: after Term the pointer leads to memory that libzmq
	// has freed.
	if _, err := ctx.GetIoThreads(); err != nil {
		return nil, err
	}
	field := reflect.ValueOf(ctx).Elem().FieldByName("ctx")
	if !field.IsValid() || field.Kind() != reflect.UnsafePointer {
		return nil, errContextField
	}
	return field.UnsafePointer(), nil
}
