package stream

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"syscall"
	"time"

	"github.com/zmqauth/zmqauth/internal/files"
	"github.com/zmqauth/zmqauth/internal/reminder"
)

// maxFileSize is the largest certificate, key or CA file in bytes. A system's whole bundle of CAs
// has some 250 KB.
const maxFileSize = 16 << 20

// sourceFile is one file that something is read from.
type sourceFile struct {
	name   string
	limit  int  // of its size in bytes
	secret bool // it has a private key
}

// source is what is made of one file, or of a few that belong together. It follows them: the value
// is that of the last content that could be used.
type source[T any] struct {
	what  string // what the files are, for the log
	files []sourceFile
	parse func(content map[string][]byte) (T, error)

	value   T
	loaded  bool // there is a value
	content map[string][]byte
	stamps  map[string]fileStamp // of the last look
	fault   error                // why the files as they are cannot be used; nil: value is of them
	good    time.Time            // the last look that found no fault
	logged  reminder.Condition   // about the fault
}

// fileError adds the file's name to an error.
func fileError(file string, err error) error {
	if errors.Is(err, syscall.EISDIR) {
		err = files.ErrNotRegular
	}
	return fmt.Errorf("stream: %s: %w", file, err)
}

// look reads the files again if they have changed. It reports whether the value is another one now.
// The error says why the files cannot be used, and names one of them.
func (s *source[T]) look(now time.Time) (changed bool, err error) {
	if !s.isCurrent() {
		changed, s.fault = s.read()
	}
	if s.fault == nil {
		s.good = now
	}
	return changed, s.fault
}

// readNow returns what is in the files now.
func readNow[T any](s *source[T]) (T, error) {
	_, err := s.look(time.Now())
	return s.value, err
}

// again has the next look parse the files even if they have not changed.
func (s *source[T]) again() { s.stamps, s.content = nil, nil }

// staleSince returns since when the files cannot be used. The zero time means that they can.
func (s *source[T]) staleSince() time.Time {
	if s.fault == nil {
		return time.Time{}
	}
	return s.good
}

// isCurrent reports whether the files are unchanged since the last look.
func (s *source[T]) isCurrent() bool {
	for _, f := range s.files {
		stamp, ok := s.stamps[f.name]
		if !ok || !stamp.isCurrent(f.name) {
			return false
		}
	}
	return true
}

func (s *source[T]) read() (changed bool, err error) {
	content := make(map[string][]byte)
	s.stamps = make(map[string]fileStamp)
	for _, f := range s.files {
		text, stamp, err := f.read()
		s.stamps[f.name] = stamp
		if err != nil {
			return false, err
		}
		content[f.name] = text
	}
	if s.loaded && s.content != nil && maps.EqualFunc(content, s.content, bytes.Equal) {
		return false, nil
	}
	value, err := s.parse(content)
	if err != nil {
		return false, err
	}
	s.value, s.content, s.loaded = value, content, true
	return true, nil
}

// read returns the content of a file, and its stamp. A file that users other than root and this one
// can write is refused, and so is a private key that others can read.
func (f sourceFile) read() ([]byte, fileStamp, error) {
	text, info, err := files.Read(f.name, f.limit, nil)
	stamp := newFileStamp(info)
	switch {
	case files.IsTransient(err):
		stamp = fileStamp{} // to look again
	case err == nil && f.secret:
		err = info.CheckSecret(f.name)
	case err == nil:
		err = info.Check(f.name)
	}
	if err != nil {
		return nil, stamp, fileError(f.name, err)
	}
	return text, stamp, nil
}

// pair is a certificate with its key.
type pair = source[*tls.Certificate]

// pairSource is a certificate with its key. keyFile "" means that the key is in certFile.
func pairSource(certFile, keyFile string) *pair {
	s := &pair{what: "certificate"}
	s.files = []sourceFile{{certFile, maxFileSize, keyFile == "" || keyFile == certFile}}
	if keyFile != "" && keyFile != certFile {
		s.files = append(s.files, sourceFile{keyFile, maxFileSize, true})
	}
	s.parse = func(content map[string][]byte) (*tls.Certificate, error) {
		return parsePair(certFile, keyFile, content)
	}
	return s
}

// authoritySource is a CA file, for the verification of certificates of one use.
func authoritySource(file string, u use) *source[*authorities] {
	return &source[*authorities]{
		what: "CA", files: []sourceFile{{name: file, limit: maxFileSize}},
		parse: func(content map[string][]byte) (*authorities, error) {
			a, err := parseAuthorities(content[file], u)
			if err != nil {
				return nil, fileError(file, err)
			}
			return a, nil
		},
	}
}

// names returns the names of the files.
func (s *source[T]) names() (names []string) {
	for _, f := range s.files {
		names = append(names, f.name)
	}
	return names
}

// report returns a function that logs a fault of a later look, or that it is mended; nil: there is
// nothing to log now.
func (s *source[T]) report(log *slog.Logger, err error, now time.Time) func() {
	if err == nil {
		if s.logged.Over() {
			return func() { log.Info("stream: TLS files can be used again", "files", s.names()) }
		}
		return nil
	}
	if !s.logged.Due(err.Error(), now, reminder.First) {
		return nil
	}
	good := s.good
	return func() {
		log.Error("stream: "+s.what+" file cannot be used, what was in it stays in force",
			"error", err, "read", good)
	}
}
