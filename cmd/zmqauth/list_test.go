package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/enrol"
	"github.com/zmqauth/zmqauth/internal/must"
)

// TestListShowsWhatServersRead: list shows the public certificates that LoadCertificates reads, and
// reports problems of the files about which LoadCertificates returns errors.
func TestListShowsWhatServersRead(t *testing.T) {
	dir := t.TempDir()
	identity(t, dir, "ann")
	identity(t, dir, "bob")
	for _, name := range []string{
		"broken", "broken.key", ".hidden", "backup~", "#lock#", "#begun", "end#", "no_secret",
		"x.key~",
	} {
		must.OK(t, os.WriteFile(filepath.Join(dir, name), []byte("broken"), 0o600))
	}
	must.OK(t, os.Mkdir(filepath.Join(dir, "directory"), 0o700))
	must.OK(t, os.Symlink("directory", filepath.Join(dir, "link")))
	must.OK(t, os.Symlink("ann.key", filepath.Join(dir, "alias.key")))
	must.OK(t, os.Symlink("nowhere", filepath.Join(dir, "dangling.key")))
	good, err := zmqauth.LoadCertificates(dir)
	broken := make(map[string]bool)
	for _, err := range err.(interface{ Unwrap() []error }).Unwrap() {
		var fileErr *zmqauth.FileError
		if errors.As(err, &fileErr) {
			broken[filepath.Base(fileErr.File)] = true
		}
	}
	listed, err := readDirectory(dir)
	must.OK(t, err)
	for _, c := range listed {
		if c.Kind != kindPublic {
			continue
		}
		if c.Key == "" {
			if !broken[c.File] {
				t.Errorf("only list finds %s broken: %v", c.File, c.Problems)
			}
			delete(broken, c.File)
			continue
		}
		key, err := zmqauth.ParsePublicKey(c.Key)
		must.OK(t, err)
		if good[key] == nil {
			t.Errorf("only list finds %s good", c.File)
		}
	}
	if len(good) != 2 || len(broken) != 0 {
		t.Errorf("%d good ones, not listed: %v", len(good), broken)
	}
}

// TestFingerprint: a fingerprint is the hash of the key's raw bytes in the form of ssh-keygen.
func TestFingerprint(t *testing.T) {
	key := zmqauth.PublicKey([]byte("0123456789abcdef0123456789ABCDEF"))
	const want = "SHA256:8CrjgGBsSNYiiFYMCf0K+ig0B+af2YmOA0hpMhdAqr8"
	if got := enrol.Fingerprint(key); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestProblem: a problem has neither the library's prefix nor the name of the file.
func TestProblem(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{
		{errors.New("it has ended"), "it has ended"},
		{zmqauth.CurveServer(nil, "a", nil), "CurveServer: the certificate has no secret key"},
		{&zmqauth.FileError{File: "f", Err: fs.ErrNotExist}, "file does not exist"},
		{&zmqauth.FileError{File: "f", Line: 3, Err: fs.ErrNotExist}, "line 3: file does not exist"},
	} {
		if got := problem(test.err); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}
