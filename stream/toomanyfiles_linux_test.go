package stream

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// TestTooManyFiles: silent clients have taken all descriptors of a server. It still lets in a
// client that knows the password.
func TestTooManyFiles(t *testing.T) {
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childVariable+"=1")
	stdin, err := child.StdinPipe() // the child ends with it
	must.OK(t, err)
	stdout, err := child.StdoutPipe()
	must.OK(t, err)
	log := &logbuffer.Buffer{}
	child.Stderr = log
	must.OK(t, child.Start())
	t.Cleanup(func() {
		_ = stdin.Close()
		if err := child.Wait(); err != nil {
			t.Errorf("%v\n%s", err, log)
		}
	})
	var address string
	_, err = fmt.Fscan(stdout, &address)
	must.OK(t, err)
	var silent []net.Conn
	for range 100 {
		silent = append(silent, dialTCP(t, address))
	}
	testpeer.Eventually(t, "the descriptors are used up", func() bool {
		return strings.Contains(log.String(), "too many open files")
	})
	for range 5 {
		begun := time.Now()
		conn := enter(t, address)
		must.OK(t, conn.Close())
		if took := time.Since(begun); took > patience/3 {
			t.Errorf("it took %v", took)
		}
	}
	for _, conn := range silent {
		must.OK(t, conn.Close())
	}
	must.OK(t, enter(t, address).Close())
}

// serveWithFewFiles serves until its standard input ends.
func serveWithFewFiles() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	fail(err)
	limit := uint64(testpeer.Descriptors() + 20)
	fail(syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: limit, Max: limit}))
	s := &Server{
		Authenticator: password, Handler: echo, HandshakeTimeout: 2 * patience,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	fmt.Println(l.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
	fail(s.Close())
	fail(s.Shutdown(context.Background()))
	if err := <-served; err != ErrServerClosed {
		fail(err)
	}
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
