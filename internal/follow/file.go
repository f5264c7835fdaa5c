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
	lookAgain = 50 * time.Millisecond // at a file that has changed
	// A file that has not changed for settlePeriod is taken to be complete. One that has become
	// smaller may have been truncated by a writer that is still busy, and gets ShrinkPeriod.
	settlePeriod = 100 * time.Millisecond
	ShrinkPeriod = 500 * time.Millisecond
	// settleLimit ends the waiting for a file that is replaced by another all the time.
	settleLimit = 500 * time.Millisecond
)

// errUnsettled says that the file has changed while it was read.
var errUnsettled = errors.New("the file has changed meanwhile")

// File is one file that is followed. [Watcher.FollowFile] makes it.
type File struct {
	path    string
	limit   int // of its size, in bytes
	target  FileTarget
	begun   sync.Once
	stopped chan struct{}
	stop    func()
	closed  <-chan struct{} // with the watcher
	salt    [sha256.Size]byte

	// The goroutine's own.
	stamp     files.Stamp // of what is in force, or of what must not be; zero: there is none
	digest    digest      // of the content at the last look at it
	confirmed bool        // that a change in the tick of the clock of the first read is none
	stale     bool        // there was such a change: the file has that stamp and another content
	seen      files.Stamp // at the last look
	seenFirst time.Time   // when it looked so first
	unsettled time.Time   // since when it has looked other than stamp
	missing   int         // looks in a row at which it was not there
}

// digest is that of a file's content, salted: it tells nothing of a secret in the file.
type digest [sha256.Size]byte

func newFile(path string, limit int, target FileTarget, closed <-chan struct{}) *File {
	f := &File{
		path: path, limit: limit, target: target,
		stopped: make(chan struct{}), closed: closed,
	}
	f.stop = sync.OnceFunc(func() { close(f.stopped) })
	_, _ = rand.Read(f.salt[:]) // never fails
	return f
}

// Start has the target keep up with the file from now on, until Stop or until the watcher is
// closed.
func (f *File) Start() { f.begun.Do(func() { go f.run() }) }

// Stop ends that. It does not wait for a target that is busy.
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

// look loads the file if it has changed, and returns when to look again.
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
		f.stamp, f.stale = stamp, false // what is in force stays until the file changes
	}
	f.unsettled = time.Time{}
	return checkInterval
}

// hasChanged tells whether the file is another than the one that has been loaded. A change in the
// tick of the clock in which that was read shows in no stamp, so that the first time the content is
// compared.
func (f *File) hasChanged(stamp files.Stamp) bool {
	if !f.confirmed && stamp == f.stamp {
		f.stale = !f.sameContent()
	}
	f.confirmed = true
	return stamp != f.stamp || f.stale
}

// settled tells whether the file is complete: it has not changed for long enough; or it has long
// been replaced by another file all the time, of which each is complete; or touched all the time,
// without another content.
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

// sameContent tells whether the file has the content that it had at the last look at it.
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

// vanish takes note that there is no file. It may be replaced in two steps.
func (f *File) vanish() {
	f.missing++
	if f.missing == missingChecks {
		f.stamp, f.stale = files.Stamp{}, false
		f.target.Gone()
	}
}

// loadFirst is load for a file that nothing is known of, yet. Where it is being written it waits
// for a moment.
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

// load reads the file and has the target put its content in force, if the file is what it was said
// to be before it is read and after.
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
