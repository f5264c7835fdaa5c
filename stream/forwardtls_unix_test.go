//go:build unix

package stream

import (
	"context"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/privatedir"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// TestForwardTLSEndpoints: the kinds of local endpoints and their modes. Nothing is left of them.
func TestForwardTLSEndpoints(t *testing.T) {
	testpeer.NothingLeft(t)
	_, remote, client := tlsServer(t, nil)
	path := filepath.Join(t.TempDir(), "socket")
	locals := []string{"", "ipc://" + path, "tcp://127.0.0.1:0", "tcp://localhost:0"}
	if testpeer.HasIPv6(t) {
		locals = append(locals, "tcp://[::1]:0")
	}
	for _, local := range locals {
		f, err := ForwardTLS(context.Background(), local, remote, client)
		must.OK(t, err)
		must.OK(t, exchange(dialEndpoint(t, f.Endpoint()), "hello"))
		if file, ok := strings.CutPrefix(f.Endpoint(), "ipc://"); ok {
			info, err := os.Stat(file)
			must.OK(t, err)
			if info.Mode() != fs.ModeSocket|0o600 {
				t.Errorf("%s has the mode %v", f.Endpoint(), info.Mode())
			}
			if local == "" {
				above, err := os.Stat(filepath.Dir(file))
				must.OK(t, err)
				if above.Mode() != fs.ModeDir|0o700 {
					t.Errorf("its directory has the mode %v", above.Mode())
				}
				defer func() {
					if _, err := os.Stat(filepath.Dir(file)); !os.IsNotExist(err) {
						t.Errorf("the directory is left: %v", err)
					}
				}()
			}
		} else if !strings.HasPrefix(f.Endpoint(), "tcp://127.0.0.1:") &&
			!strings.HasPrefix(f.Endpoint(), "tcp://[::1]:") {
			t.Errorf("%s: %s", local, f.Endpoint())
		}
		must.OK(t, f.Close())
		must.OK(t, f.Close())
		must.OK(t, f.Wait())
		network, address, err := endpoint("", f.Endpoint())
		must.OK(t, err)
		if _, err := net.Dial(network, address); err == nil {
			t.Errorf("%s: the endpoint is left", local)
		}
	}
}

// TestForwardTLSElsewhere: if $TMPDIR is not suitable, the endpoint is in another directory.
// Nothing is left in either.
func TestForwardTLSElsewhere(t *testing.T) {
	testpeer.NothingLeft(t)
	_, remote, client := tlsServer(t, nil)
	long := filepath.Join(t.TempDir(), strings.Repeat("x", privatedir.MaxPath))
	shared := filepath.Join(t.TempDir(), "shared")
	for name, c := range map[string]struct {
		dir  string
		mode fs.FileMode
	}{"too long": {long, 0o700}, "others can rename": {shared, 0o777}} {
		t.Run(name, func(t *testing.T) {
			must.OK(t, os.Mkdir(c.dir, 0o700))
			must.OK(t, os.Chmod(c.dir, c.mode)) // without the sticky bit
			t.Setenv("TMPDIR", c.dir)
			t.Setenv("XDG_RUNTIME_DIR", "")
			f := forwardTLS(t, "", remote, client)
			path := strings.TrimPrefix(f.Endpoint(), "ipc://")
			if base := filepath.Dir(filepath.Dir(path)); base != "/tmp" {
				t.Errorf("its directory is in %s", base)
			}
			must.OK(t, exchange(dialEndpoint(t, f.Endpoint()), "hello"))
			must.OK(t, f.Close())
			if _, err := os.Stat(filepath.Dir(path)); !os.IsNotExist(err) {
				t.Errorf("the directory is left: %v", err)
			}
			if left, err := os.ReadDir(c.dir); err != nil || len(left) != 0 {
				t.Errorf("%v is left, %v", left, err)
			}
		})
	}
}

// TestForwardTLSStaleSocket: the path of a socket that another program left behind can be used
// again.
func TestForwardTLSStaleSocket(t *testing.T) {
	testpeer.NothingLeft(t)
	_, remote, client := tlsServer(t, nil)
	path := filepath.Join(t.TempDir(), "socket")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	must.OK(t, err)
	stale.SetUnlinkOnClose(false)
	must.OK(t, stale.Close())
	old := syscall.Umask(0) // the socket must be private all the same
	f := forwardTLS(t, "ipc://"+path, remote, client)
	syscall.Umask(old)
	must.OK(t, exchange(dialEndpoint(t, f.Endpoint()), "hello"))
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}
