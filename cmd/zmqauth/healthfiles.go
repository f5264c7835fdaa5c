package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/zmqauth/zmqauth/internal/files"
	"github.com/zmqauth/zmqauth/internal/policyfile"
	"github.com/zmqauth/zmqauth/internal/proxy"
)

// fileHealth says whether a file or directory that a policy names can be read and trusted.
type fileHealth struct {
	Entry   string `json:"entry"` // "plain", "curve", "fleet" or "certificate"
	Line    int    `json:"line"`  // of the policy
	Path    string `json:"path"`
	Healthy bool   `json:"healthy"`
	Error   string `json:"error,omitempty"`
}

const entryCertificate = "certificate"

// namedFiles returns the files and directories that a policy names, without looking at them.
func namedFiles(policy *policyfile.Policy) (named []fileHealth) {
	add := func(name string, entry *policyfile.Entry) {
		if entry != nil && (name != policyfile.EntryCurve || entry.Text != policyfile.AnyKey) {
			path := policy.Resolve(entry.Text)
			named = append(named, fileHealth{Entry: name, Line: entry.Line, Path: path})
		}
	}
	for _, domain := range policy.Domains {
		add(policyfile.EntryPlain, domain.Plain)
		add(policyfile.EntryCurve, domain.Curve)
	}
	add(policyfile.EntryFleet, policy.Fleet)
	for _, f := range policy.Frontends {
		if f.Certificate != "" {
			named = append(named, fileHealth{Entry: entryCertificate, Line: f.Line, Path: f.Certificate})
		}
	}
	return named
}

// check looks at the file, and notes and returns what is wrong with it.
func (f *fileHealth) check() (err error) {
	switch f.Entry {
	case policyfile.EntryPlain:
		err = checkPasswordFile(f.Path)
	case policyfile.EntryCurve:
		err = checkCertificates(f.Path)
	case policyfile.EntryFleet:
		_, err = proxy.LoadMember(f.Path)
	default:
		_, err = proxy.LoadSecret(f.Path)
	}
	if f.Healthy = err == nil; !f.Healthy {
		f.Error = strings.TrimPrefix(strings.TrimPrefix(err.Error(), prefix), f.Path+": ")
	}
	return err
}

// checkPasswordFile checks that a server of this user would use a password file.
func checkPasswordFile(path string) error {
	f, err := loadPasswords(path)
	if err != nil {
		return err
	}
	clear(f.content)
	return f.refused
}

// checkCertificates checks that a server of this user would use a directory of certificates. It
// does not look at the certificates.
func checkCertificates(path string) error {
	dir, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return fmt.Errorf("%s: %w", path, files.Bare(err))
	}
	defer dir.Close()
	if _, err := dir.ReadDir(1); err != nil && err != io.EOF {
		return fmt.Errorf("%s: %w", path, files.Bare(err))
	}
	// What is in a directory can be read only with the permission to search the directory.
	if _, err := files.StampOf(path + "/."); err != nil {
		return fmt.Errorf("%s: searching it: %w", path, err)
	}
	if err := checkTrust(path); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
