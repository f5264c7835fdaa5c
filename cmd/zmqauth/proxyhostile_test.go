package main

import (
	bigendian "encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// TestProxyLimitsMessages: a peer that announces a message beyond the limit is cut off, both before
// and after it is admitted. A message within the limit passes.
func TestProxyLimitsMessages(t *testing.T) {
	dir := t.TempDir()
	zctx := testzmq.NewContext(t)
	p := startProxy(t, dir, frontendConfig("orders", "router", "tcp://127.0.0.1:*", echo(t, zctx),
		"null", "max-message = 1000000"))

	stranger, err := net.Dial("tcp", strings.TrimPrefix(p.endpoint("orders"), "tcp://"))
	must.OK(t, err)
	defer stranger.Close()
	must.OK(t, stranger.SetDeadline(time.Now().Add(patience)))
	greeting := make([]byte, 64) // ZMTP 3.0 (RFC 23): signature, version, mechanism
	greeting[0], greeting[9], greeting[10] = 0xff, 0x7f, 3
	copy(greeting[12:], "NULL")
	longCommand := append(greeting, 0x06)
	_, err = stranger.Write(bigendian.BigEndian.AppendUint64(longCommand, 2<<30))
	must.OK(t, err)
	if _, err := io.Copy(io.Discard, stranger); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the proxy waits for a handshake of 2 GiB")
	} else if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}

	client := testzmq.NewSocket(t, zctx, zmq4.REQ)
	must.OK(t, enter(t, client, p.endpoint("orders"), nil, nil))
	must.OK(t, ask(client, strings.Repeat("x", 900_000)))
	monitor := testzmq.NewSocket(t, zctx, zmq4.PAIR)
	must.OK(t, errors.Join(
		client.Monitor("inproc://limit", zmq4.EVENT_DISCONNECTED),
		monitor.SetRcvtimeo(patience),
		monitor.Connect("inproc://limit"),
	))
	_, err = client.Send(strings.Repeat("x", 1_000_001), 0)
	must.OK(t, err)
	if event, _, _, err := monitor.RecvEvent(0); err != nil || event != zmq4.EVENT_DISCONNECTED {
		t.Errorf("after a message beyond the limit: %v, %v", event, err)
	}
	must.OK(t, enter(t, testzmq.NewSocket(t, zctx, zmq4.REQ), p.endpoint("orders"), nil, nil))
}
