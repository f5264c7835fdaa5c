package policyfile

import (
	"errors"
	"fmt"
	"os"

	"github.com/zmqauth/zmqauth/internal/files"
)

// CheckFiles checks that the files and directories that the domains name can be opened. It does not
// check their content, nor the certificates of the frontends. The error joins an *Error for each
// path.
func (p *Policy) CheckFiles() error {
	var errs []error
	for i := range p.Domains {
		domain := &p.Domains[i]
		if entry := domain.Plain; entry != nil {
			if err := checkReadable(p.Resolve(entry.Text), false); err != nil {
				errs = append(errs, p.fileError(EntryPlain, entry, err))
			}
		}
		if entry := domain.Curve; entry != nil && entry.Text != AnyKey {
			if err := checkReadable(p.Resolve(entry.Text), true); err != nil {
				errs = append(errs, p.fileError(EntryCurve, entry, err))
			}
		}
	}
	return errors.Join(errs...)
}

// fileError adds the line and the path of an entry to an error.
func (p *Policy) fileError(name string, entry *Entry, err error) error {
	return &Error{File: p.File, Line: entry.Line,
		Err: fmt.Errorf("%s: %s: %w", name, p.Resolve(entry.Text), files.Bare(err))}
}

// checkReadable checks that a path can be opened and leads to a directory, or else to a regular
// file.
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
