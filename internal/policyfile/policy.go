// Package policyfile reads policies: one file in ZPL (RFC 4) that says for each domain who may come
// in, and for the proxy which frontends stand before which services. It puts nothing in force.
package policyfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/zmqauth/zmqauth/internal/acl"
	"github.com/zmqauth/zmqauth/internal/files"
	"github.com/zmqauth/zmqauth/internal/zpl"
)

// Policy is what a file says. It never changes. The zero value is the policy of an empty file.
type Policy struct {
	File      string     // as it was given
	Domains   []Domain   // in the file's order
	Frontends []Frontend // in the file's order

	dir string // that relative paths start from, absolute
}

// Domain is one domain entry of a policy.
type Domain struct {
	Name      string
	Line      int
	Kind      acl.Kind // of the addresses
	Addresses []Entry
	Plain     *Entry  // the password file, nil: none
	Curve     *Entry  // the directory of certificates, or AnyKey; nil: none
	GSSAPI    []Entry // the principals
}

// Entry is a value, or one of a list of values, and the line where it stands.
type Entry struct {
	Text string
	Line int
}

// AnyDomain is the domain that serves those without an entry of their own.
const AnyDomain = "*"

// AnyKey, as the directory of certificates, is every key.
const AnyKey = "*"

// AnyPrincipal, among the principals, is every principal.
const AnyPrincipal = "*"

// MaxDomain is how long a domain may be, in bytes: libzmq's limit.
const MaxDomain = 255

// The names of a policy's entries.
const (
	EntryDomain   = "domain"
	EntryFrontend = "frontend"

	EntryAllow  = "allow"
	EntryDeny   = "deny"
	EntryPlain  = "plain"
	EntryCurve  = "curve"
	EntryGSSAPI = "gssapi"
)

// Error is what is wrong with a line of a policy, or with the whole file.
type Error struct {
	File string
	Line int // from 1; 0: the file as a whole
	Err  error
}

// Error is "FILE:LINE: what", without ":LINE" where the fault is no line's.
func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err)
}

// Unwrap is Err.
func (e *Error) Unwrap() error { return e.Err }

// Read is the text of a policy that may be trusted. The error is an *Error.
func Read(file string) ([]byte, error) {
	text, stamp, err := files.Read(file, zpl.MaxSize, nil)
	if err == nil {
		err = stamp.Check(file)
	}
	if err != nil {
		return nil, &Error{File: file, Err: files.Bare(err)}
	}
	return text, nil
}

// Parse reads a policy from its text. Relative paths in it start from the file's directory. No
// other file is looked at. The error joins (see errors.Join) an *Error for each thing that is
// wrong. A text that is no ZPL ends at its first error.
func Parse(file string, text []byte) (*Policy, error) {
	absolute, err := filepath.Abs(file) // the working directory may change
	if err != nil {
		return nil, &Error{File: file, Err: files.Bare(err)}
	}
	return parse(file, filepath.Dir(absolute), text)
}

// CheckFiles tells whether the files and directories that domains name can be read. What is in them
// is their user's to read, as are the files of frontends. The error joins an *Error for each.
func (p *Policy) CheckFiles() error {
	var errs []error
	for i := range p.Domains {
		domain := &p.Domains[i]
		if entry := domain.Plain; entry != nil {
			if err := checkReadable(p.Resolve(entry.Text), false); err != nil {
				errs = append(errs, p.blame(EntryPlain, entry, err))
			}
		}
		if entry := domain.Curve; entry != nil && entry.Text != AnyKey {
			if err := checkReadable(p.Resolve(entry.Text), true); err != nil {
				errs = append(errs, p.blame(EntryCurve, entry, err))
			}
		}
	}
	return errors.Join(errs...)
}

func (p *Policy) blame(name string, entry *Entry, err error) error {
	return &Error{File: p.File, Line: entry.Line,
		Err: fmt.Errorf("%s: %s: %w", name, p.Resolve(entry.Text), files.Bare(err))}
}

// Resolve is the path that a value means.
func (p *Policy) Resolve(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(p.dir, path)
}

// Domain is the entry of exactly that name, nil where there is none.
func (p *Policy) Domain(name string) *Domain {
	at := slices.IndexFunc(p.Domains, func(d Domain) bool { return d.Name == name })
	if at < 0 {
		return nil
	}
	return &p.Domains[at]
}

// Texts are the values of entries.
func Texts(entries []Entry) []string {
	out := make([]string, len(entries))
	for i, entry := range entries {
		out[i] = entry.Text
	}
	return out
}

// splitList takes a list apart.
func splitList(value string) []string {
	return strings.FieldsFunc(value, func(c rune) bool { return c == ' ' || c == '\t' || c == ',' })
}

// checkReadable opens what is to be a regular file or a directory.
func checkReadable(path string, directory bool) error {
	file, err := os.OpenFile(path, openWithoutWaiting, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	switch {
	case err != nil:
		return err
	case directory && !info.IsDir():
		return errNotDirectory
	case !directory && !info.Mode().IsRegular():
		return files.ErrNotRegular
	}
	return nil
}
