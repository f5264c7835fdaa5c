package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

func TestDialable(t *testing.T) {
	for endpoint, want := range map[string]string{
		"tcp://*:5555":         "tcp :5555",
		"tcp://192.0.2.1:5555": "tcp 192.0.2.1:5555",
		"tcp://[::1]:5555":     "tcp [::1]:5555",
		"tcp://lo:5555":        "tcp 127.0.0.1:5555",
		"ipc:///run/a.sock":    "unix /run/a.sock",
		"ipc://@abstract":      "unix @abstract",
	} {
		network, address, err := dialable(endpoint)
		if got := network + " " + address; got != want || err != nil {
			t.Errorf("%s: %q, %v; want %q", endpoint, got, err, want)
		}
	}
	for _, endpoint := range []string{"tcp://127.0.0.1:*", "tcp://127.0.0.1:0", "tcp://127.0.0.1"} {
		if network, address, err := dialable(endpoint); err == nil {
			t.Errorf("%s: %s %s", endpoint, network, address)
		}
	}
}

// TestGreetsRefusesOthers: a server that is not a ZeroMQ socket is an error, and so is one that
// sends nothing before the deadline.
func TestGreetsRefusesOthers(t *testing.T) {
	for name, says := range map[string]string{
		"a web server": "HTTP/1.1 400 Bad Request\r\n", "nobody": "", "half": "\xff\x00",
	} {
		t.Run(name, func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			go func() {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				_, _ = conn.Write([]byte(says))
				_, _ = conn.Read(make([]byte, 1)) // waits until the client closes the connection
			}()
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			if err := greets(ctx, "tcp://"+listener.Addr().String(), nil); err == nil {
				t.Error("taken for a ZeroMQ socket")
			}
		})
	}
}

// TestHealthShowsUnreadableFiles: what the user who runs health cannot read is a fault.
func TestHealthShowsUnreadableFiles(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	must.OK(t, os.WriteFile(file("users"), []byte("ann=x\n"), 0o600))
	must.OK(t, os.WriteFile(file("policy.zpl"), []byte(`domain = a
    plain = users
    curve = keys
domain = b
    curve = locked
frontend = a
    type = router
    bind = ipc:///nowhere/a.sock
    backend = ipc:///nowhere/b.sock
    mechanism = plain
    domain = a
`), 0o600))
	must.OK(t, os.Mkdir(file("keys"), 0o700))
	must.OK(t, os.Mkdir(file("locked"), 0o700))
	health := func() (report healthReport) {
		command := exec.Command(binary, "health", "--config", "policy.zpl", "--json")
		command.Dir = dir
		if os.Getuid() == 0 { // root can read everything: another user, who owns the same files
			ids := []syscall.SysProcIDMap{{ContainerID: 1000, HostID: 0, Size: 1}}
			command.SysProcAttr = &syscall.SysProcAttr{
				Cloneflags: syscall.CLONE_NEWUSER, UidMappings: ids, GidMappings: ids,
			}
		}
		out, err := command.Output()
		if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) {
			testpeer.Without(t, "namespaces", err)
			t.Skipf("namespaces of one's own are not allowed here: %v", err)
		}
		must.OK(t, json.Unmarshal(out, &report))
		return report
	}
	for _, f := range health().Files {
		if !f.Healthy || f.Error != "" {
			t.Errorf("%+v", f)
		}
	}
	must.OK(t, os.Chmod(file("users"), 0))
	must.OK(t, os.Chmod(file("keys"), 0o100))   // it can be searched, and not read
	must.OK(t, os.Chmod(file("locked"), 0o400)) // it can be read, and not searched
	got := health()
	want := map[string]string{
		"users": "permission denied", "keys": "permission denied",
		"locked": "searching it: permission denied",
	}
	if len(got.Files) != len(want) || got.Healthy {
		t.Errorf("%+v", got)
	}
	for _, f := range got.Files {
		if f.Healthy || f.Error != want[filepath.Base(f.Path)] || f.Line == 0 {
			t.Errorf("%+v", f)
		}
	}
}
