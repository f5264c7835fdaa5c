//go:build unix

package privatedir

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// shortDir makes a directory for the test in which paths of sockets are not too long.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "dir") // whatever $TMPDIR is in the test
	must.OK(t, err)
	dir, err = filepath.EvalSymlinks(dir)
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, os.RemoveAll(dir)) })
	return dir
}

// makeOne makes a private directory, and checks that it is gone in the end.
func makeOne(t *testing.T) *Dir {
	t.Helper()
	d, err := Make(1)
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, os.RemoveAll(d.Path())) })
	return d
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func TestMake(t *testing.T) {
	base := shortDir(t)
	t.Setenv("TMPDIR", base)
	d := makeOne(t)
	if filepath.Dir(d.Path()) != base {
		t.Errorf("it is %s, not in %s", d.Path(), base)
	}
	if info, err := os.Lstat(d.Path()); err != nil || info.Mode() != fs.ModeDir|0o700 {
		t.Errorf("%v, %v", info, err)
	}
	l, err := Listen(t.Context(), d.Join("s"), 0)
	must.OK(t, err)
	must.OK(t, l.Close())
	must.OK(t, d.Remove())
	if exists(d.Path()) {
		t.Error("it is left")
	}
	must.OK(t, d.Remove())
}

// TestMakeElsewhere: if $TMPDIR is not suitable, another directory is used, and nothing is left.
func TestMakeElsewhere(t *testing.T) {
	dir := shortDir(t)
	sub := func(name string, mode fs.FileMode) string {
		path := filepath.Join(dir, name)
		must.OK(t, os.MkdirAll(path, 0o700))
		must.OK(t, os.Chmod(path, mode)) // whatever the umask is
		return path
	}
	long := sub(strings.Repeat("long", 25), 0o700)
	shared := sub("shared", 0o777) // without the sticky bit
	file := filepath.Join(dir, "file")
	must.OK(t, os.WriteFile(file, nil, 0o600))
	link := filepath.Join(dir, "link")
	must.OK(t, os.Symlink(shared, link))
	tests := map[string]struct{ temporary, want string }{
		"too long":                 {long, "paths of sockets there would be too long"},
		"others can rename":        {shared, "(mode 0777): chmod +t " + shared},
		"others can rename above":  {sub("shared/own", 0o700), ": chmod +t " + shared},
		"a link to such":           {link, ": chmod +t " + shared},
		"missing":                  {filepath.Join(dir, "missing"), "missing: no such file or directory"},
		"a file":                   {file, ": not a directory"},
		"below a file":             {filepath.Join(file, "x"), "not a directory"},
		"others, but with the bit": {sub("sticky", 0o777|fs.ModeSticky), ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { mustBeElsewhere(t, test.temporary, test.want) })
	}
}

// mustBeElsewhere expects another directory than the given one, because of the reason, or that one
// if there is no reason.
func mustBeElsewhere(t *testing.T, temporary, reason string) {
	t.Helper()
	runtime := shortDir(t)
	t.Setenv("TMPDIR", temporary)
	want := temporary
	for _, other := range []string{runtime, ""} {
		t.Setenv("XDG_RUNTIME_DIR", other)
		if reason != "" {
			want = other
		}
		if want == "" {
			want = "/tmp"
		}
		if d := makeOne(t); filepath.Dir(d.Path()) != want {
			t.Errorf("it is %s, not in %s", d.Path(), want)
		} else {
			must.OK(t, d.Remove())
		}
	}
	_, err := makeIn(temporary, 1)
	if reason != "" && (err == nil || !strings.Contains(err.Error(), reason)) {
		t.Errorf("%v, want %q", err, reason)
	}
	if reason == "" {
		return
	}
	for _, dir := range []string{temporary, runtime} {
		if left, err := filepath.Glob(filepath.Join(dir, prefix+"*")); err != nil || left != nil {
			t.Errorf("left behind: %q, %v", left, err)
		}
	}
}

// TestMakeNowhere: the error has the reason for each directory.
func TestMakeNowhere(t *testing.T) {
	missing := filepath.Join(shortDir(t), "missing")
	t.Setenv("TMPDIR", missing)
	t.Setenv("XDG_RUNTIME_DIR", missing+"2")
	_, err := Make(MaxPath)
	wanted := []string{"no directory for sockets: ", missing + ": ", missing + "2: ", "/tmp: "}
	for _, want := range wanted {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestMakeInAnothers: a directory of another user is not suitable, nor is one below it, even with
// the sticky bit.
func TestMakeInAnothers(t *testing.T) {
	above := filepath.Join(shortDir(t), "another's")
	own := filepath.Join(above, "own")
	must.OK(t, os.MkdirAll(own, 0o700))
	for _, mode := range []fs.FileMode{0o755, 0o777 | fs.ModeSticky} {
		must.OK(t, os.Chmod(above, mode))
		testpeer.GiveAway(t, above, 12345, -1)
		mustBeElsewhere(t, above, above+": user 12345 owns it")
		mustBeElsewhere(t, own, above+": user 12345 owns it")
		testpeer.GiveAway(t, above, 0, 12345)
		must.OK(t, os.Chmod(above, 0o775))
		mustBeElsewhere(t, own, above+": group 12345 can rename what is in it")
	}
}

// TestMakeFits: the longest name fits exactly.
func TestMakeFits(t *testing.T) {
	d := makeOne(t)
	left := MaxPath - len(d.Join("")) - 1
	// The number at the end of a name has up to ten digits.
	for longest, good := range map[int]bool{left - 10: true, left + 11: false} {
		other, err := makeIn(filepath.Dir(d.Path()), longest)
		if (err == nil) != good {
			t.Errorf("%d bytes: %v", longest, err)
		}
		if err == nil {
			l, err := Listen(t.Context(), other.Join(strings.Repeat("x", longest)), 0)
			must.OK(t, err)
			must.OK(t, errors.Join(l.Close(), other.Remove()))
		}
	}
}

// TestRemove: the directory is removed with the sockets in it, whoever has made them.
func TestRemove(t *testing.T) {
	d := makeOne(t)
	l, err := Listen(t.Context(), d.Join("a"), 0)
	must.OK(t, err)
	leaveSocket(t, d.Join("b"))
	must.OK(t, d.Remove())
	if exists(d.Path()) {
		t.Error("it is left")
	}
	must.OK(t, l.Close())
}

// TestRemoveLeavesOthersFiles: a file that is not a socket does not belong to this package.
func TestRemoveLeavesOthersFiles(t *testing.T) {
	d := makeOne(t)
	leaveSocket(t, d.Join("s"))
	must.OK(t, os.WriteFile(d.Join("file"), []byte("precious"), 0o600))
	must.OK(t, os.Mkdir(d.Join("dir"), 0o700))
	leaveSocket(t, d.Join("dir/s"))
	if err := d.Remove(); err == nil || !strings.Contains(err.Error(), "directory not empty") {
		t.Errorf("an error that tells of other files is wanted: %v", err)
	}
	text, err := os.ReadFile(d.Join("file"))
	if err != nil || string(text) != "precious" || !exists(d.Join("dir/s")) || exists(d.Join("s")) {
		t.Errorf("%q, %v", text, err)
	}
	must.OK(t, os.RemoveAll(d.Join("dir")))
	must.OK(t, os.Remove(d.Join("file")))
	must.OK(t, d.Remove())
}

// TestRemoveAfterExchange: a directory that has taken the place of the private one is left alone.
func TestRemoveAfterExchange(t *testing.T) {
	precious := func(path string) string {
		must.OK(t, os.Mkdir(path, 0o700))
		leaveSocket(t, filepath.Join(path, "s"))
		return path
	}
	tests := map[string]func(path string){
		"another directory": func(path string) { precious(path) },
		"an empty one":      func(path string) { must.OK(t, os.Mkdir(path, 0o700)) },
		"a link":            func(path string) { must.OK(t, os.Symlink(precious(path+"x"), path)) },
		"a file":            func(path string) { must.OK(t, os.WriteFile(path, nil, 0o600)) },
		"nothing":           func(string) {},
	}
	for name, replace := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv("TMPDIR", shortDir(t))
			d := makeOne(t)
			moved := d.Path() + "-moved"
			must.OK(t, os.Rename(d.Path(), moved))
			replace(d.Path())
			must.OK(t, d.Remove())
			if exists(d.Path()) != (name != "nothing") || !exists(moved) {
				t.Error("it is gone")
			}
			if name == "another directory" && !exists(d.Join("s")) {
				t.Error("what is in it is gone")
			}
			if name == "a link" && !exists(d.Path()+"x/s") {
				t.Error("what is behind it is gone")
			}
		})
	}
}

// leaveSocket leaves behind a socket on which nobody listens.
func leaveSocket(t testing.TB, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	must.OK(t, err)
	l.SetUnlinkOnClose(false)
	must.OK(t, l.Close())
}
