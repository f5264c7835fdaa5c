package zmqauth

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func writeFile(t testing.TB, path, text string, mode fs.FileMode) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
	return path
}

// writePublic writes a certificate for a new key and returns the key.
func writePublic(t testing.TB, path string, metadata map[string]string) PublicKey {
	t.Helper()
	cert, err := NewCertificate()
	if err != nil {
		t.Fatal(err)
	}
	cert.Metadata = metadata
	if err := cert.SavePublic(path); err != nil {
		t.Fatal(err)
	}
	return cert.Public
}

func fileMode(t testing.TB, path string) fs.FileMode {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode()
}

func directoryNames(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// setUmask changes the umask of the process for a test that does not run in parallel.
func setUmask(t *testing.T, mask int) {
	t.Helper()
	before := syscall.Umask(mask)
	t.Cleanup(func() { syscall.Umask(before) })
}

func TestCreateCertificates(t *testing.T) {
	for _, mask := range []int{0, 0o022, 0o077, 0o777} {
		t.Run(fmt.Sprintf("umask %04o", mask), func(t *testing.T) {
			dir := t.TempDir()
			setUmask(t, mask)
			metadata := map[string]string{"name": "Jane O'Hara", "note": `say "x" # y`, "empty": ""}
			publicFile, secretFile, err := CreateCertificates(dir, "jane", metadata)
			if err != nil {
				t.Fatal(err)
			}
			if publicFile != filepath.Join(dir, "jane.key") ||
				secretFile != filepath.Join(dir, "jane.key_secret") {
				t.Errorf("paths %s, %s", publicFile, secretFile)
			}
			if mode := fileMode(t, publicFile); mode != 0o644 {
				t.Errorf("public file: %v", mode)
			}
			if mode := fileMode(t, secretFile); mode != 0o600 {
				t.Errorf("secret file: %v", mode)
			}
			names, want := directoryNames(t, dir), []string{"jane.key", "jane.key_secret"}
			if !slices.Equal(names, want) {
				t.Errorf("files %q", names)
			}
			public, err := LoadCertificate(publicFile)
			if err != nil {
				t.Fatal(err)
			}
			secret, err := LoadCertificate(secretFile)
			if err != nil {
				t.Fatal(err)
			}
			if public.Secret != nil || secret.Secret == nil || secret.Secret.Public() != public.Public {
				t.Error("the keys do not belong together")
			}
			if want := (&Certificate{public.Public, nil, metadata}); !public.equal(want) {
				t.Errorf("public certificate %+v", public)
			}
			if want := (&Certificate{public.Public, secret.Secret, metadata}); !secret.equal(want) {
				t.Errorf("secret certificate %+v", secret)
			}
		})
	}
}

func TestCreateCertificatesOverwritesNothing(t *testing.T) {
	tests := map[string]func(t *testing.T, dir string) (existing string){
		"public file": func(t *testing.T, dir string) string {
			return writeFile(t, filepath.Join(dir, "n.key"), "old", 0o640)
		},
		"secret file": func(t *testing.T, dir string) string {
			return writeFile(t, filepath.Join(dir, "n.key_secret"), "old", 0o640)
		},
		"dangling link": func(t *testing.T, dir string) string {
			return link(t, "nowhere", filepath.Join(dir, "n.key"))
		},
		"directory": func(t *testing.T, dir string) string {
			return makeDir(t, filepath.Join(dir, "n.key_secret"))
		},
		"public directory": func(t *testing.T, dir string) string {
			return makeDir(t, filepath.Join(dir, "n.key"))
		},
	}
	for name, prepare := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			existing := prepare(t, dir)
			mode := fileMode(t, existing)
			publicFile, secretFile, err := CreateCertificates(dir, "n", nil)
			if !errors.Is(err, fs.ErrExist) || publicFile != "" || secretFile != "" {
				t.Errorf("%q, %q, %v", publicFile, secretFile, err)
			}
			if want := "zmqauth: " + existing + ": file exists"; err.Error() != want {
				t.Errorf("error %v, want %s", err, want)
			}
			if names := directoryNames(t, dir); !slices.Equal(names, []string{filepath.Base(existing)}) {
				t.Errorf("files %q", names)
			}
			if fileMode(t, existing) != mode {
				t.Errorf("mode changed from %v", mode)
			}
			if mode.IsRegular() {
				if text, err := os.ReadFile(existing); err != nil || string(text) != "old" {
					t.Errorf("content changed: %q, %v", text, err)
				}
			}
		})
	}
}

func link(t testing.TB, target, path string) string {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
	return path
}

func makeDir(t testing.TB, path string) string {
	t.Helper()
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCreateCertificatesNames(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"", ".", "..", ".hidden", "a/b", "../a", "/a", `a\b`, "a\x00b"} {
		publicFile, secretFile, err := CreateCertificates(dir, name, nil)
		if err == nil || publicFile != "" || secretFile != "" ||
			!strings.HasPrefix(err.Error(), "zmqauth: certificate name ") {
			t.Errorf("%q: %q, %q, %v", name, publicFile, secretFile, err)
		}
	}
	if names := directoryNames(t, dir); len(names) != 0 {
		t.Errorf("files %q", names)
	}
	for _, name := range []string{"a", "a.b", "a b", "é", "a_secret", "#a#", "a~"} {
		if _, _, err := CreateCertificates(dir, name, nil); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	if certs, err := LoadCertificates(dir); err != nil || len(certs) != 7 {
		t.Errorf("%d certificates, %v", len(certs), err)
	}
	missing := filepath.Join(dir, "missing")
	_, _, err := CreateCertificates(missing, "a", nil)
	want := "zmqauth: " + filepath.Join(missing, "a.key_secret") + ": no such file or directory"
	if !errors.Is(err, fs.ErrNotExist) || err.Error() != want {
		t.Errorf("a directory that is missing: %v, want %s", err, want)
	}
}

func TestCreateCertificatesInWorkingDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	publicFile, secretFile, err := CreateCertificates("", "n", nil)
	if err != nil || publicFile != "n.key" || secretFile != "n.key_secret" {
		t.Fatalf("%q, %q, %v", publicFile, secretFile, err)
	}
	if names := directoryNames(t, "."); !slices.Equal(names, []string{"n.key", "n.key_secret"}) {
		t.Errorf("files %q", names)
	}
}

// TestSaveRace saves many certificates to one path at once. One of them wins and is whole; the
// others get an error.
func TestSaveRace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "n")
	const writers = 20
	errs := make([]error, writers)
	certs := make([]*Certificate, writers)
	var wait sync.WaitGroup
	for i := range writers {
		wait.Go(func() {
			if certs[i], errs[i] = NewCertificate(); errs[i] == nil {
				errs[i] = certs[i].SaveSecret(path)
			}
		})
	}
	wait.Wait()
	saved, err := LoadCertificate(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, err := range errs {
		if won := saved.equal(certs[i]); won != (err == nil) || !won && !errors.Is(err, fs.ErrExist) {
			t.Errorf("writer %d: won %t, error %v", i, won, err)
		}
	}
}

func TestSavePublicLeavesOutTheSecret(t *testing.T) {
	cert := testCertificate(map[string]string{"a": "1"})
	path := filepath.Join(t.TempDir(), "n")
	if err := cert.SavePublic(path); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(path); err != nil ||
		strings.Contains(string(text), cert.Secret.Z85()) {
		t.Errorf("%v\n%s", err, text)
	}
	public := Certificate{Public: cert.Public}
	err := public.SaveSecret(path + "_secret")
	want := "zmqauth: " + path + "_secret: the certificate has no secret key to save"
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}
