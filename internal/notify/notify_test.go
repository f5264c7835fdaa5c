package notify

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/logbuffer"
)

// listen is the service manager's end, at that address.
func listen(t *testing.T, address string) *net.UnixConn {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	t.Setenv("NOTIFY_SOCKET", address)
	return conn
}

func next(t *testing.T, conn *net.UnixConn) string {
	t.Helper()
	buffer := make([]byte, 4096)
	_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	n, err := conn.Read(buffer)
	if err != nil {
		t.Fatal(err)
	}
	return string(buffer[:n])
}

func expect(t *testing.T, conn *net.UnixConn, want string) {
	t.Helper()
	if got := next(t, conn); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func alive() bool { return true }

// TestManager: what is said goes to the socket, be it a path or abstract, and a status that has
// not changed is not said again.
func TestManager(t *testing.T) {
	for _, address := range []string{filepath.Join(t.TempDir(), "notify"),
		fmt.Sprintf("@zmqauth-notify-%d", os.Getpid())} {
		conn := listen(t, address)
		t.Setenv("WATCHDOG_USEC", "3000000000")
		m := New(slog.New(slog.DiscardHandler))
		m.Ready("one\nline")
		expect(t, conn, "READY=1\nSTATUS=one line\n")
		m.Beat(true, "one line")
		expect(t, conn, "WATCHDOG=1\n")
		m.Beat(false, "one line") // says nothing
		m.Beat(false, "two")
		expect(t, conn, "STATUS=two\n")
		failed := errors.New("wrong")
		if err := m.Reload(alive, time.Hour, func() string { return "three" }, func() error {
			if got := next(t, conn); !regexp.MustCompile(
				`^RELOADING=1\nMONOTONIC_USEC=[1-9][0-9]*\n$`).MatchString(got) {
				t.Errorf("%q", got)
			}
			return failed
		}); err != failed {
			t.Error(err)
		}
		expect(t, conn, "READY=1\nSTATUS=three\n")
		m.Stopping()
		expect(t, conn, "STOPPING=1\nSTATUS=ending\n")
	}
}

// TestBusy: what takes long does not starve the watchdog, unless it takes longer than it may or
// the program is not alive.
func TestBusy(t *testing.T) {
	conn := listen(t, filepath.Join(t.TempDir(), "notify"))
	t.Setenv("WATCHDOG_USEC", "2000")
	m := New(slog.New(slog.DiscardHandler))
	<-m.C()
	done := m.Busy(alive, time.Hour)
	for range 3 {
		expect(t, conn, "WATCHDOG=1\n")
	}
	done()
	m.Beat(false, "marks the end")
	for next(t, conn) == "WATCHDOG=1\n" {
	}

	looked := make(chan struct{}, 2)
	dead := func() bool {
		select {
		case looked <- struct{}{}:
		default:
		}
		return false
	}
	done = m.Busy(dead, time.Hour)
	<-looked
	<-looked
	done()
	m.Beat(false, "dead")
	expect(t, conn, "STATUS=dead\n")

	defer m.Busy(alive, 20*time.Millisecond)()
	silence := 500 * time.Millisecond // 25 times the limit
	for deadline := time.Now().Add(30 * time.Second); ; {
		_ = conn.SetReadDeadline(time.Now().Add(silence))
		if _, err := conn.Read(make([]byte, 100)); errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a loop that is stuck is kept alive")
		}
	}
}

// TestNoManager: without a service manager nothing is said, and work is done.
func TestNoManager(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	m := New(slog.New(slog.DiscardHandler))
	if m != nil || m.C() != nil {
		t.Fatal("there is one")
	}
	m.Ready("")
	m.Beat(true, "")
	m.Busy(alive, 0)()
	m.Stopping()
	called := false
	err := m.Reload(alive, 0, nil, func() error { called = true; return nil })
	if err != nil || !called {
		t.Error(called, err)
	}
}

// TestUnheard: a manager that cannot be reached is in the log, once; a watchdog for another process
// or that makes no sense is none.
func TestUnheard(t *testing.T) {
	log := new(logbuffer.Buffer)
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "missing"))
	t.Setenv("WATCHDOG_USEC", "soon")
	m := New(slog.New(slog.NewTextHandler(log, nil)))
	m.Ready("")
	m.Stopping()
	text := log.String()
	if strings.Count(text, MessageUnheard) != 1 || !strings.Contains(text, "watchdog") {
		t.Errorf("%s", text)
	}
	t.Setenv("WATCHDOG_USEC", "1000000")
	t.Setenv("WATCHDOG_PID", "1")
	if New(slog.New(slog.DiscardHandler)).watched {
		t.Error("another process's watchdog")
	}
}
