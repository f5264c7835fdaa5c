//go:build linux

package front

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// attacker is a program that does what a local process of another user can do to get in by a
// client's address: it looks for the addresses that are dialled from in the system's list, and
// dials the private endpoint from there, from the same port where it gets it, and from others. It
// counts its tries, and prints "in" for each that got a byte of libzmq's.
const attacker = `
import itertools, os, select, socket, sys, time
target = ("127.0.0.1", int(sys.argv[1]))
hello = bytes.fromhex(sys.argv[2])
tries = held = 0
def addresses():
    live = []
    for line in open("/proc/net/tcp").read().splitlines()[1:]:
        _, local, remote = line.split()[:3]
        ip, port = local.split(":")
        if remote == "0100007F:%04X" % target[1] and ip != "0100007F":
            live.append((".".join(str(b) for b in bytes.fromhex(ip)[::-1]), int(port, 16)))
    return live
def dial(ip, port, option=None):
    global tries, held
    s = socket.socket()
    s.settimeout(5)
    if option:
        s.setsockopt(socket.SOL_SOCKET, option, 1)
    try:
        s.bind((ip, port))
    except OSError:
        held += 1
        s.close()
        return
    tries += 1
    try:
        s.connect(target)
        s.sendall(hello)
        if s.recv(1):
            print("in", ip, port, flush=True)
    except OSError:
        pass
    s.close()
print("begun", os.getuid(), flush=True)
port = 0
while not select.select([sys.stdin], [], [], 0)[0]:
    live = addresses()
    if live:
        port = live[0][1]
    ips = [ip for ip, _ in live[-3:]] + ["127.0.0.1", "127.0.0.2", "127.200.0.1"]
    for ip in ips:
        dial(ip, 0)
        if port:
            dial(ip, port)
            dial(ip, port, socket.SO_REUSEADDR)
            dial(ip, port, socket.SO_REUSEPORT)
print("tries", tries, "held", held, flush=True)
`

// TestHole: a process of another user never gets in by the private endpoint, with CAP_NET_ADMIN in
// this process and without.
func TestHole(t *testing.T) {
	t.Run("with CAP_NET_ADMIN", testHole)
	t.Run("without CAP_NET_ADMIN", func(t *testing.T) {
		setpriv := testpeer.Program(t, "util-linux", "setpriv")
		if testpeer.Child(t, func(c *exec.Cmd) {
			c.Args = append([]string{setpriv, "--bounding-set", "-net_admin", "--inh-caps",
				"-net_admin", c.Path}, c.Args[1:]...)
			c.Path = setpriv
		}) {
			if hasNetAdmin(t) {
				t.Fatal("this process has CAP_NET_ADMIN")
			}
			testHole(t)
		}
	})
}

func hasNetAdmin(t *testing.T) bool {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	must.OK(t, err)
	_, rest, _ := strings.Cut(string(status), "CapEff:")
	var effective uint64
	_, err = fmt.Sscanf(rest, "%x", &effective)
	must.OK(t, err)
	const netAdmin = 12
	return effective&(1<<netAdmin) != 0
}

func testHole(t *testing.T) {
	s := newServer(t, zmq4.ROUTER, "NULL", "tcp://127.0.0.1:*", nil)
	// All who could be taken for a client get in.
	must.OK(t, s.a.AllowDomain("d", "127.0.0.0/8"))
	stop, output := startAttack(t, s)
	var honest atomic.Int64
	intruders := func() uint64 { return s.front.Stats().Reasons[ReasonIntruder] }
	for round := 0; honest.Load() < 300 || intruders() < 100; round++ { // both have had many turns
		conn := dial(t, s.front.Endpoint(), fmt.Sprintf("127.0.1.%d", 1+round%250))
		if !enter(t, conn) {
			t.Fatal("an honest client is not let in")
		}
		honest.Add(1)
		_ = conn.Close()
	}
	stop()
	var tries, held int
	for _, line := range *output {
		if strings.HasPrefix(line, "in ") {
			t.Errorf("the attacker is %s", line)
		}
		_, _ = fmt.Sscanf(line, "tries %d held %d", &tries, &held)
	}
	if tries == 0 || held == 0 {
		t.Errorf("%d tries, %d binds refused: %q", tries, held, *output)
	}
	t.Logf("%d honest clients, %d tries, %d binds refused; %v", honest.Load(), tries, held,
		s.front.Stats().Reasons)
	for len(s.decisions) > 0 {
		if d := <-s.decisions; !strings.HasPrefix(d.Address, "127.0.1.") {
			t.Errorf("a decision about somebody else: %+v", d)
		}
	}
}

// startAttack runs the attacker as another user, if this one may choose. stop ends it and waits for
// its output.
func startAttack(t *testing.T, s *server) (stop func(), output *[]string) {
	t.Helper()
	python := testpeer.Python(t, "socket", "python3")
	command := exec.Command(python, "-c", attacker, fmt.Sprint(s.front.engine.fence.at.Port()),
		fmt.Sprintf("%x", append(greetingOf(), ready...)))
	command.Stderr = os.Stderr
	if os.Getuid() == 0 {
		const nobody = 65534
		command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody,
			Gid: nobody}}
		command.Dir = "/"
	} else {
		testpeer.Without(t, "root", nil)
		t.Skip("only root can be two users")
	}
	input, err := command.StdinPipe()
	must.OK(t, err)
	pipe, err := command.StdoutPipe()
	must.OK(t, err)
	must.OK(t, command.Start())
	lines := bufio.NewScanner(pipe)
	if !lines.Scan() {
		t.Fatal("the attacker does not begin")
	}
	output = new([]string)
	return func() {
		_, _ = input.Write([]byte("\n"))
		for lines.Scan() {
			*output = append(*output, lines.Text())
		}
		must.OK(t, command.Wait())
	}, output
}
