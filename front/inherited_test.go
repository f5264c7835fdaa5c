//go:build linux

package front

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// filed is a listener, or another socket, with a file of it.
func filed[L interface {
	File() (*os.File, error)
	Close() error
}](t *testing.T, l L, err error) *os.File {
	t.Helper()
	must.OK(t, err)
	file, err := l.File()
	must.OK(t, err)
	must.OK(t, l.Close())
	t.Cleanup(func() { must.OK(t, file.Close()) })
	return file
}

// TestInherited: a Front takes a socket that listens already, and a later one takes it again.
func TestInherited(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	tcp, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	at := "tcp://" + tcp.Addr().String()
	file := filed(t, tcp, err)
	unix, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	unix.SetUnlinkOnClose(false)
	for endpoint, file := range map[string]*os.File{at: file, "ipc://" + path: filed(t, unix, err)} {
		for range 2 {
			s := newServer(t, zmq4.ROUTER, "CURVE", endpoint, &Config{Listener: file})
			if got := s.front.Endpoint(); got != endpoint {
				t.Errorf("it listens at %s, want %s", got, endpoint)
			}
			client := s.client(t, testzmq.NewContext(t), zmq4.DEALER)
			must.OK(t, client.Connect(endpoint))
			_, err := client.SendMessage("hello")
			must.OK(t, err)
			must.OK(t, s.socket.SetRcvtimeo(patience))
			_, err = s.socket.RecvMessage(0)
			must.OK(t, err)
			must.OK(t, s.front.Close())
		}
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the Front has removed a file that it did not make: %v", err)
	}
}

// TestInheritedWrong: a file that does not listen for the endpoint is an error, and is not closed.
func TestInheritedWrong(t *testing.T) {
	udp, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	datagrams := filed(t, udp, err)
	unix, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "s"),
		Net: "unix"})
	stream := filed(t, unix, err)
	s := newServer(t, zmq4.ROUTER, "CURVE", "tcp://127.0.0.1:0", nil)
	for _, file := range []*os.File{datagrams, stream} {
		front, err := Listen(s.a, s.socket, "tcp://127.0.0.1:0", &Config{Listener: file})
		if err == nil {
			must.OK(t, front.Close())
		}
		if err == nil || !strings.Contains(err.Error(), "does not listen for the transport") {
			t.Errorf("%s: %v", file.Name(), err)
		}
	}
}
