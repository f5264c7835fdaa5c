package zmqauth

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"

	"github.com/zmqauth/zmqauth/internal/passhash"

	"github.com/zmqauth/zmqauth/internal/files"
)

// Limits of a password file.
const (
	maxPasswordLine  = 1024    // bytes: twice what a name and a password take
	maxPasswordUsers = 1 << 20 // whose names and passwords are short
	maxBrokenLines   = 100     // that are reported one by one: a file with more is something else
)

// ConfigurePlainFile lets in the users of a domain that are in a file, one a line: name=password,
// or name:HASH as htpasswd -B writes it; the first = or : splits, and after a : only a hash is
// valid (see [Authenticator.ConfigurePlain] for hashes). A line that begins with # is a comment; of
// two lines with one name, the last counts. It replaces what the domain had before.
//
// A broken line is logged with file and line, counted in Stats, and left out; of more than 100 the
// rest is counted alone. An error that changes nothing is: a file that cannot be read; one that
// cannot be trusted (see [LoadCertificate] for the rule; a password in clear is a secret, a hash is
// none); one that is larger than 64 MiB or holds more than 1,048,576 users, whom a callback can
// look up instead. The file is followed until Close or until something else is configured for the
// domain: what changes in it is in force within a second. A file that has come to be such an error
// keeps its last good content; one that is gone lets nobody in.
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
	setup.file.Start()
	return nil
}

// openPasswordFile is a setup with the table of a file. Put it in force and start to follow the
// file, or drop it.
func (a *Authenticator) openPasswordFile(path string) (*plainSetup, error) {
	absolute, err := filepath.Abs(path) // the working directory may change
	if err != nil {
		return nil, fileError(path, err)
	}
	f := &passwordFile{a: a, path: absolute, setup: &plainSetup{table: newPasswordTable()}}
	f.setup.file, err = a.watcher.FollowFile(absolute, passhash.MaxFileSize, f)
	if err != nil {
		return nil, followError(absolute, err)
	}
	return f.setup, nil
}

// passwordFile keeps the table of a plainSetup up to date with a file.
type passwordFile struct {
	a        *Authenticator
	path     string
	setup    *plainSetup // its table is guarded by Authenticator.mu
	problems []string    // that have been reported
}

// Load implements follow.FileTarget.
func (f *passwordFile) Load(data []byte, stamp files.Stamp) error {
	table, problems, err := parsePasswords(f.a, f.path, data, stamp, maxPasswordUsers)
	if err != nil {
		return err
	}
	f.replace(table)
	f.report(problems)
	return nil
}

// Gone implements follow.FileTarget: it puts everybody out.
func (f *passwordFile) Gone() {
	f.a.say(func(log *slog.Logger) {
		log.Warn("zmqauth: a password file is gone, and nobody in it gets in until it comes back",
			"file", f.path)
	})
	f.problems = nil
	f.replace(newPasswordTable())
}

// Back implements follow.FileTarget.
func (f *passwordFile) Back() {
	f.a.say(func(log *slog.Logger) { log.Info("zmqauth: a password file is back", "file", f.path) })
}

// Report implements follow.FileTarget.
func (f *passwordFile) Report(err error) { f.report([]error{followError(f.path, err)}) }

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

// parsePasswords reads the lines of a password file. problems are the broken ones; err is that the
// file must not be used at all.
func parsePasswords(
	a *Authenticator, file string, data []byte, stamp files.Stamp, maxUsers int,
) (table *passwordTable, problems []error, err error) {
	if err := stamp.Check(file); err != nil {
		return nil, nil, &FileError{File: file, Err: err}
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
				"more than %d users; a callback can look users up wherever they are "+
					"(ConfigurePlainCallback)", maxUsers)}
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
	if clearAt != 0 {
		if err := stamp.CheckSecret(file); err != nil {
			err = fmt.Errorf("a password in clear: %w", err)
			return nil, nil, &FileError{File: file, Line: clearAt, Err: err}
		}
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
		// It may be a password all the same.
		return true, errors.New("neither name=password nor name:hash")
	}
	_, recognised, _ := passhash.Parse(password)
	if separator == ':' && !recognised {
		return true, errors.New("after a : only a bcrypt or argon2id hash is valid")
	}
	return !recognised, t.add(a, name, password)
}
