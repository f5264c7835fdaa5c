//go:build unix

package privatedir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zmqauth/zmqauth/internal/files"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// reaches checks that data sent to the path arrives at the listener.
func reaches(path string, l net.Listener) error {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return err
	}
	defer conn.Close()
	word := fmt.Sprintf("%p", l)
	if _, err := io.WriteString(conn, word); err != nil {
		return err
	}
	_ = l.(*listener).SetDeadline(time.Now().Add(30 * time.Second))
	for {
		accepted, err := l.Accept()
		if err != nil {
			return err
		}
		got := make([]byte, len(word))
		_, err = io.ReadFull(accepted, got)
		_ = accepted.Close()
		if err == nil && string(got) == word {
			return nil
		} // otherwise it was a check whether anybody listens
	}
}

func TestListen(t *testing.T) {
	testpeer.NothingLeft(t)
	path := filepath.Join(shortDir(t), "s")
	l, err := Listen(t.Context(), path, 0o600)
	must.OK(t, err)
	must.OK(t, reaches(path, l))
	if l.Addr().Network() != "unix" || l.Addr().String() != path {
		t.Errorf("its address is %v", l.Addr())
	}
	must.OK(t, l.Close())
	if exists(path) {
		t.Error("the file is left")
	}
	if err := l.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed again: %v", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accepting: %v", err)
	}
}

// TestListenModes: the file has its mode, less the umask.
func TestListenModes(t *testing.T) {
	tests := map[string]struct{ mode, umask, want fs.FileMode }{
		"the user's":          {0o600, 0, 0o600},
		"the user's, as ever": {0o600, 0o022, 0o600},
		"a group's":           {0o660, 0o007, 0o660},
		"less the umask":      {0o666, 0o022, 0o644},
		"none":                {0, 0o027, 0o750},
	}
	path := filepath.Join(shortDir(t), "s")
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			old := syscall.Umask(int(test.umask))
			l, err := Listen(t.Context(), path, test.mode)
			syscall.Umask(old)
			must.OK(t, err)
			defer l.Close()
			if info, err := os.Lstat(path); err != nil || info.Mode() != fs.ModeSocket|test.want {
				t.Errorf("%v, %v, want %v", info.Mode(), err, test.want)
			}
		})
	}
}

// TestListenInTheWay: anything at the path that is not a stale socket stays and works.
func TestListenInTheWay(t *testing.T) {
	testpeer.NothingLeft(t)
	path := filepath.Join(shortDir(t), "s")
	dead := path + "-dead"
	leaveSocket(t, dead)
	live, err := net.Listen("unix", path+"-live")
	must.OK(t, err)
	defer live.Close()
	tests := map[string]func() error{
		"a file":                func() error { return os.WriteFile(path, []byte("precious"), 0o600) },
		"a directory":           func() error { return os.Mkdir(path, 0o700) },
		"a FIFO":                func() error { return syscall.Mkfifo(path, 0o600) },
		"a live socket":         func() error { return os.Link(path+"-live", path) },
		"a link to a dead one":  func() error { return os.Symlink(dead, path) },
		"a link to nothing":     func() error { return os.Symlink(path+"-none", path) },
		"a socket without room": func() error { return fullSocket(t, path) },
	}
	for name, occupy := range tests {
		t.Run(name, func(t *testing.T) {
			must.OK(t, occupy())
			defer os.Remove(path)
			before, err := os.Lstat(path)
			must.OK(t, err)
			_, err = Listen(t.Context(), path, 0o600)
			want := "listen unix " + path + ": bind: address already in use"
			if err == nil || err.Error() != want || !errors.Is(err, syscall.EADDRINUSE) {
				t.Errorf("%v, want %s", err, want)
			}
			_, err = Bind(t.Context(), path, func() error { panic("called") })
			if err != syscall.EADDRINUSE {
				t.Errorf("Bind: %v", err)
			}
			if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) {
				t.Errorf("it is another one: %v", err)
			}
		})
	}
	if !exists(dead) {
		t.Error("what a link leads to is gone")
	}
}

// fullSocket makes a socket that listens and whose backlog is full.
func fullSocket(t *testing.T, path string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, unix.Close(fd)) })
	must.OK(t, unix.Bind(fd, &unix.SockaddrUnix{Name: path}))
	must.OK(t, unix.Listen(fd, 0))
	for range 10 {
		conn, err := net.DialTimeout("unix", path, time.Second)
		if err != nil {
			return nil
		}
		t.Cleanup(func() { must.OK(t, conn.Close()) })
	}
	return errors.New("it takes any number of connections")
}

// TestListenStale: a stale socket of any kind is replaced.
func TestListenStale(t *testing.T) {
	testpeer.NothingLeft(t)
	path := filepath.Join(shortDir(t), "s")
	tests := map[string]func(){
		"left behind": func() { leaveSocket(t, path) },
		"of datagrams": func() {
			conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path})
			must.OK(t, err)
			file, err := conn.File() // a second descriptor, so that closing the first removes nothing
			must.OK(t, err)
			must.OK(t, os.Rename(path, path+"2"))
			must.OK(t, errors.Join(conn.Close(), file.Close()))
			must.OK(t, os.Rename(path+"2", path))
		},
		"never listened": func() {
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
			must.OK(t, err)
			must.OK(t, unix.Bind(fd, &unix.SockaddrUnix{Name: path}))
			must.OK(t, unix.Close(fd))
		},
	}
	for name, leave := range tests {
		t.Run(name, func(t *testing.T) {
			leave()
			l, err := Listen(t.Context(), path, 0o600)
			must.OK(t, err)
			must.OK(t, reaches(path, l))
			must.OK(t, l.Close())
			if exists(path) {
				t.Error("the file is left")
			}
		})
	}
}

// TestListenRace: many goroutines want the same path again and again. The one that has it can be
// reached there until it closes the listener or drops it without cleaning up.
func TestListenRace(t *testing.T) {
	testpeer.NothingLeft(t)
	path := filepath.Join(shortDir(t), "s")
	leaveSocket(t, path)
	const listeners, turns = 8, 25
	var group sync.WaitGroup
	for range listeners {
		group.Go(func() {
			for won := 0; won < turns; {
				l, err := Listen(context.Background(), path, 0o600)
				if errors.Is(err, syscall.EADDRINUSE) {
					continue
				}
				if err == nil {
					err = reaches(path, l)
				}
				if err != nil {
					t.Error(err)
					return
				}
				if won++; won%2 == 0 {
					_ = l.Close()
				} else {
					_ = l.(*listener).UnixListener.Close() // as when its process is killed
				}
			}
		})
	}
	group.Wait()
}

// TestListenErrors: errors are those of package net.
func TestListenErrors(t *testing.T) {
	dir := shortDir(t)
	must.OK(t, syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600)) // nobody waits for its writer
	for _, name := range []string{"none/s", "fifo/s", strings.Repeat("x", MaxPath)} {
		path := filepath.Join(dir, name)
		_, err := Listen(t.Context(), path, 0)
		_, want := net.Listen("unix", path)
		if err == nil || err.Error() != want.Error() {
			t.Errorf("%v, want %v", err, want)
		}
	}
	for _, path := range []string{"", "@zmqauth-test"} {
		if l, err := Listen(t.Context(), path, 0); err == nil {
			t.Errorf("%q: it listens at %v", path, l.Addr())
		}
	}
}

// TestCloseLeavesOthers: Close removes only the file that was made.
func TestCloseLeavesOthers(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	for name, replace := range map[string]func(){
		"another socket": func() { leaveSocket(t, path) },
		"a file":         func() { must.OK(t, os.WriteFile(path, nil, 0o600)) },
		"a link to it":   func() { must.OK(t, os.Symlink(path+"-moved", path)) },
		"nothing":        func() {},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := Listen(t.Context(), path, 0)
			must.OK(t, err)
			must.OK(t, os.Rename(path, path+"-moved"))
			replace()
			must.OK(t, l.Close())
			if exists(path) != (name != "nothing") || !exists(path+"-moved") {
				t.Error("a file is gone")
			}
			must.OK(t, os.Remove(path+"-moved"))
			_ = os.Remove(path)
		})
	}
}

// TestLockedByAnother: if a process of this user keeps the lock for ever, nobody else waits for
// ever, but no socket is removed. The error says who has the lock.
func TestLockedByAnother(t *testing.T) {
	dir := shortDir(t)
	path := filepath.Join(dir, "s")
	lock, err := files.TakeLock(t.Context(), dir, os.Geteuid(), time.Minute)
	must.OK(t, err)
	leaveSocket(t, path)
	short := func() context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	_, err = Listen(short(), path, 0)
	held, ok := errors.AsType[*files.HeldError](err)
	if !ok || held.By == "" || errors.Is(err, syscall.EADDRINUSE) || !exists(path) {
		t.Errorf("a dead socket: %v", err)
	}
	l, err := Listen(short(), path+"2", 0)
	must.OK(t, err)
	must.OK(t, l.Close())
	lock.Release()
	l, err = Listen(t.Context(), path, 0)
	must.OK(t, err)
	must.OK(t, l.Close())
}

// TestStrangersDoNotLock: what every user of the machine can do, to lock the directory or to make a
// file of the lock's name in it, keeps no stale socket where it is, and no live one is removed.
func TestStrangersDoNotLock(t *testing.T) {
	for name, foreign := range map[string]bool{"the directory": false, "the lock's name": true} {
		t.Run(name, func(t *testing.T) {
			dir := shortDir(t)
			path := filepath.Join(dir, "s")
			locked, err := os.Open(dir)
			must.OK(t, err)
			defer locked.Close()
			must.OK(t, unix.Flock(int(locked.Fd()), unix.LOCK_EX))
			squatter := filepath.Join(dir, fmt.Sprintf(".zmqauth-%d.lock", os.Geteuid()))
			if foreign {
				must.OK(t, os.WriteFile(squatter, nil, 0o644))
			}
			leaveSocket(t, path)
			l, err := Listen(t.Context(), path, 0)
			must.OK(t, err)
			if _, err := Listen(t.Context(), path, 0); !errors.Is(err, syscall.EADDRINUSE) {
				t.Errorf("over a live one: %v", err)
			}
			must.OK(t, reaches(path, l))
			must.OK(t, l.Close())
			if exists(squatter) != foreign {
				t.Error("the lock file is left, or that of somebody else is gone")
			}
		})
	}
}

// TestBind: a socket that another library has bound is recognised by its file.
func TestBind(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	leaveSocket(t, path)
	bind := func() error {
		if exists(path) {
			t.Error("the dead one is still there")
		}
		leaveSocket(t, path)
		return nil
	}
	socket, err := Bind(t.Context(), path, bind)
	must.OK(t, err)
	if !exists(path) {
		t.Fatal("it is gone")
	}
	again, err := Bind(t.Context(), path, bind)
	must.OK(t, err)
	must.OK(t, socket.Remove())
	if !exists(path) {
		t.Error("the first has removed what the second has made")
	}
	must.OK(t, again.Remove())
	if exists(path) {
		t.Error("it is left")
	}
	must.OK(t, again.Remove())
	fault := errors.New("fault")
	if _, err := Bind(t.Context(), path, func() error { return fault }); err != fault {
		t.Errorf("%v, want that of bind", err)
	}
}
