package zmqauth

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"testing"

	"github.com/zmqauth/zmqauth/internal/zpl"
)

func TestFileError(t *testing.T) {
	cause := errors.New("what")
	tests := map[string]struct {
		err  error
		want string
		is   error
	}{
		"with a line":    {&FileError{File: "d/f", Line: 7, Err: cause}, "zmqauth: d/f:7: what", cause},
		"without a line": {&FileError{File: "d/f", Err: cause}, "zmqauth: d/f: what", cause},
		"path error": {
			fileError("f", &fs.PathError{Op: "open", Path: ".tmp", Err: syscall.ENOENT}),
			"zmqauth: f: no such file or directory", fs.ErrNotExist,
		},
		"link error": {
			fileError("f", &os.LinkError{Op: "link", Old: ".tmp", New: "f", Err: syscall.EEXIST}),
			"zmqauth: f: file exists", fs.ErrExist,
		},
		"wrapped": {
			fileError("f",
				fmt.Errorf("x: %w", &fs.PathError{Op: "open", Path: ".tmp", Err: syscall.EACCES})),
			"zmqauth: f: permission denied", fs.ErrPermission,
		},
		"ZPL":          {zplError("f", &zpl.Error{Line: 7, Err: cause}), "zmqauth: f:7: what", cause},
		"ZPL, no line": {zplError("f", &zpl.Error{Err: cause}), "zmqauth: f: what", cause},
		"other error":  {fileError("f", cause), "zmqauth: f: what", cause},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if test.err.Error() != test.want || !errors.Is(test.err, test.is) {
				t.Errorf("got %v, want %s", test.err, test.want)
			}
		})
	}
}
