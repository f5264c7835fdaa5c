package sshtunnel

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

const (
	// commandGrace is how long a ProxyCommand may take to end after its connection.
	commandGrace = 2 * time.Second
	// maxSaid is how much of a line of a ProxyCommand's standard error is kept, in bytes.
	maxSaid = 1024
)

// commandConn is the connection to a server through a ProxyCommand: the program's standard input
// and output. The program ends with the connection.
type commandConn struct {
	in, out  *os.File // the program's standard input, which we write, and its output, which we read
	stderr   *os.File
	process  *exec.Cmd
	ended    chan struct{} // closed when the program has ended
	heard    chan struct{} // closed when its standard error has ended
	closing  sync.Once
	closed   chan struct{}
	mu       sync.Mutex
	lastLine string // of its standard error
}

// dialCommand starts a ProxyCommand.
func dialCommand(command string, logger *slog.Logger) (*commandConn, error) {
	process, err := shellCommand("exec " + command)
	if err != nil {
		return nil, err
	}
	c := &commandConn{
		process: process, ended: make(chan struct{}), heard: make(chan struct{}),
		closed: make(chan struct{}),
	}
	var theirs [3]*os.File
	defer func() { closeFiles(theirs[:]...) }()
	theirs[0], c.in, err = os.Pipe()
	if err == nil {
		c.out, theirs[1], err = os.Pipe()
	}
	if err == nil {
		c.stderr, theirs[2], err = os.Pipe()
	}
	if err == nil {
		process.Stdin, process.Stdout, process.Stderr = theirs[0], theirs[1], theirs[2]
		err = process.Start()
	}
	if err != nil {
		closeFiles(c.in, c.out, c.stderr)
		return nil, err
	}
	go func() {
		defer close(c.ended)
		_ = process.Wait()
	}()
	go c.listen(logger)
	return c, nil
}

// closeFiles closes files. Those that are nil were not opened, and Close does nothing.
func closeFiles(files ...*os.File) {
	for _, file := range files {
		_ = file.Close()
	}
}

// listen logs what the program says on its standard error.
func (c *commandConn) listen(logger *slog.Logger) {
	defer close(c.heard)
	lines := bufio.NewReaderSize(c.stderr, maxSaid)
	for {
		line, _, err := lines.ReadLine() // a longer line comes in parts
		if err != nil {
			return
		}
		if text := strings.ToValidUTF8(strings.TrimSpace(string(line)), "?"); text != "" {
			logger.Info("sshtunnel: ProxyCommand says", "text", text)
			c.mu.Lock()
			c.lastLine = text
			c.mu.Unlock()
		}
	}
}

func (c *commandConn) Read(p []byte) (int, error) { return c.out.Read(p) }

func (c *commandConn) Write(p []byte) (int, error) { return c.in.Write(p) }

// Close ends the program, and returns when it has ended.
func (c *commandConn) Close() error {
	c.closing.Do(func() {
		defer close(c.closed)
		closeFiles(c.in, c.out)
		hangUp(c.process)
		select {
		case <-c.ended:
		case <-time.After(commandGrace):
		}
		kill(c.process) // also what it has started
		<-c.ended
		closeFiles(c.stderr)
		<-c.heard
	})
	<-c.closed
	return nil
}

// explain adds to an error what the program has said last.
func (c *commandConn) explain(err error) error {
	select {
	case <-c.heard:
	case <-time.After(commandGrace): // it runs on; perhaps the server is at fault
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lastLine == "" {
		return fmt.Errorf("ProxyCommand: %w", err)
	}
	return fmt.Errorf("ProxyCommand: %w; it said %q", err, c.lastLine)
}

func (c *commandConn) LocalAddr() net.Addr  { return addr{"proxycommand", ""} }
func (c *commandConn) RemoteAddr() net.Addr { return addr{"proxycommand", ""} }

func (c *commandConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *commandConn) SetReadDeadline(t time.Time) error  { return c.out.SetReadDeadline(t) }
func (c *commandConn) SetWriteDeadline(t time.Time) error { return c.in.SetWriteDeadline(t) }

// runInShell runs the command of Match exec and reports whether it has succeeded. It is ended when
// ctx ends.
func runInShell(ctx context.Context, command string) (bool, error) {
	process, err := shellCommand(command)
	if err != nil {
		return false, err
	}
	if err := process.Start(); err != nil {
		return false, err
	}
	ended := make(chan error, 1)
	go func() { ended <- process.Wait() }()
	select {
	case err = <-ended:
	case <-ctx.Done():
		kill(process)
		<-ended
		return false, context.Cause(ctx)
	}
	var exit *exec.ExitError
	switch {
	case err == nil:
		return true, nil
	case errors.As(err, &exit) && exit.Exited():
		return false, nil
	}
	return false, fmt.Errorf("%q: %w", command, err)
}
