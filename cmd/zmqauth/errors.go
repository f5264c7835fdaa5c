package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zmqauth/zmqauth"
)

// failure is an error of a command's work, as opposed to an error of its command line.
type failure struct{ err error }

func (f *failure) Error() string { return f.err.Error() }

func (f *failure) Unwrap() error { return f.err }

// errNo says that the answer is no. The command has printed the answer already.
var errNo = errors.New("no")

// usageError is an error of the command line that cobra cannot find.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// runFunc is the function of a command, as cobra calls it.
type runFunc = func(cmd *cobra.Command, args []string) error

// action makes a failure of every error of a command's function that is not a usageError.
func action(run runFunc) runFunc {
	return func(cmd *cobra.Command, args []string) error {
		err := run(cmd, args)
		if err == nil {
			return nil
		}
		if _, ok := errors.AsType[usageError](err); ok {
			return err
		}
		return &failure{err}
	}
}

// prefix begins the errors of the library and of this program.
const prefix = "zmqauth: "

// printError writes an error to stderr. Each of its lines gets the prefix, unless it has it. For a
// reader that has stalled, printError waits no longer than flushTime.
func printError(err error) {
	var text strings.Builder
	for line := range strings.Lines(err.Error()) {
		line = strings.TrimPrefix(strings.TrimSuffix(line, "\n"), prefix)
		fmt.Fprintf(&text, "%s%s\n", prefix, printable(line))
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		_, _ = os.Stderr.WriteString(text.String())
	}()
	select {
	case <-written:
	case <-time.After(flushTime):
	}
}

// problem returns the text of an error without the prefix and the name of the file, which the
// caller shows apart.
func problem(err error) string {
	fileErr, ok := errors.AsType[*zmqauth.FileError](err)
	if !ok {
		return strings.TrimPrefix(err.Error(), prefix)
	}
	if fileErr.Line > 0 {
		return fmt.Sprintf("line %d: %v", fileErr.Line, fileErr.Err)
	}
	return fileErr.Err.Error()
}

// cause returns an error without the operation and the path that package os adds.
func cause(err error) error {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return pathErr.Err
	}
	return err
}
