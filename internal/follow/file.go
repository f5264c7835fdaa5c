package follow

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/zmqauth/zmqauth/internal/files"
	"github.com/zmqauth/zmqauth/internal/pause"
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
	watcher *Watcher
	path    string
	limit   int // of the size, in bytes
	target  FileTarget
	begun   sync.Once
	stopped chan struct{}
	stop    func()
	closed  <-chan struct{} // closed with the watcher
	changed chan struct{}   // has a token while there is something to look at
	own     *place
	health  health
	salt    [sha256.Size]byte

	// Only the goroutine uses these.
	stamp     files.Stamp // of the content that was loaded or refused last; zero: none
	digest    digest      // of the content that was read last
	loaded    time.Time   // the first load
	confirmed bool        // the content has been compared a while after that
	stale     bool        // that found another content under the same stamp
	seen      files.Stamp // of the file at the last check
	seenFirst time.Time   // the first check that found it
	readFirst time.Time   // the first read that found the content that was read last
	unsettled time.Time   // the first check that found a change that is not loaded yet; zero: none
	missing   time.Time   // the first check that has not found the file; zero: it is there
	gone      bool        // it counts as removed
	readFault error       // why it could not be read when it was read last
	looked    time.Time   // the last check
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
		changed: make(chan struct{}, 1),
	}
	f.own = &place{path: path, owner: f, exact: true}
	f.stop = sync.OnceFunc(func() { close(f.stopped) })
	_, _ = rand.Read(f.salt[:]) // never fails
	return f
}

// Start watches the file and begins to give changes to the target. That ends with Stop, or when the
// watcher is closed.
func (f *File) Start() {
	f.begun.Do(func() {
		end := f.begin()
		go func() {
			defer end()
			f.run()
		}()
	})
}

// Stop stops following the file. It does not wait for a busy target.
func (f *File) Stop() { f.stop() }

// Failing returns since when the file has been missing or unreadable, and the last error, without
// the path. It returns the zero time and nil if there is no such fault. What the target has refused
// does not count. Any goroutine may call it. It does not wait.
func (f *File) Failing() (since time.Time, err error) { return f.health.failing() }

// heard implements owner. No place of a File hears of everything in a directory.
func (f *File) heard(p *place, _ string) { f.wake(p, false) }

// wake implements owner.
func (f *File) wake(*place, bool) { give(f.changed) }

func (f *File) run() {
	look := time.NewTimer(checkInterval)
	defer look.Stop()
	for {
		select {
		case <-f.stopped:
			return
		case <-f.closed:
			return
		case <-f.changed: // at once, but not all the time
			look.Reset(max(0, lookAgain-time.Since(f.looked)))
		case <-look.C:
			if f.own.due() {
				f.watcher.tie(f.own)
			}
			look.Reset(f.wait(f.look()))
			f.looked = time.Now()
		}
	}
}

// begin watches the file, until end is called. What changed before there was a watch has no event.
// But it does not equal what was loaded, so that the first look finds it.
func (f *File) begin() (end func()) {
	w := f.watcher
	w.mu.Lock()
	w.files++
	w.mu.Unlock()
	_, _ = f.own.look() // the sweep compares with this
	w.tie(f.own)
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.files--
		w.untie(f.own)
	}
}

// wait shortens the time until the next look if no event tells of a change.
func (f *File) wait(most time.Duration) time.Duration {
	if f.own.fault() != nil {
		return min(most, checkInterval)
	}
	return most
}

// look loads the file if it has changed. It returns the time until the next look.
func (f *File) look() time.Duration {
	stamp, err := f.own.look()
	switch {
	case files.IsGone(err):
		f.health.set(err)
		return f.vanish()
	case err != nil:
		f.health.set(err)
		f.target.Report(err)
		return rest
	}
	if f.gone {
		f.target.Back()
	}
	f.missing, f.gone = time.Time{}, false
	if !f.hasChanged(stamp) {
		f.unsettled = time.Time{}
		f.health.set(f.readFault)
		if !f.confirmed {
			return checkInterval
		}
		return rest
	}
	if !f.settled(stamp) {
		return lookAgain
	}
	err = f.load(stamp)
	f.health.set(f.readFault)
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
	return rest
}

// hasChanged tells whether the file differs from the one that was loaded. A change within the same
// tick of the file system's clock as the first load does not change the stamp. So the content is
// compared as well, until that tick is over.
func (f *File) hasChanged(stamp files.Stamp) bool {
	if !f.confirmed && !f.stale && stamp == f.stamp {
		f.stale = !f.sameContent()
	}
	f.confirmed = f.confirmed || time.Since(f.loaded) >= settlePeriod
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
	case !stamp.SameFile(before):
		return true
	case !f.sameContent():
		f.readFirst = now
		return false
	default:
		return now.Sub(f.readFirst) >= period
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

// chunkSize is how many bytes are hashed without a pause.
const chunkSize = 64 << 10

func (f *File) digestOf(data []byte) (sum digest) {
	hash := sha256.New()
	hash.Write(f.salt[:])
	for chunk := range slices.Chunk(data, chunkSize) {
		pause.Now()
		hash.Write(chunk)
	}
	hash.Sum(sum[:0])
	return sum
}

// vanish counts how long the file has been missing. Somebody may be replacing it in two steps. It
// returns the time until the next look.
func (f *File) vanish() time.Duration {
	now := time.Now()
	if f.missing.IsZero() {
		f.missing = now
	}
	if left := missingPeriod - now.Sub(f.missing); left > 0 {
		return left
	}
	if !f.gone {
		f.gone = true
		f.stamp, f.stale = files.Stamp{}, false
		f.target.Gone()
	}
	return rest
}

// loadFirst loads the file for the first time. It waits a moment for a file that is being written.
func (f *File) loadFirst() error {
	for deadline := time.Now().Add(settleLimit); ; time.Sleep(lookAgain) {
		stamp, err := files.StampOf(f.path)
		if err != nil {
			return err
		}
		if err = f.load(stamp); !errors.Is(err, errUnsettled) || time.Now().After(deadline) {
			f.loaded = time.Now()
			return err
		}
	}
}

// load reads the file and has the target load the content. The file must have the stamp want before
// and after it is read. Otherwise load returns errUnsettled.
func (f *File) load(want files.Stamp) error {
	data, stamp, err := files.Read(f.path, f.limit, nil)
	f.readFault = err
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
