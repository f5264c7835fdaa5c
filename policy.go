package zmqauth

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/zmqauth/zmqauth/internal/files"
)

// Policy is a whole configuration from one file: for each domain its address rules, passwords, keys
// and principals, and besides them the frontends of cmd/zmqauth's proxy. Make one with [LoadPolicy]
// and put it in force with [Authenticator.Apply]. It never changes, and may be applied any number
// of times, by several Authenticators too. The zero value is the policy of an empty file.
type Policy struct {
	file      string // as it was given
	dir       string // that relative paths start from, absolute
	domains   []policyDomain
	frontends []Frontend
}

// policyDomain is one domain entry of a policy.
type policyDomain struct {
	name      string
	line      int
	kind      listKind
	addresses []policyEntry // of that kind
	plain     *policyEntry  // the password file, nil: none
	curve     *policyEntry  // the directory of certificates, or CurveAllowAny; nil: none
	gssapi    []policyEntry // the principals
}

// policyEntry is a value, or one of a list of values, and where it stands.
type policyEntry struct {
	text string
	line int
}

// LoadPolicy reads a policy from a file in ZPL (RFC 4):
//
//	domain = "*"
//	    allow = 10.0.0.0/8 127.0.0.1
//	    plain = passwords
//	    curve = certificates
//	    gssapi = "*@EXAMPLE.ORG"
//	domain = admin
//	    allow = 10.1.0.0/16
//	    curve = admins
//
// Each domain stands there once. Of allow and deny (lists of addresses, see [Authenticator.Allow])
// a domain has one kind; plain is a password file (see [Authenticator.ConfigurePlainFile]), curve a
// directory of certificates or "*" for [CurveAllowAny] (see [Authenticator.ConfigureCurve]), gssapi
// a list of principals (see [Authenticator.ConfigureGSSAPI]). The items of a list are separated by
// blanks or commas, and as a line has at most 4096 bytes, allow, deny and gssapi may be repeated.
// Paths are relative to the policy's directory. The addresses of the domain "*" are the general
// rules, which hold for every domain besides its own; its other entries serve the domains that have
// none of their own ([AnyDomain]). A mechanism that is not mentioned is as it is without any
// configuration. For what else the file may hold see [Frontend].
//
// The error joins (see errors.Join) one *FileError with the line for each thing that is wrong:
// names that are unknown or repeated, values that are missing or bad, password files and
// directories that cannot be read. A text that is no ZPL ends at its first error. A policy that
// cannot be trusted (see [LoadCertificate] for the rule) is refused. What is in the files that it
// names is read by [Authenticator.Apply]. The files of frontends are their user's to read.
func LoadPolicy(path string) (*Policy, error) {
	data, stamp, err := files.Read(path, maxZPLSize, nil)
	if err == nil {
		err = stamp.Check(path)
	}
	if err != nil {
		return nil, fileError(path, err)
	}
	absolute, err := filepath.Abs(path) // the working directory may change
	if err != nil {
		return nil, fileError(path, err)
	}
	p, err := parsePolicy(path, filepath.Dir(absolute), data)
	if err != nil {
		return nil, err
	}
	if err := p.checkFiles(); err != nil {
		return nil, err
	}
	return p, nil
}

// checkFiles tells whether the files and directories that domains name can be read.
func (p *Policy) checkFiles() error {
	var errs []error
	for _, domain := range p.domains {
		if domain.plain != nil {
			if err := checkReadable(p.resolve(domain.plain.text), false); err != nil {
				errs = append(errs, p.blame(policyPlain, domain.plain, err))
			}
		}
		if domain.curve != nil && domain.curve.text != CurveAllowAny {
			if err := checkReadable(p.resolve(domain.curve.text), true); err != nil {
				errs = append(errs, p.blame(policyCurve, domain.curve, err))
			}
		}
	}
	return errors.Join(errs...)
}

// checkReadable opens what is to be a regular file or a directory.
func checkReadable(path string, directory bool) error {
	// Without waiting, as for a FIFO.
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return fileError(path, err)
	}
	defer file.Close()
	info, err := file.Stat()
	switch {
	case err != nil:
		return fileError(path, err)
	case directory && !info.IsDir():
		return fileError(path, unix.ENOTDIR)
	case !directory && !info.Mode().IsRegular():
		return fileError(path, files.ErrNotRegular)
	}
	return nil
}

// resolve is the path that a value means.
func (p *Policy) resolve(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(p.dir, path)
}

// blame turns an error about what an entry names into one about the policy's line.
func (p *Policy) blame(name string, entry *policyEntry, err error) *FileError {
	var inner *FileError
	if errors.As(err, &inner) {
		at := inner.File
		if inner.Line != 0 {
			at = fmt.Sprintf("%s:%d", at, inner.Line)
		}
		err = fmt.Errorf("%s: %w", at, inner.Err)
	}
	return &FileError{File: p.file, Line: entry.line, Err: fmt.Errorf("%s: %w", name, err)}
}

// Frontends are the frontends in the file's order. The slice is the caller's.
func (p *Policy) Frontends() []Frontend { return slices.Clone(p.frontends) }

// Domains are the names of the domains in the file's order, "*" included. The slice is the
// caller's.
func (p *Policy) Domains() []string {
	var names []string
	for _, domain := range p.domains {
		names = append(names, domain.name)
	}
	return names
}

// domain is the entry of exactly that name, nil where there is none.
func (p *Policy) domain(name string) *policyDomain {
	for i := range p.domains {
		if p.domains[i].name == name {
			return &p.domains[i]
		}
	}
	return nil
}

// splitPolicyList takes a list apart.
func splitPolicyList(value string) []string {
	return strings.FieldsFunc(value, func(c rune) bool { return c == ' ' || c == '\t' || c == ',' })
}
