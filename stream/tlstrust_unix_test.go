//go:build unix

package stream

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// trustee is the files of a server or client. A test gives one of them to other users.
type trustee struct{ cert, key, ca string }

// errors are what comes of the files at each end: of a certificate with a key of its own, or with
// the key in it where key is "".
func (f trustee) errors() map[string]error {
	return map[string]error{
		"server": (&TLSAuthenticator{CertFile: f.cert, KeyFile: f.key, CAFile: f.ca}).Check(),
		"client": clientConfigError(TLSClient{CertFile: f.cert, KeyFile: f.key, CAFile: f.ca}),
	}
}

func clientConfigError(c TLSClient) error {
	_, err := c.config("127.0.0.1:1")
	return err
}

// newTrustee makes good files, and returns the one of the given kind.
func newTrustee(t *testing.T, kind string) (f trustee, file string) {
	t.Helper()
	ca := newAuthority(t, "CA")
	id := ca.issue("server")
	must.OK(t, os.Chmod(ca.dir, 0o700)) // the files in it are still not private
	f = trustee{id.cert, id.key, ca.file}
	switch kind {
	case "certificate":
		file = f.cert
	case "key":
		file = f.key
	case "both":
		replace(t, f.cert, slices.Concat(content(t, f.cert), content(t, f.key)))
		f.key, file = "", f.cert
	case "CA":
		file = f.ca
	}
	return f, file
}

// linked is the same files, of which one is found by a symbolic link.
func (f trustee) linked(t *testing.T, file string) (_ trustee, link string) {
	t.Helper()
	link = filepath.Join(t.TempDir(), "link")
	must.OK(t, os.Symlink(file, link))
	for _, name := range []*string{&f.cert, &f.key, &f.ca} {
		if *name == file {
			*name = link
		}
	}
	return f, link
}

// TestFilesOfOthers: a file that users other than root and this one can write is refused, and so is
// a private key that others can read. The directory of the file does not matter.
func TestFilesOfOthers(t *testing.T) {
	const keep, secret, written = -1, "a secret that others can reach", "others can write it"
	tests := map[string]struct {
		kinds    string // that are refused, by their first letters
		mode     os.FileMode
		uid, gid int
		want     string // in the error, behind the file
	}{
		"the user's alone":     {"", 0o600, keep, keep, ""},
		"a group reads":        {"", 0o640, keep, 12345, ""},
		"the own group writes": {"", 0o660, keep, keep, ""},
		"others read":          {"kb", 0o644, keep, keep, secret + " (mode 0644): chmod o-rwx "},
		"others enter":         {"kb", 0o601, keep, keep, secret + " (mode 0601): chmod o-rwx "},
		"others write":         {"ckbC", 0o602, keep, keep, written + " (mode 0602): chmod o-w "},
		"another group writes": {"ckbC", 0o660, keep, 12345, "group 12345 can write it"},
		"another user's":       {"ckbC", 0o600, 12345, keep, "user 12345 owns it"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for _, kind := range []string{"certificate", "key", "both", "CA"} {
				f, file := newTrustee(t, kind)
				must.OK(t, os.Chmod(file, test.mode))
				if test.uid != keep || test.gid != keep {
					testpeer.GiveAway(t, file, test.uid, test.gid)
				}
				linked, link := f.linked(t, file)
				refused := strings.Contains(test.kinds, kind[:1])
				for name, files := range map[string]trustee{file: f, link: linked} {
					for end, err := range files.errors() {
						mustBe(t, kind+" of a "+end, err, refused, "stream: "+name+": "+test.want)
					}
				}
			}
		})
	}
}

// mustBe expects an error that begins with the given text and names the command that mends it, or
// no error.
func mustBe(t *testing.T, what string, err error, refused bool, want string) {
	t.Helper()
	switch {
	case !refused && err != nil:
		t.Errorf("%s: %v", what, err)
	case refused && (err == nil || !strings.HasPrefix(err.Error(), want)):
		t.Errorf("%s: %v, want %q", what, err, want)
	case refused && !strings.Contains(err.Error(), ": ch"):
		t.Errorf("%s: %v does not say how to mend it", what, err)
	}
}

// TestReloadOfOthersFiles: if others can write the files, the previous ones stay in force until
// that is mended.
func TestReloadOfOthersFiles(t *testing.T) {
	r := newReloadable(t)
	ann := config(r.ca.issue("ann"), r.ca)
	for _, name := range []string{"server.crt", "server.key", "ca.crt"} {
		r.put(r.ca.issue("first"), r.ca)
		if got := r.serverName(ann); got != "first" {
			t.Fatalf("%s: the server shows %q", name, got)
		}
		want := r.file(name) + ": others can write it (mode 0666): chmod o-w"
		r.put(r.ca.issue("second"), r.ca)
		must.OK(t, os.Chmod(r.file(name), 0o666))
		shown := "first"
		if name == "ca.crt" { // the certificate does not depend on it
			shown = "second"
		}
		for range 3 {
			if got := r.serverName(ann); got != shown {
				t.Errorf("%s: the server shows %q", name, got)
			}
		}
		if n := strings.Count(r.log.String(), want); n != 1 {
			t.Errorf("%s: logged %d times:\n%s", name, n, r.log)
		}
		must.OK(t, os.Chmod(r.file(name), 0o600))
		if got := r.serverName(ann); got != "second" {
			t.Errorf("%s: mended, the server shows %q", name, got)
		}
	}
}

// TestReadFileDoesNotWait: a FIFO in place of a file is an error at once.
func TestReadFileDoesNotWait(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	must.OK(t, syscall.Mkfifo(fifo, 0o600))
	err := (&TLSAuthenticator{CertFile: fifo, KeyFile: fifo}).Check()
	if err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Error(err)
	}
}
