package loadgen

import (
	"errors"
	"reflect"
	"unsafe"

	"github.com/pebbe/zmq4"
)

// errContextField means that zmq4 has changed its private field. The test of this package finds
// that first.
var errContextField = errors.New("zmq4.Context has no pointer field ctx any more")

// contextPointer reads the libzmq context from a private field of zmq4.
func contextPointer(ctx *zmq4.Context) (unsafe.Pointer, error) {
	if ctx == nil {
		return nil, zmq4.ErrorContextClosed
	}
	// Reading an option fails after Term. The pointer would lead to memory that libzmq has freed.
	if _, err := ctx.GetIoThreads(); err != nil {
		return nil, err
	}
	field := reflect.ValueOf(ctx).Elem().FieldByName("ctx")
	if !field.IsValid() || field.Kind() != reflect.UnsafePointer {
		return nil, errContextField
	}
	return field.UnsafePointer(), nil
}
