package stream

import (
	"time"

	"github.com/zmqauth/zmqauth/internal/files"
)

// fileStamp identifies a file as it was when it was read. The zero value stands for a file that
// could not be read.
type fileStamp struct {
	files.Stamp
	// fresh means that the file had just been written when it was read. Another write within the same
	// tick of the file system's clock would leave the times unchanged.
	fresh bool
}

// tick is longer than one tick of a file system's clock.
const tick = 50 * time.Millisecond

func newFileStamp(stamp files.Stamp) fileStamp {
	return fileStamp{stamp, time.Since(stamp.Changed()).Abs() < tick}
}

// isCurrent reports whether name still leads to the file as it was read.
func (s fileStamp) isCurrent(name string) bool {
	if s.fresh || s.Stamp == (files.Stamp{}) {
		return false
	}
	now, err := files.StampOf(name)
	return err == nil && now == s.Stamp
}
