//go:build unix

package stream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

func acceptError(err error) error {
	return &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", err)}
}

// TestAcceptErrors: errors that may pass are survived and logged. Others end Serve.
func TestAcceptErrors(t *testing.T) {
	testpeer.NothingLeft(t)
	for name, c := range map[string]struct {
		err       error
		temporary bool
	}{
		"too many open files":       {acceptError(syscall.EMFILE), true},
		"too many in the system":    {acceptError(syscall.ENFILE), true},
		"no buffers":                {acceptError(syscall.ENOBUFS), true},
		"no memory":                 {acceptError(syscall.ENOMEM), true},
		"a client that is gone":     {acceptError(syscall.ECONNABORTED), true},
		"a firewall":                {acceptError(syscall.EPERM), true},
		"one that says so":          {fmt.Errorf("wrapped: %w", temporaryError{}), true},
		"a bad descriptor":          {acceptError(syscall.EBADF), false},
		"no listener":               {acceptError(syscall.EINVAL), false},
		"a deadline":                {&net.OpError{Op: "accept", Err: os.ErrDeadlineExceeded}, false},
		"closed by somebody":        {&net.OpError{Op: "accept", Err: net.ErrClosed}, false},
		"one that nobody has heard": {errors.New("strange"), false},
		"nothing at all":            {nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			log := &logbuffer.Buffer{}
			handled := make(chan struct{})
			s := &Server{Authenticator: AllowAny,
				Logger: log.Logger(), Handler: func(context.Context, net.Conn, any) {
					close(handled)
				}}
			l := &scriptedListener{done: make(chan struct{})}
			here, there := net.Pipe()
			defer there.Close()
			l.script = func(n int) (net.Conn, error) {
				switch n {
				case 0, 1:
					return nil, c.err
				case 2:
					return here, nil
				}
				<-l.done
				return nil, net.ErrClosed
			}
			served := make(chan error, 1)
			go func() { served <- s.Serve(l) }()
			if !c.temporary {
				if err := <-served; err == nil || !errors.Is(err, c.err) && c.err != nil ||
					!strings.HasPrefix(err.Error(), "stream: accept on 127.0.0.1:0: ") {
					t.Errorf("Serve: %v", err)
				}
				return
			}
			<-handled
			if n := strings.Count(log.String(), "cannot accept for now"); n != 1 { // of two within a second
				t.Errorf("said %d times:\n%s", n, log)
			}
			must.OK(t, s.Close())
			if err := <-served; err != ErrServerClosed {
				t.Error(err)
			}
		})
	}
}

type temporaryError struct{}

func (temporaryError) Error() string   { return "in a moment" }
func (temporaryError) Temporary() bool { return true }

// TestBackOff: errors in a row do not keep the processor busy. Close does not wait for the next
// try.
func TestBackOff(t *testing.T) {
	testpeer.NothingLeft(t)
	s := &Server{Authenticator: AllowAny, Handler: echo, Logger: quiet()}
	tries := make(chan struct{}, 1000)
	l := &scriptedListener{script: func(int) (net.Conn, error) {
		tries <- struct{}{}
		return nil, acceptError(syscall.EMFILE)
	}}
	served := make(chan error, 1)
	begun := time.Now()
	go func() { served <- s.Serve(l) }()
	for range 6 {
		<-tries
	}
	if took := time.Since(begun); took < 31*minBackOff { // 1+2+4+8+16
		t.Errorf("6 tries within %v", took)
	}
	must.OK(t, s.Close())
	if err := <-served; err != ErrServerClosed {
		t.Error(err)
	}
}
