package zmqauth

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/zmqauth/zmqauth/internal/certfile"
	"github.com/zmqauth/zmqauth/internal/files"
)

func TestLoadCertificateModes(t *testing.T) {
	dir := t.TempDir()
	_, path, err := CreateCertificates(dir, "n", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []fs.FileMode{0o600, 0o400, 0o700, 0o640, 0o440, 0o660, 0o620, 0o610} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadCertificate(path); err != nil {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
	const reach = "a secret that others can reach (mode %04o): chmod o-rwx %s"
	const write = "others can write it (mode %04o): chmod o-w %s"
	for mode, fault := range map[fs.FileMode]string{
		0o644: reach, 0o604: reach, 0o601: reach, 0o444: reach, 0o641: reach, 0o665: reach,
		0o602: write, 0o666: write, 0o777: write,
	} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		cert, err := LoadCertificate(path)
		want := fmt.Sprintf("zmqauth: %s: "+fault, path, mode, path)
		if cert != nil || err == nil || err.Error() != want {
			t.Errorf("mode %04o: %v\nwant %s", mode, err, want)
		}
	}
}

func TestLoadCertificateRefusals(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := syscall.Mkfifo(in("fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	writeFile(t, in("large"), strings.Repeat("#\n", certfile.MaxSize/2)+"#", 0o644)
	huge := writeFile(t, in("huge"), "", 0o644)
	if err := os.Truncate(huge, 1<<40); err != nil {
		t.Logf("no sparse file: %v", err)
	}
	tests := map[string]struct {
		path, want string
		is         error
	}{
		"missing":    {in("missing"), "no such file or directory", fs.ErrNotExist},
		"empty path": {"", "no such file or directory", fs.ErrNotExist},
		"directory":  {makeDir(t, in("dir")), "is a directory", syscall.EISDIR},
		"FIFO":       {in("fifo"), "not a regular file", files.ErrNotRegular},
		"device":     {"/dev/zero", "not a regular file", files.ErrNotRegular},
		"too large":  {in("large"), "larger than 65536 bytes", nil},
		"huge":       {huge, "larger than 65536 bytes", nil},
		"dangling link": {
			link(t, "nowhere", in("dangling")), "no such file or directory", fs.ErrNotExist,
		},
		"link to FIFO": {link(t, "fifo", in("tofifo")), "not a regular file", files.ErrNotRegular},
		"link loop":    {link(t, "loop", in("loop")), "too many levels of symbolic links", syscall.ELOOP},
		"empty": {
			writeFile(t, in("empty"), "", 0o644), "no certificate: it has no curve section", nil,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			cert, err := LoadCertificate(test.path)
			var fileErr *FileError
			if cert != nil || !errors.As(err, &fileErr) || fileErr.File != test.path ||
				err.Error() != "zmqauth: "+test.path+": "+test.want {
				t.Errorf("got %v, want %s", err, test.want)
			}
			if test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("%v is not %v", err, test.is)
			}
		})
	}
}

func TestLoadCertificateLargest(t *testing.T) {
	cert := testCertificate(nil)
	text, err := cert.encode(false)
	if err != nil {
		t.Fatal(err)
	}
	const buffer = files.MinBuffer
	for _, size := range []int{len(text), buffer - 1, buffer, buffer + 1, certfile.MaxSize} {
		path := writeFile(t, filepath.Join(t.TempDir(), "n"),
			strings.Repeat("\n", size-len(text))+string(text), 0o644)
		if loaded, err := LoadCertificate(path); err != nil || loaded.Public != cert.Public {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

func TestLoadCertificates(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	good := map[PublicKey]string{
		writePublic(t, in("a.key"), map[string]string{"name": "a.key"}):               "a.key",
		writePublic(t, in("czmq-name"), map[string]string{"name": "czmq-name"}):       "czmq-name",
		writePublic(t, in("b.txt"), map[string]string{"name": "b.txt"}):               "b.txt",
		writePublic(t, in("#half"), map[string]string{"name": "#half"}):               "#half",
		writePublic(t, filepath.Join(elsewhere, "x"), map[string]string{"name": "x"}): "x",
	}
	link(t, filepath.Join(elsewhere, "x"), in("link.key"))
	link(t, elsewhere, in("link-to-directory"))
	writePublic(t, filepath.Join(makeDir(t, in("sub")), "sub.key"), nil)
	for _, name := range []string{
		".hidden.key", "backup.key~", "#backup.key#", "n.key_secret", "czmq-name_secret", ".#lock.key",
	} {
		writeFile(t, in(name), "broken, so that reading it is noticed", 0o644)
	}
	link(t, "nowhere", in("other_secret"))

	certs, err := LoadCertificates(dir)
	if err != nil {
		t.Errorf("error %v", err)
	}
	got := map[PublicKey]string{}
	for key, cert := range certs {
		if cert.Public != key || cert.Secret != nil {
			t.Errorf("below %s: %+v", key, cert)
		}
		got[key] = cert.Metadata["name"]
	}
	if fmt.Sprint(got) != fmt.Sprint(good) {
		t.Errorf("got %v, want %v", got, good)
	}
}

func TestLoadCertificatesNamesBadFiles(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	good := writePublic(t, in("m.key"), nil)
	writeFile(t, in("a.key"), "curve\n    public-key = \"", 0o644)
	writeFile(t, in("README"), "This is a read-me file.\n", 0o644)
	writeFile(t, in("z.key"),
		string(withKeys("curve\n    public-key = \"PUBLIC\"\nmetadata\n    Identity = x\n")), 0o644)
	writeFile(t, in("s.key"),
		string(withKeys("curve\n    public-key = \"PUBLIC\"\n    secret-key = \"SECRET\"\n")), 0o644)
	link(t, "nowhere", in("dangling.key"))
	if err := syscall.Mkfifo(in("fifo.key"), 0o600); err != nil {
		t.Fatal(err)
	}
	certs, err := LoadCertificates(dir)
	if len(certs) != 1 || certs[good] == nil {
		t.Errorf("certificates %v", certs)
	}
	want := []string{
		in("README") + `:1: something other than "=" after the name`,
		in("a.key") + ":2: the closing quote is missing",
		in("dangling.key") + ": no such file or directory",
		in("fifo.key") + ": not a regular file",
		in("s.key") + ": a secret that others can reach (mode 0644): chmod o-rwx " + in("s.key"),
		in("z.key") + `:4: metadata name "Identity": libzmq sets it itself`,
	}
	if err == nil || err.Error() != "zmqauth: "+strings.Join(want, "\nzmqauth: ") {
		t.Errorf("got:\n%v", err)
	}
	for _, single := range err.(interface{ Unwrap() []error }).Unwrap() {
		var fileErr *FileError
		if !errors.As(single, &fileErr) {
			t.Errorf("%T", single)
		}
	}
}

func TestLoadCertificatesSameKeyTwice(t *testing.T) {
	dir := t.TempDir()
	cert := testCertificate(nil)
	for _, name := range []string{"c.key", "a.key", "b.key"} {
		cert.Metadata = map[string]string{"name": name}
		if err := cert.SavePublic(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	certs, err := LoadCertificates(dir)
	if err != nil || len(certs) != 1 || certs[cert.Public].Metadata["name"] != "a.key" {
		t.Errorf("%v, %v", certs, err)
	}
}

// TestLoadCertificatesDropsSecrets reads a secret certificate in a directory of public ones.
func TestLoadCertificatesDropsSecrets(t *testing.T) {
	dir := t.TempDir()
	cert := testCertificate(nil)
	if err := cert.SaveSecret(filepath.Join(dir, "n.key")); err != nil {
		t.Fatal(err)
	}
	certs, err := LoadCertificates(dir)
	if err != nil || certs[cert.Public] == nil || certs[cert.Public].Secret != nil {
		t.Errorf("%v, %v", certs, err)
	}
}

func TestLoadCertificatesDirectories(t *testing.T) {
	dir := t.TempDir()
	if certs, err := LoadCertificates(dir); err != nil || certs == nil || len(certs) != 0 {
		t.Errorf("empty directory: %v, %v", certs, err)
	}
	missing := filepath.Join(dir, "missing")
	certs, err := LoadCertificates(missing)
	if certs != nil || !errors.Is(err, fs.ErrNotExist) ||
		err.Error() != "zmqauth: "+missing+": no such file or directory" {
		t.Errorf("missing directory: %v, %v", certs, err)
	}
	file := writeFile(t, filepath.Join(dir, "file"), "", 0o644)
	if certs, err := LoadCertificates(file); certs != nil || !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("a file: %v, %v", certs, err)
	}
}
