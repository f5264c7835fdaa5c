package privatedir

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zmqauth/zmqauth/internal/must"
)

// TestGrantFollowsNoLink: somebody who can write the directory puts a link to another file in the
// place of the socket at the worst moment. The other file stays as it is.
func TestGrantFollowsNoLink(t *testing.T) {
	dir := shortDir(t)
	victim, path := filepath.Join(dir, "victim"), filepath.Join(dir, "s")
	must.OK(t, os.WriteFile(victim, nil, 0o600))
	group := os.Getegid()
	for name, access := range map[string]Access{
		"mode": {Mode: 0o666}, "mode and group": {Mode: 0o666, Group: &group},
	} {
		for how, open := range map[string]func(fd int) error{
			"as the kernel tells": func(fd int) error { return access.grant(fd, path) },
			"without the kernel": func(int) error {
				fd, err := openSocket(path)
				if err == nil {
					_ = unix.Close(fd)
				}
				return err
			},
		} {
			t.Run(name+"/"+how, func(t *testing.T) {
				file, err := openWith(path, func(fd int) error {
					must.OK(t, os.Rename(path, path+"-moved"))
					must.OK(t, os.Symlink(victim, path))
					return open(fd)
				})
				if err == nil { // the socket itself has got the mode, wherever it is
					info, err := os.Lstat(path + "-moved")
					if err != nil || info.Mode().Perm() != 0o666 {
						t.Errorf("the socket: %v, %v", info, err)
					}
					must.OK(t, file.Close())
				} else if !errors.Is(err, errReplaced) {
					t.Error(err)
				}
				if info, err := os.Lstat(victim); err != nil || info.Mode() != 0o600 {
					t.Errorf("the other file: %v, %v", info, err)
				}
				if to, err := os.Readlink(path); err != nil || to != victim {
					t.Errorf("the link: %q, %v", to, err)
				}
				must.OK(t, errors.Join(os.Remove(path), os.Remove(path+"-moved")))
			})
		}
	}
}

func openWith(path string, grant func(fd int) error) (*os.File, error) {
	return open(path, 0, grant)
}

// TestOpenSocket: only a socket on which nobody listens yet can be the one that has just been
// bound.
func TestOpenSocket(t *testing.T) {
	dir := shortDir(t)
	path := func(name string) string { return filepath.Join(dir, name) }
	leaveSocket(t, path("bound"))
	live, err := net.Listen("unix", path("live"))
	must.OK(t, err)
	defer live.Close()
	must.OK(t, os.WriteFile(path("file"), nil, 0o600))
	must.OK(t, os.Symlink(path("bound"), path("link")))
	for name, good := range map[string]bool{
		"bound": true, "live": false, "file": false, "link": false, ".": false,
	} {
		fd, err := openSocket(path(name))
		if good != (err == nil) || !good && err != errReplaced {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			must.OK(t, unix.Close(fd))
		}
	}
}

// TestListenFileAccess: mode and group are in force, whatever the umask.
func TestListenFileAccess(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	group := os.Getegid()
	file, socket, err := ListenFile(t.Context(), path, Access{Mode: 0o666, Group: &group})
	must.OK(t, err)
	defer file.Close()
	if info, err := os.Lstat(path); err != nil || info.Mode() != fs.ModeSocket|0o666 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	must.OK(t, socket.Remove())
}

// TestListenFileTrust: a directory in which others could replace the socket is refused. The error
// says what mends it.
func TestListenFileTrust(t *testing.T) {
	dir := shortDir(t)
	path := filepath.Join(dir, "s")
	for mode, good := range map[fs.FileMode]bool{
		0o700: true, 0o777: false, 0o777 | fs.ModeSticky: true,
	} {
		must.OK(t, os.Chmod(dir, mode))
		file, socket, err := ListenFile(t.Context(), path, Access{})
		if good {
			must.OK(t, err)
			must.OK(t, errors.Join(socket.Remove(), file.Close()))
		} else if err == nil || !strings.Contains(err.Error(), "chmod +t "+dir) || exists(path) {
			t.Errorf("%v: %v", mode, err)
		}
	}
	_, _, err := ListenFile(t.Context(), filepath.Join(dir, "none", "s"), Access{})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
}
