//go:build linux

package front

import (
	"bytes"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// peer is a client of pyzmq: it sends messages, or receives them, or both. Message n is n bytes,
// each of them n.
const peer = `
import sys, zmq
kind, mechanism, endpoint, server, public, secret = sys.argv[1:7]
sizes = [int(n) for n in sys.argv[7:]]
context = zmq.Context()
s = context.socket(getattr(zmq, kind))
s.linger = 30000
s.rcvtimeo = s.sndtimeo = 30000
if mechanism == "PLAIN":
    s.plain_username, s.plain_password = b"ann", b"secret"
elif mechanism == "CURVE":
    s.curve_serverkey, s.curve_publickey, s.curve_secretkey = (
        server.encode(), public.encode(), secret.encode())
if kind == "SUB":
    s.subscribe = b""
s.connect(endpoint)
def send(n): s.send(bytes([n % 251]) * n)
def recv(n):
    got = s.recv()
    assert got == bytes([n % 251]) * n, (n, len(got))
for n in sizes:
    if kind in ("REQ", "DEALER", "PAIR", "PUSH"):
        send(n)
    if kind in ("REQ", "DEALER", "PAIR", "PULL", "SUB"):
        recv(n)
s.close()
context.term()
`

var sizes = []int{0, 1, 100, 255, 256, 10_000, bufferSize - 10, bufferSize, bufferSize + 1,
	3 * bufferSize, 2_000_000}

// TestPyzmq: clients of pyzmq of all kinds exchange messages of all sizes.
func TestPyzmq(t *testing.T) {
	python := testpeer.Python(t, "zmq", "python3-zmq")
	for _, mechanism := range []string{"NULL", "PLAIN", "CURVE"} {
		for _, kinds := range []struct {
			server zmq4.Type
			client string
		}{
			{zmq4.REP, "REQ"}, {zmq4.ROUTER, "DEALER"}, {zmq4.PAIR, "PAIR"}, {zmq4.PULL, "PUSH"},
			{zmq4.PUSH, "PULL"}, {zmq4.XPUB, "SUB"},
		} {
			t.Run(mechanism+" "+kinds.client, func(t *testing.T) {
				t.Parallel()
				s := newServer(t, kinds.server, mechanism, "tcp://127.0.0.1:*", nil)
				args := s.peerArguments(t, kinds.client, mechanism)
				command := exec.Command(python, append([]string{"-c", peer}, args...)...)
				command.Stderr = os.Stderr
				must.OK(t, command.Start())
				serve(t, s.socket, kinds.server)
				must.OK(t, command.Wait())
			})
		}
	}
}

func (s *server) peerArguments(t *testing.T, kind, mechanism string) []string {
	t.Helper()
	cert, err := zmqauth.NewCertificate()
	must.OK(t, err)
	must.OK(t, s.creds.SetKey(cert.Public, zmqauth.Entry{}))
	args := []string{kind, mechanism, s.front.Endpoint(), s.cert.Public.String(),
		cert.Public.String(), cert.Secret.Z85()}
	for _, size := range sizes {
		args = append(args, strconv.Itoa(size))
	}
	return args
}

// serve is the server's side of the exchange.
func serve(t *testing.T, s *zmq4.Socket, kind zmq4.Type) {
	t.Helper()
	if kind == zmq4.XPUB {
		_, err := s.RecvBytes(0) // the subscription
		must.OK(t, err)
	}
	for _, size := range sizes {
		message := [][]byte{bytes.Repeat([]byte{byte(size % 251)}, size)}
		if kind != zmq4.PUSH && kind != zmq4.XPUB {
			got, err := s.RecvMessageBytes(0)
			must.OK(t, err)
			if !bytes.Equal(got[len(got)-1], message[0]) {
				t.Fatalf("a message of %d bytes in place of %d", len(got[len(got)-1]), size)
			}
			message = got
		}
		if kind != zmq4.PULL {
			_, err := s.SendMessage(message)
			must.OK(t, err)
		}
	}
}
