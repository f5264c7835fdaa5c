package zmqauth

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/zmqauth/zmqauth/internal/passhash"
)

// Limits of a password file.
const (
	maxPasswordLine  = 1024    // bytes: twice what a name and a password take
	maxPasswordUsers = 1 << 20 // whose names and passwords are short
	maxBrokenLines   = 100     // that are reported one by one: a file with more is something else altogether
)

// ConfigurePlainFile lets in the users of a domain that are in a file, one a line: name=password, or name:HASH as
// htpasswd -B writes it; the first = or : splits, and after a : only a hash is valid (see [Authenticator.ConfigurePlain]
// for hashes). A line that begins with # is a comment; of two lines with one name, the last counts. It replaces what the
// domain had before.
//
// A broken line is logged with file and line, counted in Stats, and left out; of more than 100 the rest is counted alone.
// An error that changes nothing is: a file that cannot be read, that others than the owner can write, or that others can
// read though it holds a password in clear; one that is larger than 64 MiB or holds more than 1,048,576 users, whom a
// callback can look up instead. The file is followed until Close or until something else is configured for the domain:
// what changes in it is in force within a second. A file that has come to be such an error keeps its last good content;
// one that is gone lets nobody in.
func (a *Authenticator) ConfigurePlainFile(domain, path string) error {
	if err := checkDomain(domain); err != nil {
		return err
	}
	if path == "" {
		return fmt.Errorf("zmqauth: domain %q: the file has no name", domain)
	}
	setup, err := a.openPasswordFile(path)
	if err != nil {
		return err
	}
	a.configurePlain(domain, setup)
	go setup.file.run()
	return nil
}

// openPasswordFile is a setup with the table of a file. Put it in force and run what follows the file, or drop it.
func (a *Authenticator) openPasswordFile(path string) (*plainSetup, error) {
	absolute, err := filepath.Abs(path) // the working directory may change
	if err != nil {
		return nil, fileError(path, err)
	}
	f := &passwordFile{a: a, path: absolute, setup: &plainSetup{table: newPasswordTable()}, stopped: make(chan struct{})}
	f.stop = sync.OnceFunc(func() { close(f.stopped) })
	if err := f.loadFirst(); err != nil {
		return nil, err
	}
	select {
	case <-a.watcher.ended:
		return nil, ErrClosed
	default:
	}
	f.setup.file = f
	return f.setup, nil
}

// passwordFile keeps the table of a plainSetup up to date with a file, which it looks at four times a second: for a
// single file that costs less than a watch, and shows every way of replacing it.
type passwordFile struct {
	a       *Authenticator
	path    string
	setup   *plainSetup // its table is guarded by Authenticator.mu
	stopped chan struct{}
	stop    func()

	// The goroutine's own.
	stamp     fileStamp // of what is in force
	confirmed bool      // a change in the tick of the clock in which the file was read first would show in no stamp
	seen      fileStamp // at the last look
	seenFirst time.Time // when it looked so first
	unsettled time.Time // since when it has looked other than what is in force
	content   passwordDigest
	missing   int
	problems  []string // that have been reported
}

const (
	lookAgain = 50 * time.Millisecond // at a file that has changed
	// A file that has not changed for settlePeriod is taken to be complete. One that has become smaller may have been
	// truncated by a writer that is still busy, and gets shrinkPeriod.
	settlePeriod = 100 * time.Millisecond
	shrinkPeriod = 500 * time.Millisecond
	settleLimit  = 500 * time.Millisecond // of waiting for a file that is replaced by another all the time
)

func (f *passwordFile) run() {
	look := time.NewTimer(checkInterval)
	defer look.Stop()
	for {
		select {
		case <-f.stopped:
			return
		case <-f.a.watcher.ended:
			return
		case <-look.C:
			look.Reset(f.look())
		}
	}
}

// look takes over the file if it has changed, and returns when to look again.
func (f *passwordFile) look() time.Duration {
	stamp, err := stampOf(f.path)
	switch {
	case isGone(err):
		f.vanish()
		return checkInterval
	case err != nil:
		f.report([]error{fileError(f.path, err)})
		return checkInterval
	}
	if f.missing >= missingChecks {
		f.a.say(func(log *slog.Logger) { log.Info("zmqauth: a password file is back", "file", f.path) })
	}
	f.missing = 0
	if !f.confirmed && stamp == f.stamp && !f.sameContent() {
		f.stamp = fileStamp{size: stamp.size}
	}
	f.confirmed = true
	if stamp == f.stamp {
		f.unsettled = time.Time{}
		return checkInterval
	}
	if !f.settled(stamp) {
		return lookAgain
	}
	err = f.load(stamp)
	if errors.Is(err, errUnsettled) || isTransient(err) {
		if isTransient(err) {
			f.report([]error{err})
		}
		return lookAgain
	}
	if err != nil {
		f.report([]error{err})
		f.stamp = stamp // it stays what it is until it changes
	}
	f.unsettled = time.Time{}
	return checkInterval
}

// errUnsettled says that the file has changed while it was read.
var errUnsettled = errors.New("the file has changed meanwhile")

// settled tells whether the file is complete: it has not changed for long enough; or it has long been replaced by another
// file all the time, of which each is complete; or touched all the time, without another content.
func (f *passwordFile) settled(stamp fileStamp) bool {
	now, before := time.Now(), f.seen
	if f.unsettled.IsZero() {
		f.unsettled = now
	}
	if stamp != before {
		f.seen, f.seenFirst = stamp, now
	}
	period := settlePeriod
	if stamp.size < f.stamp.size {
		period = shrinkPeriod
	}
	switch {
	case now.Sub(f.seenFirst) >= period:
		return true
	case now.Sub(f.unsettled) < settleLimit:
		return false
	default:
		return stamp.inode != before.inode || f.sameContent()
	}
}

// sameContent tells whether the file holds what it did at the last look, though somebody touches it all the time.
func (f *passwordFile) sameContent() bool {
	data, _, err := readRegular(f.path, passhash.MaxFileSize, nil)
	if err != nil {
		return false
	}
	before := f.content
	f.content = f.a.digest(data)
	clear(data)
	return before == f.content
}

// vanish puts everybody out when the file has been gone for more than a moment.
func (f *passwordFile) vanish() {
	f.missing++
	if f.missing != missingChecks {
		return
	}
	f.a.say(func(log *slog.Logger) {
		log.Warn("zmqauth: a password file is gone, and nobody in it gets in until it comes back", "file", f.path)
	})
	f.stamp, f.problems = fileStamp{}, nil
	f.replace(newPasswordTable())
}

// loadFirst is load for a file that nothing is known of yet: where it is being written it waits, for a moment.
func (f *passwordFile) loadFirst() error {
	for deadline := time.Now().Add(settleLimit); ; time.Sleep(lookAgain) {
		stamp, err := stampOf(f.path)
		if err != nil {
			return fileError(f.path, err)
		}
		if err = f.load(stamp); !errors.Is(err, errUnsettled) || time.Now().After(deadline) {
			return err
		}
	}
}

// load reads the file and puts what it holds in force, if it is what it was said to be before it is read and after.
func (f *passwordFile) load(want fileStamp) error {
	data, stamp, err := readRegular(f.path, passhash.MaxFileSize, nil)
	if err != nil {
		return fileError(f.path, err)
	}
	defer clear(data)
	if after, err := stampOf(f.path); err != nil || stamp != want || after != want {
		return &FileError{File: f.path, Err: errUnsettled}
	}
	table, problems, err := parsePasswords(f.a, f.path, data, stamp, maxPasswordUsers)
	if err != nil {
		return err
	}
	f.stamp, f.content = stamp, f.a.digest(data)
	f.replace(table)
	f.report(problems)
	return nil
}

// replace swaps the table. Entries that are the same keep what was remembered of them.
func (f *passwordFile) replace(table *passwordTable) {
	table.keep(f.setup.table) // only this goroutine replaces it, so that reading it takes no lock
	f.a.mu.Lock()
	defer f.a.mu.Unlock()
	f.setup.table = table
}

// report logs and counts the problems that have not been reported before.
func (f *passwordFile) report(problems []error) {
	var texts []string
	for _, problem := range problems {
		texts = append(texts, problem.Error())
		if !slices.Contains(f.problems, problem.Error()) {
			f.a.counters.broken.Add(brokenEntries(problem))
			f.a.say(func(log *slog.Logger) { log.Warn("zmqauth: a password file", "error", problem) })
		}
	}
	f.problems = texts
}

// moreBroken is how many lines are broken besides those that are reported one by one.
type moreBroken uint64

func (m moreBroken) Error() string {
	return fmt.Sprintf("this line and %d more after it are broken, too", uint64(m)-1)
}

// brokenEntries is how many broken lines a problem stands for.
func brokenEntries(problem error) uint64 {
	var more moreBroken
	if errors.As(problem, &more) {
		return uint64(more)
	}
	return 1
}

// parsePasswords reads the lines of a password file. problems are the broken ones; err is that the file must not be used
// at all.
func parsePasswords(a *Authenticator, file string, data []byte, stamp fileStamp, maxUsers int) (table *passwordTable, problems []error, err error) {
	const othersWrite, othersRead = 0o022, 0o044
	if stamp.mode&othersWrite != 0 {
		return nil, nil, &FileError{File: file, Err: fmt.Errorf("others than the owner can write it (mode %04o): chmod go-w %s", stamp.mode, file)}
	}
	table = newPasswordTable()
	var more moreBroken
	number, clearAt, moreAt := 0, 0, 0
	for line := range bytes.Lines(data) {
		number++
		isClear, err := table.addLine(a, line)
		switch {
		case len(table.users) > maxUsers:
			return nil, nil, &FileError{File: file, Line: number, Err: fmt.Errorf(
				"more than %d users; a callback can look users up wherever they are (ConfigurePlainCallback)", maxUsers)}
		case err != nil && len(problems) < maxBrokenLines:
			problems = append(problems, &FileError{File: file, Line: number, Err: err})
		case err != nil:
			if more++; more == 1 {
				moreAt = number
			}
		}
		if isClear && clearAt == 0 {
			clearAt = number
		}
	}
	if more > 0 {
		problems = append(problems, &FileError{File: file, Line: moreAt, Err: more})
	}
	if clearAt != 0 && stamp.mode&othersRead != 0 {
		return nil, nil, &FileError{File: file, Line: clearAt, Err: fmt.Errorf(
			"a password in clear in a file that others than the owner can read (mode %04o): chmod 600 %s", stamp.mode, file)}
	}
	return table, problems, nil
}

// addLine adds the user of a line, if it has one; isClear tells that it holds a password in clear.
func (t *passwordTable) addLine(a *Authenticator, line []byte) (isClear bool, err error) {
	switch {
	case len(line) > maxPasswordLine:
		return false, fmt.Errorf("longer than %d bytes", maxPasswordLine)
	case passhash.IsBlank(line):
		return false, nil
	}
	name, password, separator, ok := passhash.SplitLine(string(line))
	if !ok {
		return true, errors.New("neither name=password nor name:hash") // it may be a password all the same
	}
	_, recognised, _ := passhash.Parse(password)
	if separator == ':' && !recognised {
		return true, errors.New("after a : only a bcrypt or argon2id hash is valid")
	}
	return !recognised, t.add(a, name, password)
}
