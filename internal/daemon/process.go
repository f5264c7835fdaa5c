// Package daemon runs programs of other systems on loopback, for tests and measurements: stunnel,
// OpenSSH's sshd and ssh -L. The programs have keys and configurations of their own. They end with
// the process that started them.
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

// ErrMissing means that a program is not installed.
var ErrMissing = errors.New("not installed")

// Find returns the path of the first program that is installed. A name is looked up in PATH unless
// it is an absolute path. The error of Find matches ErrMissing.
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

	program string
	shell   *exec.Cmd
	// lifeline is the standard input of shell. The shell ends the program when lifeline is closed; the
	// system closes it at the latest when this process ends, however that happens.
	lifeline *os.File
	log      *logbuffer.Buffer // receives the program's standard error
	silent   chan struct{}     // closed when the standard error ends with the program
}

// underLifeline is a shell script. It starts the command "$@", prints its process id, and kills it
// when standard input ends.
const underLifeline = `"$@" >/dev/null & echo $!
exec >/dev/null 2>&1
read _
kill $! 2>/dev/null
wait`

// patience is how long a program may take to start or to stop.
const patience = 30 * time.Second

// Start starts a program. The program has the environment of this process and the variables in
// environment.
func Start(
	log *logbuffer.Buffer, environment []string, program string, args ...string,
) (*Process, error) {
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

// Stop kills the program and returns when it is gone.
func (p *Process) Stop() error {
	err := p.lifeline.Close()
	_ = p.shell.Wait() // the status of a process that has been killed
	<-p.silent
	return err
}

// Await waits until the condition holds. If the program ends before that or takes too long, Await
// stops it and returns an error with what it has logged.
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

// accepts reports whether a program listens at an address.
func accepts(network, address string) bool {
	conn, err := net.Dial(network, address)
	if err == nil {
		_ = conn.Close()
	}
	return err == nil
}

// portAttempts is how many ports to try before giving up.
const portAttempts = 5
