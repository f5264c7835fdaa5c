package follow

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"sync"
	"time"

	"github.com/zmqauth/zmqauth/internal/files"
)

const (
	// lookAgain is the time until a file that has changed is checked again.
	lookAgain = 50 * time.Millisecond
	// settlePeriod is the time without a change after which a file counts as complete.
	settlePeriod = 100 * time.Millisecond
	// ShrinkPeriod takes the place of settlePeriod for a file that has become smaller. A writer
	// may have truncated it and may still be writing.
	ShrinkPeriod = 500 * time.Millisecond
	// settleLimit ends the wait for a file that others replace all the time.
	settleLimit = 500 * time.Millisecond
)

// errUnsettled says that the file changed while it was read.
var errUnsettled = errors.New("the file has changed meanwhile")

// File is a file that is followed. [Watcher.FollowFile] makes it.
type File struct {
	path    string
	limit   int // of the size, in bytes
	target  FileTarget
	begun   sync.Once
	stopped chan struct{}
	stop    func()
	closed  <-chan struct{} // closed with the watcher
	salt    [sha256.Size]byte

	// Only the goroutine uses these.
	stamp     files.Stamp // of the content that was loaded or refused last; zero: none
	digest    digest      // of the content that was read last
	confirmed bool        // the content has been compared once after the first load
	stale     bool        // that found another content under the same stamp
	seen      files.Stamp // of the file at the last check
	seenFirst time.Time   // the first check that found it
	unsettled time.Time   // the first check that found a change that is not loaded yet; zero: none
	missing   int         // checks in a row that have not found the file
}

// digest is a salted hash of a file's content. The salt keeps it from revealing a secret in the
// file.
type digest [sha256.Size]byte

func newFile(path string, limit int, target FileTarget, closed <-chan struct{}) *File {
	f := &File{
		path:    path,
		limit:   limit,
		target:  target,
		stopped: make(chan struct{}),
		closed:  closed,
	}
	f.stop = sync.OnceFunc(func() { close(f.stopped) })
	_, _ = rand.Read(f.salt[:]) // never fails
	return f
}

// Start begins to give changes to the target. That ends with Stop, or when the watcher is closed.
func (f *File) Start() { f.begun.Do(func() { go f.run() }) }

// Stop stops following the file. It does not wait for a busy target.
func (f *File) Stop() { f.stop() }

func (f *File) run() {
	look := time.NewTimer(checkInterval)
	defer look.Stop()
	for {
		select {
		case <-f.stopped:
			return
		case <-f.closed:
			return
		case <-look.C:
			look.Reset(f.look())
		}
	}
}

// look loads the file if it has changed. It returns the time until the next look.
func (f *File) look() time.Duration {
	stamp, err := files.StampOf(f.path)
	switch {
	case files.IsGone(err):
		f.vanish()
		return checkInterval
	case err != nil:
		f.target.Report(err)
		return checkInterval
	}
	if f.missing >= missingChecks {
		f.target.Back()
	}
	f.missing = 0
	if !f.hasChanged(stamp) {
		f.unsettled = time.Time{}
		return checkInterval
	}
	if !f.settled(stamp) {
		return lookAgain
	}
	err = f.load(stamp)
	switch {
	case errors.Is(err, errUnsettled):
		return lookAgain
	case files.IsTransient(err):
		f.target.Report(err)
		return lookAgain
	case err != nil:
		f.target.Report(err)
		f.stamp, f.stale = stamp, false // it is not tried again until the file changes
	}
	f.unsettled = time.Time{}
	return checkInterval
}

// hasChanged tells whether the file differs from the one that was loaded. A change within the same
// tick of the file system's clock as the first load does not change the stamp. So the first call
// compares the content as well.
func (f *File) hasChanged(stamp files.Stamp) bool {
	if !f.confirmed && stamp == f.stamp {
		f.stale = !f.sameContent()
	}
	f.confirmed = true
	return stamp != f.stamp || f.stale
}

// settled tells whether the file is complete. That is so if it has not changed for a while. It is
// also so if others have replaced the file all the time, because a file that is renamed into place
// is complete, and if others have changed only its times.
func (f *File) settled(stamp files.Stamp) bool {
	now, before := time.Now(), f.seen
	if f.unsettled.IsZero() {
		f.unsettled = now
	}
	if stamp != before {
		f.seen, f.seenFirst = stamp, now
	}
	period := settlePeriod
	if stamp.Size() < f.stamp.Size() {
		period = ShrinkPeriod
	}
	switch {
	case now.Sub(f.seenFirst) >= period:
		return true
	case now.Sub(f.unsettled) < settleLimit:
		return false
	default:
		return !stamp.SameFile(before) || f.sameContent()
	}
}

// sameContent tells whether the content is the same as when it was read last.
func (f *File) sameContent() bool {
	data, _, err := files.Read(f.path, f.limit, nil)
	if err != nil {
		return false
	}
	before := f.digest
	f.digest = f.digestOf(data)
	clear(data)
	return before == f.digest
}

func (f *File) digestOf(data []byte) (sum digest) {
	hash := sha256.New()
	hash.Write(f.salt[:])
	hash.Write(data)
	hash.Sum(sum[:0])
	return sum
}

// vanish counts a check that has not found the file. Somebody may be replacing it in two steps.
func (f *File) vanish() {
	f.missing++
	if f.missing == missingChecks {
		f.stamp, f.stale = files.Stamp{}, false
		f.target.Gone()
	}
}

// loadFirst loads the file for the first time. It waits a moment for a file that is being written.
func (f *File) loadFirst() error {
	for deadline := time.Now().Add(settleLimit); ; time.Sleep(lookAgain) {
		stamp, err := files.StampOf(f.path)
		if err != nil {
			return err
		}
		if err = f.load(stamp); !errors.Is(err, errUnsettled) || time.Now().After(deadline) {
			return err
		}
	}
}

// load reads the file and has the target load the content. The file must have the stamp want before
// and after it is read. Otherwise load returns errUnsettled.
func (f *File) load(want files.Stamp) error {
	data, stamp, err := files.Read(f.path, f.limit, nil)
	if err != nil {
		return err
	}
	defer clear(data)
	if after, err := files.StampOf(f.path); err != nil || stamp != want || after != want {
		return errUnsettled
	}
	if err := f.target.Load(data, stamp); err != nil {
		return err
	}
	f.stamp, f.stale, f.digest = stamp, false, f.digestOf(data)
	return nil
}
