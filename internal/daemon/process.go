// Package daemon runs programs of other systems on loopback, for tests and measurements: stunnel,
// OpenSSH's sshd and ssh -L. They have keys and configurations of their own, and end with the
// process that has started them.
package daemon

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/zmqauth/zmqauth/internal/logbuffer"
)

// ErrMissing says that a program is not installed.
var ErrMissing = errors.New("not installed")

// Find is the path of the first of the programs that is there, in PATH or at the absolute path
// given.
func Find(names ...string) (string, error) {
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: %w", strings.Join(names, " or "), ErrMissing)
}

// Process is a running program.
type Process struct {
	PID int

	program  string
	shell    *exec.Cmd
	lifeline *os.File          // the program ends when this is closed, which the end of this process does too
	log      *logbuffer.Buffer // what it has said on its standard error
	silent   chan struct{}     // closed when nothing will be said any more, as the program has ended
}

// underLifeline runs what "$@" is until its standard input ends, and says first which process that
// is.
const underLifeline = `"$@" >/dev/null & echo $!; exec >/dev/null 2>&1; read _; kill $! 2>/dev/null; wait`

// patience is how long a program may take until it can be used.
const patience = 30 * time.Second

// Start starts a program, with its own variables besides those of this process.
func Start(log *logbuffer.Buffer, environment []string, program string, args ...string) (*Process, error) {
	p := &Process{program: program, log: log, silent: make(chan struct{})}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = read.Close() }()
	p.shell = exec.Command("sh", append([]string{"-c", underLifeline, "sh", program}, args...)...)
	p.shell.Env, p.shell.Stdin, p.lifeline = append(os.Environ(), environment...), read, write
	number, err1 := p.shell.StdoutPipe()
	said, err2 := p.shell.StderrPipe()
	if err := errors.Join(err1, err2, p.shell.Start()); err != nil {
		return nil, errors.Join(err, write.Close())
	}
	go func() {
		defer close(p.silent)
		_, _ = io.Copy(log, said)
	}()
	text, err := io.ReadAll(number)
	if err == nil {
		p.PID, err = strconv.Atoi(strings.TrimSpace(string(text)))
	}
	if err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	return p, nil
}

// Stop returns when the program is gone.
func (p *Process) Stop() error {
	err := p.lifeline.Close()
	_ = p.shell.Wait() // the status of a process that has been killed
	<-p.silent
	return err
}

// Await returns when the condition holds, or stops the program and is an error: it has ended
// before, or takes too long.
func (p *Process) Await(condition func() bool) error {
	for deadline := time.Now().Add(patience); !condition(); {
		fault := ""
		select {
		case <-p.silent:
			fault = "has ended"
		case <-time.After(2 * time.Millisecond):
			if time.Now().Before(deadline) {
				continue
			}
			fault = "takes too long to start"
		}
		return errors.Join(fmt.Errorf("%s %s: %s", p.program, fault, p.log), p.Stop())
	}
	return nil
}

// accepts tells whether somebody listens at an address.
func accepts(network, address string) bool {
	conn, err := net.Dial(network, address)
	if err == nil {
		_ = conn.Close()
	}
	return err == nil
}

// freePort is one that was free a moment ago, for programs that do not say which port the kernel
// has chosen. Somebody else may take it first.
func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return listener.Addr().(*net.TCPAddr).Port, listener.Close()
}

// portAttempts is how many ports are tried.
const portAttempts = 5
