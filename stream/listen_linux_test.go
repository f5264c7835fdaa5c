package stream

import (
	"fmt"
	"net"
	"os"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// TestListenAndServeAbstract: an abstract socket has no file that could be in the way.
func TestListenAndServeAbstract(t *testing.T) {
	testpeer.NothingLeft(t)
	address := fmt.Sprintf("@zmqauth-test-%d", os.Getpid())
	s := &Server{Authenticator: password, Handler: echo, Logger: quiet()}
	served := make(chan error)
	go func() { served <- s.ListenAndServe("unix", address) }()
	testpeer.Eventually(t, "the server answers", func() bool {
		conn, err := net.Dial("unix", address)
		if err != nil {
			return false
		}
		defer conn.Close()
		return giveWord(conn) == nil && exchange(conn, "hello") == nil
	})
	must.OK(t, s.Close())
	if err := <-served; err != ErrServerClosed {
		t.Error(err)
	}
}
