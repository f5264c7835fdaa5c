package zmqauth

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"

	"github.com/zmqauth/zmqauth/internal/files"
	"github.com/zmqauth/zmqauth/internal/follow"
	"github.com/zmqauth/zmqauth/internal/passhash"
	"github.com/zmqauth/zmqauth/internal/passwd"
)

// ConfigurePlainFile lets in the users of a domain that are in a file, one a line: name=password,
// or name:HASH as htpasswd -B writes it. The first = or : splits the line. After a : only a hash is
// valid (see [Authenticator.ConfigurePlain]); what follows another : is passed over. A line that
// begins with # is a comment. Of two lines with one name the last counts. If the last is broken,
// the user is out. ConfigurePlainFile replaces what the domain had before.
//
// A broken line lets nobody in. It is logged with file and line, and counted in Stats. Of more than
// 100 broken lines the rest is counted alone.
//
// A file that cannot be used is an error that changes nothing. It cannot be read or trusted (see
// [LoadCertificate] for the rule; a password in clear is a secret, a hash is none), is larger than
// 64 MiB, or holds more than 1,048,576 users, whom a callback can look up instead.
//
// The file is followed until Close, or until something else is configured for the domain. A change
// in it is in force within a second. A file that can no longer be used keeps its last good content.
// A file that is gone lets nobody in.
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
	if err := a.configurePlain(domain, setup); err != nil {
		setup.file.Stop()
		return err
	}
	setup.file.Start()
	return nil
}

// openPasswordFile is a setup with the table of a file. The caller puts the setup in force and
// starts the file, or stops the file.
func (a *Authenticator) openPasswordFile(path string) (*plainSetup, error) {
	absolute, err := filepath.Abs(path) // the working directory may change
	if err != nil {
		return nil, fileError(path, err)
	}
	f := &passwordFile{a: a, path: absolute, users: new(Credentials),
		source: a.newSource("password file", absolute)}
	file, err := a.watcher.FollowFile(absolute, passhash.MaxFileSize, f)
	if err != nil {
		return nil, followError(absolute, err)
	}
	f.source.Follows(file.Failing)
	return &plainSetup{credentials: f.users, file: file, source: f.source}, nil
}

// passwordFile keeps the users of a plainSetup up to date with a file.
type passwordFile struct {
	a        *Authenticator
	path     string
	users    *Credentials
	source   *follow.Source
	problems []string // that have been reported
}

// Load implements follow.FileTarget.
func (f *passwordFile) Load(data []byte, stamp files.Stamp) error {
	users, problems, err := parsePasswords(f.path, data, stamp, passwd.MaxUsers)
	if err != nil {
		f.source.Refuse(followError(f.path, err))
		return err
	}
	f.source.Accept()
	f.replace(passwd.NewTable(len(users), maps.All(users)))
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
	f.source.Accept()
	f.replace(passwd.None[*credential]())
}

// Back implements follow.FileTarget.
func (f *passwordFile) Back() {
	f.a.say(func(log *slog.Logger) { log.Info("zmqauth: a password file is back", "file", f.path) })
}

// Report implements follow.FileTarget. Whoever watches the sources logs the error.
func (f *passwordFile) Report(err error) {
	problem := followError(f.path, err)
	if !slices.Contains(f.problems, problem.Error()) {
		f.a.counters.broken.Add(1)
	}
	f.problems = []string{problem.Error()}
}

// replace puts other users in force. What is remembered of a user's hash is kept, if the hash is
// the same.
func (f *passwordFile) replace(users passwd.Table[*credential]) {
	users.Keep(f.users.set().users)
	f.users.now.Store(&credentialSet{users: users}) // nobody else changes them
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

// brokenEntries is how many broken lines a problem stands for.
func brokenEntries(problem error) uint64 {
	if more, ok := errors.AsType[*moreBroken](problem); ok {
		return uint64(more.lines)
	}
	return 1
}

// moreBroken is an error that stands for several lines.
type moreBroken struct {
	error
	lines int
}

// parsePasswords reads the lines of a password file. problems are the broken lines. err says that
// the file must not be used at all.
func parsePasswords(file string, data []byte, stamp files.Stamp, maxUsers int) (
	users map[string]*passwd.User[*credential], problems []error, err error) {
	if err := stamp.Check(file); err != nil {
		return nil, nil, &FileError{File: file, Err: err}
	}
	users, broken, clearAt, err := passwd.ParseFile[*credential](data, maxUsers, nil)
	if many, ok := errors.AsType[*passwd.TooManyError](err); ok {
		err = fmt.Errorf("%w; a callback can look users up wherever they are "+
			"(ConfigurePlainCallback)", err)
		return nil, nil, &FileError{File: file, Line: many.Line, Err: err}
	}
	if clearAt != 0 {
		if err := stamp.CheckSecret(file); err != nil {
			err = fmt.Errorf("a password in clear: %w", err)
			return nil, nil, &FileError{File: file, Line: clearAt, Err: err}
		}
	}
	for _, p := range broken {
		if p.More > 0 {
			p.Err = &moreBroken{p.Err, 1 + p.More}
		}
		problems = append(problems, &FileError{File: file, Line: p.Line, Err: p.Err})
	}
	return users, problems, nil
}
