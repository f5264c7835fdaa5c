package zmqauth

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/files"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/zap"
)

// stampWithMode returns the stamp of an empty file with that mode.
func stampWithMode(t testing.TB, mode os.FileMode) files.Stamp {
	t.Helper()
	stamp, err := files.StampOf(writeFile(t, filepath.Join(t.TempDir(), "file"), "", mode))
	must.OK(t, err)
	return stamp
}

// FuzzPasswordFile: each line gives at most a user or a problem, and a problem names its line.
func FuzzPasswordFile(f *testing.F) {
	for _, seed := range []string{
		"", "ann=secret", "ann:$2y$05$abc\r\n#x\n=\n:", "a=b\nc:d\n\x00=x\n",
		"n=$argon2id$v=19$m=8,t=1,p=1$YWJjZGVmZ2g$YWJjZGVmZ2g", "x\r\r\n",
	} {
		f.Add([]byte(seed))
	}
	a := newAuthenticator(f, Config{})
	private, writable := stampWithMode(f, 0o600), stampWithMode(f, 0o602)
	f.Fuzz(func(t *testing.T, data []byte) {
		table, problems, err := parsePasswords(a, "file", data, private, maxPasswordUsers)
		must.OK(t, err)
		lines := bytes.Count(data, []byte("\n")) + 1
		if len(table.users)+len(problems) > lines {
			t.Fatalf("%d users and %d problems in %d lines", len(table.users), len(problems), lines)
		}
		for name, entry := range table.users {
			if name == "" || len(name) > zap.MaxCredential || strings.ContainsAny(name, "\x00\n=:") {
				t.Fatalf("the name %q", name)
			}
			if (entry.hash == nil) == (entry.digest.Load() == nil) {
				t.Fatalf("%q has neither a hash nor a digest, or both", name)
			}
		}
		for _, problem := range problems {
			var at *FileError
			if !errors.As(problem, &at) || at.Line < 1 || at.Line > lines {
				t.Fatalf("%v", problem)
			}
		}
		if _, _, err := parsePasswords(a, "file", data, writable, maxPasswordUsers); err == nil {
			t.Fatal("a file that others can write")
		}
	})
}
