package activation

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// childOf names what the test program prints as a child: where At finds a socket.
const childOf = "ZMQAUTH_ACTIVATION_TEST"

func TestMain(m *testing.M) {
	if asked := os.Getenv(childOf); asked != "" {
		os.Exit(child(asked))
	}
	os.Exit(m.Run())
}

// child looks for the addresses, each "network address", separated by semicolons.
func child(asked string) int {
	s, err := Inherit()
	if err != nil {
		println(err.Error())
		return 1
	}
	for one := range strings.SplitSeq(asked, ";") {
		network, address, _ := strings.Cut(one, " ")
		if file := s.At(network, address); file == nil {
			println(one, "none")
		} else {
			println(one, file.Name())
		}
	}
	if err := s.Unused(); err != nil {
		println(err.Error())
	}
	if os.Getenv("LISTEN_FDS") != "" {
		println("the variables are still there")
	}
	return 0
}

// pass runs the test program as a child that gets the files.
func pass(t *testing.T, asked, names string, files ...*os.File) string {
	t.Helper()
	cmd := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0"`, os.Args[0])
	cmd.Env = append(os.Environ(), childOf+"="+asked, "LISTEN_FDNAMES="+names,
		"LISTEN_FDS="+string(rune('0'+len(files))))
	cmd.ExtraFiles = files
	out, err := cmd.CombinedOutput()
	if err != nil && !strings.Contains(string(out), "passes") {
		t.Errorf("%v\n%s", err, out)
	}
	return string(out)
}

// listening returns the file and the address of a new listener.
func listening(t *testing.T, network, address string) (*os.File, string) {
	t.Helper()
	l, err := net.Listen(network, address)
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, l.Close()) })
	file, err := l.(interface{ File() (*os.File, error) }).File()
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, file.Close()) })
	return file, l.Addr().String()
}

// TestAt: sockets are found by their addresses alone, and those that are not are named.
func TestAt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	loopback, at := listening(t, "tcp4", "127.0.0.1:0")
	everywhere, atAll := listening(t, "tcp4", "0.0.0.0:0")
	testpeer.NeedIPv6(t)
	six, atSix := listening(t, "tcp6", "[::1]:0")
	file, _ := listening(t, "unix", path)
	_, port, err := net.SplitHostPort(at)
	must.OK(t, err)
	_, portOfAll, err := net.SplitHostPort(atAll)
	must.OK(t, err)
	asked := []string{
		"tcp " + at, "tcp localhost:" + port, "tcp [::ffff:127.0.0.1]:" + port, // one socket
		"tcp *:" + portOfAll, "tcp :" + portOfAll, // another one
		"tcp " + atSix, "unix " + path,
		"tcp 127.0.0.1:" + portOfAll, "tcp *:" + port, "tcp [::]:" + portOfAll, "tcp eth0:" + port,
		"tcp nonsense", "unix " + at, "unix " + path + "2", "tcp " + path,
	}
	names := []string{"one", "one", "one", "all", "all", "six", "file",
		"none", "none", "none", "none", "none", "none", "none", "none"}
	var want strings.Builder
	for i, one := range asked {
		want.WriteString(one + " " + names[i] + "\n")
	}
	got := pass(t, strings.Join(asked, ";"), "one:all:six:file", loopback, everywhere, six, file)
	if got != want.String() {
		t.Errorf("got\n%swant\n%s", got, &want)
	}
	got = pass(t, "tcp "+at, "one:six:file", loopback, six, file)
	for _, part := range []string{`passes "six", which listens at ` + atSix + ":",
		`passes "file", which listens at ` + path + ":"} {
		if !strings.Contains(got, part) {
			t.Errorf("%q is not in\n%s", part, got)
		}
	}
	if strings.Contains(got, `"one"`) {
		t.Errorf("what is used is not used:\n%s", got)
	}
}

// TestWrong: what does not listen, or is no socket, is an error that names it.
func TestWrong(t *testing.T) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, conn.Close()) })
	datagrams, err := conn.File()
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, datagrams.Close()) })
	plain, err := os.Open(os.DevNull)
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, plain.Close()) })
	got := pass(t, "tcp 127.0.0.1:1", "datagrams:plain", datagrams, plain)
	for _, part := range []string{`passes "datagrams": it does not listen`,
		`passes "plain": getsockopt SO_ACCEPTCONN: socket operation on non-socket`} {
		if !strings.Contains(got, part) {
			t.Errorf("%q is not in\n%s", part, got)
		}
	}
}

// TestNothing: without the variables, or with those for another process, there is nothing.
func TestNothing(t *testing.T) {
	t.Setenv("LISTEN_FDS", "1")
	t.Setenv("LISTEN_PID", "1")
	s, err := Inherit()
	must.OK(t, err)
	if file := s.At(TCP, "127.0.0.1:1"); file != nil {
		t.Error("a socket for another process is taken")
	}
	must.OK(t, s.Unused())
	s = nil
	if s.At(Unix, "/") != nil || s.Unused() != nil {
		t.Error("none has a socket")
	}
}
