//go:build linux

package front

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

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
	self, err := os.Executable()
	must.OK(t, err)
	s := &strangers{command: exec.Command(self)}
	s.command.Env = append(os.Environ(),
		fmt.Sprintf("%s=%s %d %d", strangersVariable, endpoint, network, count))
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
	var endpoint string
	var network, count int
	_, err := fmt.Sscan(arguments, &endpoint, &network, &count)
	if err != nil || raiseDescriptors() != nil {
		os.Exit(1)
	}
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
	fmt.Println(len(in))
	_, _ = io.Copy(io.Discard, os.Stdin)
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
