package files

import (
	"bytes"
	"errors"
)

// CheckText tells whether data is text as the readers of this module take it: UTF-8 without a byte
// order mark and without NUL bytes. Otherwise what stands in the first line, or behind a NUL byte,
// would be something else than what an editor shows. The error comes with its line, from 1.
func CheckText(data []byte) (line int, err error) {
	switch {
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		return 1, errors.New("a byte order mark at the beginning: save it without")
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("\xfe\xff")):
		return 1, errors.New("it is UTF-16: save it as UTF-8")
	}
	if at := bytes.IndexByte(data, 0); at >= 0 {
		line = 1 + bytes.Count(data[:at], []byte("\n"))
		return line, errors.New("a NUL byte: save it as UTF-8")
	}
	return 0, nil
}
