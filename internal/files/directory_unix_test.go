//go:build unix

package files

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCheckDirectoryRule: who may own and write a directory in which files are made.
func TestCheckDirectoryRule(t *testing.T) {
	by := reader{uid: 1000, gid: 100}
	tests := map[string]struct {
		uid, gid uint32
		mode     fs.FileMode
		want     string // in the error; "": trusted
	}{
		"the user's own":              {1000, 100, 0o700, ""},
		"root's":                      {0, 0, 0o755, ""},
		"root's, sticky":              {0, 0, 0o777 | fs.ModeSticky, ""},
		"the user's, sticky":          {1000, 100, 0o777 | fs.ModeSticky, ""},
		"another's":                   {1001, 100, 0o755, "the/dir: user 1001 owns it"},
		"another's, sticky":           {1001, 0, 0o777 | fs.ModeSticky, ": chown 1000 the/dir"},
		"others write":                {0, 0, 0o777, "(mode 0777): chmod +t the/dir"},
		"others write the user's":     {1000, 100, 0o702, "others can rename what is in it"},
		"the user's group writes":     {1000, 100, 0o770, ""},
		"root's group writes":         {0, 0, 0o775, ""},
		"another group writes":        {0, 500, 0o775, "group 500 can rename what is in it"},
		"another group writes sticky": {0, 500, 0o775 | fs.ModeSticky, ""},
		"another group reads":         {1000, 500, 0o750, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := Stamp{uid: test.uid, gid: test.gid, mode: test.mode}.checkDirectory("the/dir", by)
			if test.want == "" && err != nil {
				t.Fatal(err)
			}
			if test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Fatalf("got %v, want %q", err, test.want)
			}
		})
	}
}

// TestCheckDirectory: a directory is only as safe as those above it.
func TestCheckDirectory(t *testing.T) {
	base, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	above := filepath.Join(base, "above")
	inner := filepath.Join(above, "inner")
	if err := os.MkdirAll(inner, 0o700); err != nil {
		t.Fatal(err)
	}
	for mode, good := range map[fs.FileMode]bool{
		0o700: true, 0o755: true, 0o777 | fs.ModeSticky: true, 0o777: false, 0o703: false,
	} {
		if err := os.Chmod(above, mode); err != nil {
			t.Fatal(err)
		}
		for _, dir := range []string{above, inner} {
			err := CheckDirectory(dir)
			if good && err != nil {
				t.Errorf("%v, %s: %v", mode, dir, err)
			}
			if !good && (err == nil || !strings.Contains(err.Error(), ": chmod +t "+above)) {
				t.Errorf("%v, %s: %v", mode, dir, err)
			}
		}
	}
	if err := CheckDirectory(filepath.Join(base, "none")); !IsGone(err) {
		t.Errorf("nothing there: %v", err)
	}
}
