//go:build unix

package files

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCheck is the table of docs/security.md: who may own and write files that are in force.
func TestCheck(t *testing.T) {
	by := reader{uid: 1000, gid: 100}
	tests := map[string]struct {
		uid, gid uint32
		mode     fs.FileMode
		want     string // in the error; "": trusted
	}{
		"the reader's own":               {1000, 100, 0o600, ""},
		"root's":                         {0, 0, 0o644, ""},
		"root's, for a group to read":    {0, 500, 0o440, ""},
		"another user's":                 {1001, 100, 0o600, "user 1001 owns it"},
		"another user's, for root alike": {1001, 0, 0o400, "chown 1000 the/path"},
		"others write":                   {1000, 100, 0o602, "(mode 0602): chmod o-w the/path"},
		"others write root's":            {0, 0, 0o666, "chmod o-w the/path"},
		"others write, but sticky":       {0, 0, 0o777 | fs.ModeSticky, "(mode 0777): chmod o-w"},
		"the reader's group writes":      {1000, 100, 0o660, ""},
		"root's group writes":            {1000, 0, 0o660, ""},
		"another group writes":           {1000, 500, 0o660, "group 500 can write it"},
		"another group writes root's":    {0, 500, 0o664, "(mode 0664): chmod g-w the/path"},
		"another group reads":            {1000, 500, 0o640, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := Stamp{uid: test.uid, gid: test.gid, mode: test.mode}.check("the/path", by)
			if test.want == "" && err != nil {
				t.Fatal(err)
			}
			if test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Fatalf("got %v, want %q", err, test.want)
			}
		})
	}
}

// TestCheckSecret checks real files of this user in every mode that matters.
func TestCheckSecret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, good := range map[fs.FileMode]bool{
		0o600: true, 0o400: true, 0o700: true, 0o640: true, 0o440: true, 0o660: true,
		0o604: false, 0o602: false, 0o601: false, 0o644: false, 0o666: false, 0o444: false,
	} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		stamp, err := StampOf(path)
		if err != nil {
			t.Fatal(err)
		}
		switch err := stamp.CheckSecret(path); {
		case good && err != nil:
			t.Errorf("mode %04o: %v", mode, err)
		case !good && (err == nil || !strings.Contains(err.Error(), ": chmod o-")):
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
}
