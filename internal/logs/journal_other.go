//go:build !linux

package logs

import (
	"errors"
	"io"
)

// JournalWriter is for Linux alone.
func JournalWriter(string) (io.Writer, error) { return nil, errors.ErrUnsupported }
