//go:build linux

package front

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zmqauth/zmqauth/internal/must"
)

// strangersVariable has the arguments of a process that plays strangers.
const strangersVariable = "ZMQAUTH_TEST_STRANGERS"

func TestMain(m *testing.M) {
	if arguments := os.Getenv(strangersVariable); arguments != "" {
		playStrangers(arguments)
		return
	}
	os.Exit(m.Run())
}

// strangers are clients in a process of their own: so many, from addresses of 127.network.0.0/16.
// They speak NULL. Those who are let in stay.
type strangers struct {
	command *exec.Cmd
	input   io.Closer
	lines   *bufio.Scanner
}

func startStrangers(t testing.TB, endpoint string, network, count int) *strangers {
	t.Helper()
	return start(t, fmt.Sprintf("enter %s %d %d", endpoint, network, count))
}

func start(t testing.TB, arguments string) *strangers {
	t.Helper()
	self, err := os.Executable()
	must.OK(t, err)
	s := &strangers{command: exec.Command(self)}
	s.command.Env = append(os.Environ(), strangersVariable+"="+arguments)
	s.command.Stderr = os.Stderr
	s.input, err = s.command.StdinPipe()
	must.OK(t, err)
	output, err := s.command.StdoutPipe()
	must.OK(t, err)
	s.lines = bufio.NewScanner(output)
	must.OK(t, s.command.Start())
	// They stand for other machines, and must not take this one's processors.
	must.OK(t, syscall.Setpriority(syscall.PRIO_PROCESS, s.command.Process.Pid, 19))
	return s
}

// await waits until all have been let in or refused, and returns how many were let in.
func (s *strangers) await(t testing.TB) (in int) {
	t.Helper()
	if !s.lines.Scan() {
		t.Fatal("the strangers have ended")
	}
	_, err := fmt.Sscan(s.lines.Text(), &in)
	must.OK(t, err)
	return in
}

// leave has all leave.
func (s *strangers) leave(t testing.TB) {
	t.Helper()
	must.OK(t, s.input.Close())
	must.OK(t, s.command.Wait())
}

func playStrangers(arguments string) {
	var kind, endpoint string
	var network, count int
	_, err := fmt.Sscan(arguments, &kind, &endpoint, &network, &count)
	if err != nil || raiseDescriptors() != nil {
		os.Exit(1)
	}
	var in []io.Closer
	if kind == "flood" {
		playFlood(endpoint, network, count)
	} else {
		in = enterAll(endpoint, network, count)
	}
	fmt.Println(len(in))
	_, _ = io.Copy(io.Discard, os.Stdin)
	runtime.KeepAlive(in)
}

// enterAll has all connect, and returns the connections of those who were let in.
func enterAll(endpoint string, network, count int) []io.Closer {
	var all sync.WaitGroup
	var mu sync.Mutex
	var in []io.Closer
	slots := make(chan bool, 64)
	for i := range count {
		slots <- true
		all.Go(func() {
			defer func() { <-slots }()
			conn, err := tryDial(endpoint, fmt.Sprintf("127.%d.%d.%d", network, i/250, i%250+1))
			if err != nil {
				return
			}
			_, _ = conn.Write(append(greetingOf(), ready...))
			answer := make([]byte, 64+8)
			_, err = io.ReadFull(conn, answer)
			if err != nil || !strings.HasSuffix(string(answer), "READY") {
				_ = conn.Close()
				return
			}
			mu.Lock()
			defer mu.Unlock()
			in = append(in, conn)
		})
	}
	all.Wait()
	return in
}

// raiseDescriptors lets this process have as many descriptors as it may.
func raiseDescriptors() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur = limit.Max
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}

// floodRate is how many connections a flood begins in a second.
const floodRate = 10_000

// startFlood has a process of its own begin so many connections from addresses of
// 127.network.0.0/16 at floodRate, whatever comes of them. Each speaks NULL at once.
func startFlood(t testing.TB, endpoint string, network, count int) *strangers {
	t.Helper()
	return start(t, fmt.Sprintf("flood %s %d %d", endpoint, network, count))
}

func playFlood(endpoint string, network, count int) {
	const kept = 5000 // connections that are open at once
	to := netip.MustParseAddrPort(address(endpoint))
	var open []int
	begun := time.Now()
	for i := range count {
		time.Sleep(time.Until(begun.Add(time.Duration(i) * time.Second / floodRate)))
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			os.Exit(1)
		}
		from := [4]byte{127, byte(network), byte(i / 250), byte(i%250 + 1)}
		_ = unix.Bind(fd, &unix.SockaddrInet4{Addr: from})
		_ = unix.Connect(fd, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())})
		_, _ = unix.SendmsgN(fd, append(greetingOf(), ready...), nil, nil, unix.MSG_NOSIGNAL)
		if open = append(open, fd); len(open) > kept {
			_ = unix.Close(open[0])
			open = open[1:]
		}
	}
	for _, fd := range open {
		_ = unix.Close(fd)
	}
}
