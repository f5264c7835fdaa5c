package stream

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// rpycServer is a ThreadedServer on a port that the kernel chooses; it prints the port. With the
// arguments key, certificate and CA it uses rpyc's own SSLAuthenticator. For each client it prints
// the name in the client's certificate. It ends with its standard input.
const rpycServer = `
import sys, threading
import rpyc
from rpyc.utils.authenticators import SSLAuthenticator
from rpyc.utils.server import ThreadedServer

class Service(rpyc.Service):
    def on_connect(self, conn):
        credentials = conn._config["credentials"]
        if credentials:
            subject = dict(pair for part in credentials["subject"] for pair in part)
            print("client", subject["commonName"], flush=True)
    def exposed_add(self, a, b):
        return a + b
    def exposed_each(self, values, f):  # calls back through the same connection
        return sum(f(v) for v in values)

authenticator = None
if len(sys.argv) > 1:
    key, cert, ca = sys.argv[1:]
    authenticator = SSLAuthenticator(key, cert, ca_certs=ca)
server = ThreadedServer(Service, hostname="127.0.0.1", port=0, authenticator=authenticator,
                        protocol_config={"allow_public_attrs": True})
server._listen()  # before anybody is told the port
threading.Thread(target=server.start, daemon=True).start()
print(server.port, flush=True)
sys.stdin.read()
`

// rpycClient connects with rpyc's own SSL client, calls, is called back, and sends a megabyte.
const rpycClient = `
import ssl, sys
import rpyc
from rpyc.utils.factory import ssl_connect
port, ca, cert, key = sys.argv[1:]
try:
    files = dict(keyfile=key or None, certfile=cert or None, ca_certs=ca)
    conn = ssl_connect("127.0.0.1", int(port), **files)
    conn.ping(data="x" * (1 << 20), timeout=30)
    print(conn.root.add(20, 3), conn.root.each([1, 2, 3], lambda v: v * v))
    conn.close()
except (ssl.SSLError, EOFError, OSError) as e:
    print("refused", getattr(e, "reason", None) or e)
`

// startRpyc starts rpycServer. It returns the address and what the server prints afterwards.
func startRpyc(t *testing.T, arguments ...string) (address string, lines *bufio.Reader) {
	t.Helper()
	python := testpeer.Python(t, "rpyc", "python3-rpyc")
	command := exec.Command(python,
		append([]string{"-W", "ignore", "-c", rpycServer}, arguments...)...)
	log := &logbuffer.Buffer{}
	command.Stderr = log
	stdin, err := command.StdinPipe()
	must.OK(t, err)
	stdout, err := command.StdoutPipe()
	must.OK(t, err)
	must.OK(t, command.Start())
	t.Cleanup(func() {
		_ = stdin.Close()
		_, _ = io.Copy(io.Discard, stdout)
		if err := command.Wait(); err != nil {
			t.Errorf("the rpyc server: %v\n%s", err, log)
		}
	})
	lines = bufio.NewReader(stdout)
	port, err := lines.ReadString('\n')
	if err != nil {
		t.Fatalf("the rpyc server: %v\n%s", err, log)
	}
	return net.JoinHostPort("127.0.0.1", strings.TrimSpace(port)), lines
}

// rpycMajor returns the first number of rpyc's version.
func rpycMajor(t *testing.T) (major int) {
	t.Helper()
	out, err := exec.Command(testpeer.Python(t, "rpyc", "python3-rpyc"), "-c",
		"import rpyc; print(rpyc.version.version[0])").Output()
	must.OK(t, err)
	_, err = fmt.Sscan(string(out), &major)
	must.OK(t, err)
	return major
}

// TestRpycClient: rpyc's SSL client gets through a Server with a TLSAuthenticator to a plain rpyc
// server.
func TestRpycClient(t *testing.T) {
	python := testpeer.Python(t, "rpyc", "python3-rpyc")
	plain, _ := startRpyc(t)
	_, address, client := tlsServer(t, func(s *Server) {
		s.Handler = func(ctx context.Context, conn net.Conn, _ any) {
			_ = Forward(ctx, conn, "tcp", plain)
		}
	})
	_, port, err := net.SplitHostPort(address)
	must.OK(t, err)
	foreign := newAuthority(t, "another CA").issue("mallory")
	for _, c := range []struct {
		id   identity
		want string
	}{
		{identity{client.CertFile, client.KeyFile}, "23 14"},
		{identity{}, "refused"},
		{foreign, "refused"},
	} {
		out, err := exec.CommandContext(patient(t), python, "-W", "ignore", "-c", rpycClient, port,
			client.CAFile, c.id.cert, c.id.key).CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), c.want) {
			t.Errorf("%v: %s, %v, want %s", c.id, out, err, c.want)
		}
	}
}

// TestRpycServer: rpyc's own SSLAuthenticator accepts DialTLS, sees the client's certificate, and
// answers a ping.
func TestRpycServer(t *testing.T) {
	testpeer.NothingLeft(t)
	ca := newAuthority(t, "CA")
	server, ann := ca.issue("server"), ca.issue("ann")
	address, lines := startRpyc(t, server.key, server.cert, ca.file)
	conn, err := DialTLS(patient(t), address, config(ann, ca))
	must.OK(t, err)
	defer conn.Close()

	// A frame is its length, whether it is compressed, and a final newline. Its content is brine, in
	// which 0x11 and 0x12 begin a tuple of two and three, 0x0e bytes, and 0x50 is zero: (request, 0,
	// (ping, (value, ("hello",)))). From version 6 on the kind of a message is a byte before the
	// brine.
	request, answer := "\x12\x51\x50", "\x12\x52\x50"
	if rpycMajor(t) >= 6 {
		request, answer = "\x01\x11\x50", "\x02\x11\x50"
	}
	ping := []byte(request + "\x11\x51\x11\x51\x10\x0e\x05hello")
	pong := []byte(answer + "\x11\x51\x0e\x05hello") // (reply, 0, (value, "hello"))
	frame := append(binary.BigEndian.AppendUint32(nil, uint32(len(ping))), 0)
	_, err = conn.Write(append(append(frame, ping...), '\n'))
	must.OK(t, err)
	reply := make([]byte, 5+len(pong)+1)
	_, err = io.ReadFull(conn, reply)
	must.OK(t, err)
	if !bytes.Equal(reply[5:5+len(pong)], pong) {
		t.Errorf("the reply is %x", reply)
	}
	if line, err := lines.ReadString('\n'); err != nil || line != "client ann\n" {
		t.Errorf("rpyc sees %q, %v", line, err)
	}

	for name, client := range map[string]TLSClient{
		"without a certificate":    {CAFile: ca.file},
		"with one of another CA's": config(newAuthority(t, "another CA").issue("mallory"), ca),
	} {
		refused, err := DialTLS(patient(t), address, client)
		if err == nil {
			_, err = refused.Read(make([]byte, 1))
			_ = refused.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "remote error: tls: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
