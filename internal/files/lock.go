package files

import (
	"errors"
	"fmt"
	"os"
)

// A Lock makes processes take turns. It is a file that only its owner and root can open: whoever
// can open a file can keep its lock. The kernel ends the lock with the process.
type Lock struct {
	path string
	file *os.File
}

// ErrForeignLock means that somebody else has made a file with the name of the lock. In /tmp
// everybody can. Whoever gets this error goes on without a turn, or others could stop it for ever.
var ErrForeignLock = errors.New("the lock file belongs to somebody else")

// HeldError says that a lock has not become free in time.
type HeldError struct {
	Path string // of the lock file
	By   string // who holds it, as far as the system tells
	Err  error  // the end of the caller's context; nil: the time for waiting is over
}

// Error says who holds the lock.
func (e *HeldError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%v; its lock (%s) is held by %s", e.Err, e.Path, e.By)
	}
	return fmt.Sprintf("its lock (%s) is held by %s, for too long", e.Path, e.By)
}

// Unwrap is the end of the context, if that has ended the wait.
func (e *HeldError) Unwrap() error { return e.Err }

// Release ends the lock and removes its file.
func (l *Lock) Release() {
	if isAt(l.path, l.file) {
		_ = os.Remove(l.path) // first: afterwards the file is the lock of somebody else
	}
	_ = l.file.Close()
}

// isAt reports whether a path leads to an open file.
func isAt(path string, file *os.File) bool {
	there, err := os.Lstat(path)
	if err != nil {
		return false
	}
	info, err := file.Stat()
	return err == nil && os.SameFile(there, info)
}
