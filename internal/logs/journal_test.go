package logs

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// fakeJournal is a socket as the journal's.
func fakeJournal(t *testing.T) (conn *net.UnixConn, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "socket")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	must.OK(t, err)
	t.Cleanup(func() { _ = conn.Close() }) // a test may have closed it
	return conn, path
}

// receive reads an entry, also from a memory file, which has to be sealed.
func receive(t *testing.T, conn *net.UnixConn) map[string]string {
	t.Helper()
	entry, rights := make([]byte, 1<<18), make([]byte, 1024)
	must.OK(t, conn.SetReadDeadline(time.Now().Add(30*time.Second)))
	n, m, _, _, err := conn.ReadMsgUnix(entry, rights)
	must.OK(t, err)
	if entry = entry[:n]; m > 0 {
		messages, err := unix.ParseSocketControlMessage(rights[:m])
		must.OK(t, err)
		fds, err := unix.ParseUnixRights(&messages[0])
		must.OK(t, err)
		file := os.NewFile(uintptr(fds[0]), "entry")
		defer file.Close()
		seals, err := unix.FcntlInt(file.Fd(), unix.F_GET_SEALS, 0)
		must.OK(t, err)
		if want := unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE; seals&want != want {
			t.Errorf("seals %x", seals)
		}
		entry, err = io.ReadAll(io.NewSectionReader(file, 0, 1<<30))
		must.OK(t, err)
	}
	return parse(t, entry)
}

// parse reads an entry as the protocol says.
func parse(t *testing.T, entry []byte) map[string]string {
	t.Helper()
	fields := make(map[string]string)
	for len(entry) > 0 {
		line, rest, ok := bytes.Cut(entry, []byte("\n"))
		if !ok {
			t.Fatalf("%q has no end", entry)
		}
		name, value, simple := strings.Cut(string(line), "=")
		if !simple {
			size := binary.LittleEndian.Uint64(rest)
			value, rest = string(rest[8:8+size]), rest[8+size:]
			if len(rest) == 0 || rest[0] != '\n' {
				t.Fatalf("%s has no end", name)
			}
			rest = rest[1:]
		}
		if _, twice := fields[name]; twice || strings.Trim(name,
			"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "" || name[0] == '_' || len(name) > 64 {
			t.Errorf("field %q", name)
		}
		fields[name], entry = value, rest
	}
	return fields
}

// TestJournal: attributes become fields, whatever is in them; no value makes fields of its own.
func TestJournal(t *testing.T) {
	conn, path := fakeJournal(t)
	w, err := JournalWriter(path)
	must.OK(t, err)
	level := new(slog.LevelVar)
	log := slog.New(NewJournal(w, level)).With("frontend", "orders")
	const hostile = "eve\nPRIORITY=0\nMESSAGE=all is well"
	log.Info("zmqauth: refused", "reason", "unknown-key", "status", 400, "user", hostile,
		"message", "a", "took-it", 1500*time.Millisecond, "_PID", 1, strings.Repeat("k", 100), "v")
	got := receive(t, conn)
	for name, want := range map[string]string{"PRIORITY": "6", "SYSLOG_IDENTIFIER": "zmqauth",
		"ZMQAUTH_REASON": "unknown-key", "ZMQAUTH_STATUS": "400", "ZMQAUTH_USER": hostile,
		"ZMQAUTH_FRONTEND": "orders", "ZMQAUTH_MESSAGE": "a", "ZMQAUTH_TOOK_IT": "1.5s",
		"ZMQAUTH__PID": "1"} {
		if got[name] != want {
			t.Errorf("%s: %q, want %q", name, got[name], want)
		}
	}
	message := got["MESSAGE"]
	begin := "zmqauth: refused frontend=orders reason=unknown-key status=400 "
	if !strings.HasPrefix(message, begin) || strings.Contains(message, "\n") {
		t.Errorf("%q", message)
	}
	log.Debug("nobody reads this")
	level.Set(slog.LevelDebug)
	log.WithGroup("g").Debug("two\nlines", slog.Group("h", "x", 1), "y", "")
	got = receive(t, conn)
	if got["MESSAGE"] != "two\nlines frontend=orders g.h.x=1 g.y=\"\"" || got["PRIORITY"] != "7" ||
		got["ZMQAUTH_G_H_X"] != "1" {
		t.Errorf("%q", got)
	}
	log.Warn("w")
	log.Error("e")
	if a, b := receive(t, conn), receive(t, conn); a["PRIORITY"] != "4" || b["PRIORITY"] != "3" {
		t.Errorf("%q %q", a, b)
	}
	large := strings.Repeat("é", 1<<19)
	log.Error("large", "stack", large)
	if got := receive(t, conn); got["ZMQAUTH_STACK"] != large || got["MESSAGE"] == "" {
		t.Errorf("%d bytes", len(got["ZMQAUTH_STACK"]))
	}
}

// TestNoJournal: where nobody listens is an error at once. A journal that is restarted gets entries
// again.
func TestNoJournal(t *testing.T) {
	if _, err := JournalWriter(filepath.Join(t.TempDir(), "none")); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("%v", err)
	}
	conn, path := fakeJournal(t)
	w, err := JournalWriter(path)
	must.OK(t, err)
	must.OK(t, conn.Close())
	_ = os.Remove(path)
	if _, err := w.Write([]byte("MESSAGE=lost\n")); err == nil {
		t.Error("nobody is there, and no error")
	}
	again, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, again.Close()) })
	_, err = w.Write([]byte("MESSAGE=back\n"))
	must.OK(t, err)
	if got := receive(t, again); got["MESSAGE"] != "back" {
		t.Errorf("%q", got)
	}
}

// TestRealJournal: systemd's journal takes the entries, also a large one, and finds them by field.
func TestRealJournal(t *testing.T) {
	journald := testpeer.Program(t, "systemd", "/usr/lib/systemd/systemd-journald")
	journalctl := testpeer.Program(t, "systemd", "journalctl")
	testpeer.NeedRoot(t)
	if !testpeer.Mounting(t) {
		return
	}
	must.OK(t, unix.Mount("tmpfs", "/run", "tmpfs", 0, ""))
	must.OK(t, os.MkdirAll("/run/systemd/journal", 0o755))
	must.OK(t, os.MkdirAll("/run/log/journal", 0o755))
	if _, err := os.Stat("/etc/machine-id"); err != nil {
		must.OK(t, unix.Mount("tmpfs", "/etc", "tmpfs", 0, ""))
		must.OK(t, os.WriteFile("/etc/machine-id", []byte(strings.Repeat("0a", 16)+"\n"), 0o444))
	}
	var said bytes.Buffer
	daemon := exec.Command(journald)
	daemon.Stdout, daemon.Stderr = &said, &said
	must.OK(t, daemon.Start())
	defer func() {
		must.OK(t, daemon.Process.Signal(syscall.SIGTERM))
		_ = daemon.Wait()
	}()
	var w io.Writer
	testpeer.Eventually(t, "the journal listens", func() (ok bool) {
		var err error
		w, err = JournalWriter(JournalSocket)
		return err == nil
	})
	log := slog.New(NewJournal(w, slog.LevelInfo))
	large := strings.Repeat("x", 1<<18)
	log.Warn("zmqauth: refused", "reason", "unknown-key", "user", "a\nb")
	log.Error("large", "stack", large)
	find := func(match string) (found []map[string]any) {
		out, err := exec.Command(journalctl, "--no-pager", "--output=json", "--all", match).Output()
		if err != nil && len(out) == 0 {
			return nil // there is no file of the journal yet
		}
		for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
			var entry map[string]any
			if err := decoder.Decode(&entry); err != nil {
				return found
			}
			found = append(found, entry)
		}
	}
	testpeer.Eventually(t, "the journal has both", func() bool {
		return len(find("SYSLOG_IDENTIFIER=zmqauth")) == 2
	})
	found := find("ZMQAUTH_REASON=unknown-key")
	if len(found) != 1 || found[0]["ZMQAUTH_USER"] != "a\nb" || found[0]["PRIORITY"] != "4" ||
		found[0]["MESSAGE"] != `zmqauth: refused reason=unknown-key user="a\nb"` {
		t.Errorf("%v\n%s", found, said.String())
	}
	if found = find("PRIORITY=3"); len(found) != 1 || found[0]["ZMQAUTH_STACK"] != large {
		t.Errorf("%d are large", len(found))
	}
}
