//go:build linux

package admin

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// stranger runs a Python program as another user, until its input ends, and waits for its first
// line. end ends it.
func stranger(t *testing.T, uid uint32, script string, args ...string) (said string, end func()) {
	t.Helper()
	testpeer.NeedRoot(t)
	python := testpeer.Program(t, "python3", "/usr/bin/python3", "python3")
	cmd := exec.Command(python, append([]string{"-c", script}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	cmd.Dir, cmd.Stderr = "/", os.Stderr
	stdin, err := cmd.StdinPipe()
	must.OK(t, err)
	stdout, err := cmd.StdoutPipe()
	must.OK(t, err)
	must.OK(t, cmd.Start())
	said, err = bufio.NewReader(stdout).ReadString('\n')
	must.OK(t, err)
	return said, func() { must.OK(t, errors.Join(stdin.Close(), cmd.Wait())) }
}

// hostPort is where a server listens.
func hostPort(s *served) (host, port string) {
	at := addressOfConn(s.Addr())
	return at.Addr().String(), fmt.Sprint(at.Port())
}

// holdConnections opens connections, gets an answer at each, and keeps those that stay open. It
// says how many that are.
const holdConnections = `
import socket, sys
host, port, many = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
held = []
for _ in range(many):
    s = socket.create_connection((host, port), 30)
    try:
        s.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        if s.recv(1):
            held.append(s)
    except OSError:
        pass
print(len(held), flush=True)
sys.stdin.read()
`

// TestUserTakesNoRoomOfOthers: one user of the host cannot keep another from the page, who is
// neither root nor the owner: Prometheus has a user of its own.
func TestUserTakesNoRoomOfOthers(t *testing.T) {
	s := serveHTTP(t, "127.0.0.1:0", HTTPConfig{})
	host, port := hostPort(s)
	said, end := stranger(t, 4242, holdConnections, host, port, fmt.Sprint(2*maxConnections))
	defer end()
	if want := fmt.Sprintln(maxOfOne); said != want {
		t.Errorf("a user has %q connections, want %q", said, want)
	}
	as := syscall.Credential{Uid: 4243, Gid: 4243}
	url := "http://" + s.Addr().String()
	for _, path := range []string{"/metrics", "/healthz"} {
		if got := curlAs(t, as, url+path); got != "200" {
			t.Errorf("%s: %s", path, got)
		}
	}
	if got := curlAs(t, syscall.Credential{Uid: 4242, Gid: 4242}, url+"/healthz"); got == "200" {
		t.Error("the user has another connection")
	}
	s.expect(t, "owner", everything)
}

// TestAddressTakesNoRoomOfOthers: the same, of an address of another host.
func TestAddressTakesNoRoomOfOthers(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	must.OK(t, err)
	defer inner.Close()
	l := newTCPListener(inner.(*net.TCPListener), false)
	admitted := func(from string) *client {
		t.Helper()
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		near, err := dialer.Dial("tcp", l.Addr().String())
		must.OK(t, err)
		t.Cleanup(func() { _ = near.Close() })
		far, err := l.AcceptTCP()
		must.OK(t, err)
		t.Cleanup(func() { _ = far.Close() })
		return l.admit(far)
	}
	var first *client
	for i := range maxOfOne {
		c := admitted("127.0.0.2")
		if c == nil || c.trusted {
			t.Fatalf("connection %d: %+v", i, c)
		}
		first = cmp.Or(first, c)
	}
	if admitted("127.0.0.2") != nil {
		t.Error("one more is let in")
	}
	if admitted("127.0.0.3") == nil {
		t.Error("another address is not let in")
	}
	must.OK(t, first.Close())
	if admitted("127.0.0.2") == nil {
		t.Error("a connection that has ended leaves no room")
	}
}

// askAlways asks for the metrics by many connections all the time.
const askAlways = `
import http.client, sys, threading
host, port, many = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
begun = threading.Semaphore(0)
def ask():
    while True:
        try:
            c = http.client.HTTPConnection(host, port, timeout=30)
            while True:
                c.request("GET", "/metrics")
                c.getresponse().read()
                begun.release()
        except OSError:
            pass
for _ in range(many):
    threading.Thread(target=ask, daemon=True).start()
for _ in range(many):
    begun.acquire()
print("begun", flush=True)
sys.stdin.read()
`

// TestMetricsForEverybody: a user who asks for the metrics all the time keeps nobody from them.
func TestMetricsForEverybody(t *testing.T) {
	s := serveHTTP(t, "127.0.0.1:0", HTTPConfig{})
	host, port := hostPort(s)
	_, end := stranger(t, 4242, askAlways, host, port, "16")
	defer end()
	as := syscall.Credential{Uid: 4243, Gid: 4243}
	for range 20 {
		if answer, text := s.do(t, http.MethodGet, "/metrics"); answer.StatusCode != http.StatusOK {
			t.Fatalf("root: %s: %s", answer.Status, text)
		}
		if got := curlAs(t, as, "http://"+s.Addr().String()+"/metrics"); got != "200" {
			t.Fatalf("another user: %s", got)
		}
	}
}

// falseControl listens at the path of a control socket in the place of a proxy, and answers that an
// attacker's key waits.
const falseControl = `
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen(5)
print("listening", flush=True)
c, _ = s.accept()
if c.recv(4096):
    body = b'{"pending": [{"domain": "d", "directory": "/etc/zmqauth/clients"}]}'
    c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
c.close()
`

// TestFalseControlSocket: what another user says at the path of a control socket is not believed.
func TestFalseControlSocket(t *testing.T) {
	dir := t.TempDir()
	must.OK(t, os.Chmod(filepath.Dir(dir), 0o755))
	must.OK(t, os.Chmod(dir, 0o777|os.ModeSticky))
	path := filepath.Join(dir, "c")
	_, end := stranger(t, 4242, falseControl, path)
	defer end()
	all, _, err := NewClient(path).Pending(t.Context())
	if err == nil || len(all) > 0 || !strings.Contains(err.Error(), "user 4242 listens") {
		t.Errorf("%v, %v", all, err)
	}
}

// TestControlSocketOfOwner: the user to whom the directory belongs is believed.
func TestControlSocketOfOwner(t *testing.T) {
	dir := t.TempDir()
	testpeer.GiveAway(t, dir, 4242, 4242)
	must.OK(t, os.Chmod(filepath.Dir(dir), 0o755))
	path := filepath.Join(dir, "c")
	_, end := stranger(t, 4242, falseControl, path)
	defer end()
	all, _, err := NewClient(path).Pending(t.Context())
	if err != nil || len(all) != 1 {
		t.Errorf("%v, %v", all, err)
	}
}
