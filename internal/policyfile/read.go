package policyfile

import (
	"github.com/zmqauth/zmqauth/internal/files"
	"github.com/zmqauth/zmqauth/internal/zpl"
)

// Read reads the text of a policy. It is an error if others than the owner could have written it
// (see files.Stamp.Check). Every error is an *Error.
func Read(file string) ([]byte, error) {
	text, stamp, err := files.Read(file, zpl.MaxSize, nil)
	if err == nil {
		err = stamp.Check(file)
	}
	if err != nil {
		return nil, &Error{File: file, Err: files.Bare(err)}
	}
	return text, nil
}
