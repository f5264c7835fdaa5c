package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pebbe/zmq4"
	"golang.org/x/sys/unix"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// TestProxyOutlivesItsLog: a reader of the log that ends, or that reads no more, neither ends the
// proxy nor keeps it from ending.
func TestProxyOutlivesItsLog(t *testing.T) {
	for _, test := range []struct {
		name string
		stop func(t *testing.T, reader *os.File)
	}{
		{"a reader that ends", func(t *testing.T, reader *os.File) { must.OK(t, reader.Close()) }},
		{"a reader that stalls", func(*testing.T, *os.File) {}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			zctx := testzmq.NewContext(t)
			config := strings.ReplaceAll(unixFrontend(echo(t, zctx)), "WORK", dir)
			policy := filepath.Join(dir, "zmqauth.zpl")
			must.OK(t, os.WriteFile(policy, []byte(config), 0o600))
			reader, writer, err := os.Pipe()
			must.OK(t, err)
			defer reader.Close()
			_, err = unix.FcntlInt(writer.Fd(), unix.F_SETPIPE_SZ, os.Getpagesize())
			must.OK(t, err)
			cmd := exec.Command(binary, "proxy", "--config", policy)
			cmd.Stderr = writer
			must.OK(t, cmd.Start())
			must.OK(t, writer.Close())
			exited := make(chan error, 1)
			go func() { exited <- cmd.Wait() }()
			t.Cleanup(func() { _ = cmd.Process.Kill() })
			client := testzmq.NewSocket(t, zctx, zmq4.REQ)
			must.OK(t, enter(t, client, "ipc://"+dir+"/f.sock", nil, nil))
			test.stop(t, reader)
			for i := range 100 { // each makes lines of the log
				other := testzmq.NewSocket(t, zctx, zmq4.REQ)
				must.OK(t, enter(t, other, "ipc://"+dir+"/f.sock", nil, nil))
				must.OK(t, other.Close())
				must.OK(t, ask(client, fmt.Sprint(i)))
			}
			must.OK(t, cmd.Process.Signal(syscall.SIGTERM))
			select {
			case err := <-exited:
				must.OK(t, err)
			case <-time.After(patience):
				t.Fatal("the proxy does not end")
			}
		})
	}
}

// TestProxyOutOfDescriptors: clients that cannot be accepted are turned away. The log says so once,
// the proxy does not keep a processor busy, and it accepts clients again when it can.
func TestProxyOutOfDescriptors(t *testing.T) {
	zctx := testzmq.NewContext(t)
	config := frontendConfig("f", "router", "tcp://127.0.0.1:*", echo(t, zctx), "null")
	p := startProxy(t, t.TempDir(), config, "--io-threads", "1")
	limit := unix.Rlimit{Cur: uint64(len(descriptors(t, p)) + 40)}
	limit.Max = limit.Cur
	must.OK(t, unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_NOFILE, &limit, nil))
	client := testzmq.NewSocket(t, zctx, zmq4.REQ)
	must.OK(t, enter(t, client, p.endpoint("f"), nil, nil))
	address := strings.TrimPrefix(p.endpoint("f"), "tcp://")
	var strangers []net.Conn
	for range 100 {
		conn, err := net.Dial("tcp", address)
		must.OK(t, err)
		strangers = append(strangers, conn)
	}
	const message = "zmqauth: connections are turned away"
	p.waitFor(message, map[string]string{"reason": "too-few-descriptors"})
	must.OK(t, ask(client, "still here"))
	const window = time.Second
	before := processorTime(t, p.cmd.Process.Pid)
	time.Sleep(window)
	if used := processorTime(t, p.cmd.Process.Pid) - before; used > window/2 {
		t.Errorf("%v of a processor in %v", used, window)
	}
	if _, count := p.find(message, nil); count != 1 {
		t.Errorf("%d lines", count)
	}
	for _, conn := range strangers {
		must.OK(t, conn.Close())
	}
	other := testzmq.NewSocket(t, zctx, zmq4.REQ)
	must.OK(t, enter(t, other, p.endpoint("f"), nil, nil))
	must.OK(t, ask(other, "hello"))
	must.OK(t, p.stop(syscall.SIGTERM))
}

func descriptors(t testing.TB, p *proxyProcess) []os.DirEntry {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	must.OK(t, err)
	return entries
}

// processorTime is the time that a process has used so far.
func processorTime(t testing.TB, pid int) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)) // see proc_pid_stat(5)
	must.OK(t, err)
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	var user, system int
	_, err = fmt.Sscan(fields[11]+" "+fields[12], &user, &system)
	must.OK(t, err)
	const tick = 10 * time.Millisecond // sysconf(_SC_CLK_TCK) is 100 on Linux
	return time.Duration(user+system) * tick
}

// TestPatientWriter: lines that have no room are counted, and the line about them stands where they
// would.
func TestPatientWriter(t *testing.T) {
	reader, writer, err := os.Pipe()
	must.OK(t, err)
	defer reader.Close()
	p := newPatientWriter(writer, func(count int) []byte { return fmt.Appendf(nil, "%d\n", count) })
	line := append(make([]byte, 64<<10), '\n')
	const lines = 3 * maxUnwritten / (64 << 10)
	for range lines {
		if n, err := p.Write(line); n != len(line) || err != nil {
			t.Fatal(n, err)
		}
	}
	written := 0
	rest := make(chan string, 1)
	go func() {
		var text strings.Builder
		buffer := make([]byte, 1<<20)
		for {
			n, err := reader.Read(buffer)
			text.Write(buffer[:n])
			if err != nil {
				rest <- text.String()
				return
			}
		}
	}()
	testpeer.Eventually(t, "there is room", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.unwritten == 0
	})
	_, _ = p.Write([]byte("after\n"))
	p.flush()
	must.OK(t, writer.Close())
	text := <-rest
	written = strings.Count(text, string(line))
	want := fmt.Sprintf("\x00\n%d\nafter\n", lines-written)
	if written == 0 || written == lines || !strings.HasSuffix(text, want) {
		t.Errorf("%d of %d lines, then %q", written, lines, text[len(text)-min(len(text), 20):])
	}
}
