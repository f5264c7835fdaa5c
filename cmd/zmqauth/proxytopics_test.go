package main

import (
	bigendian "encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/proxy"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// manyTopics is far more than the queue of a socket has room for by default.
const manyTopics = 100_000

// subscribe subscribes a socket to many topics. Its own queue has no limit, so that it loses none.
func subscribe(t testing.TB, socket *zmq4.Socket, prefix string) {
	t.Helper()
	must.OK(t, socket.SetSndhwm(0))
	for i := range manyTopics {
		must.OK(t, socket.SetSubscribe(prefix+topic(i)))
	}
}

// topic is one topic of many. None is the prefix of another.
func topic(i int) string { return fmt.Sprintf("%06d", i) }

// subscriptions counts the topics to which an XPUB socket has subscribers.
type subscriptions struct {
	socket *zmq4.Socket
	topics map[string]struct{}
}

func newSubscriptions(t testing.TB, socket *zmq4.Socket) *subscriptions {
	must.OK(t, socket.SetRcvtimeo(0))
	return &subscriptions{socket, make(map[string]struct{})}
}

// await waits until there are so many. Meanwhile it uses a SUB socket: libzmq sends the
// subscriptions to a new connection when the socket is used.
func (s *subscriptions) await(t testing.TB, want int, use *zmq4.Socket) {
	t.Helper()
	for deadline := time.Now().Add(patience); len(s.topics) != want; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d subscriptions of %d", len(s.topics), want)
		}
		if use != nil {
			_, _ = use.Recv(zmq4.DONTWAIT)
		}
		for {
			message, err := s.socket.RecvBytes(zmq4.DONTWAIT)
			if err != nil {
				break
			}
			if message[0] == 1 {
				s.topics[string(message[1:])] = struct{}{}
			} else {
				delete(s.topics, string(message[1:]))
			}
		}
	}
}

// TestProxyTopics: a service that publishes gets all subscriptions of all clients, also after it
// restarts, after a reload, and while clients come and go.
func TestProxyTopics(t *testing.T) {
	zctx := testzmq.NewContext(t)
	backend := freeEndpoint(t)
	config := func(domain string) string {
		return frontendConfig("f", "xpub", "ipc://WORK/f.sock", backend, "null", "domain = "+domain)
	}
	p := startProxy(t, t.TempDir(), config("a"))
	client := testzmq.NewSocket(t, zctx, zmq4.SUB)
	subscribe(t, client, "")
	must.OK(t, client.Connect(p.endpoint("f")))
	start := func() *zmq4.Socket {
		service := testzmq.NewSocket(t, zctx, zmq4.XPUB)
		testpeer.Eventually(t, "the endpoint is free", func() bool {
			return service.Bind(backend) == nil
		})
		return service
	}
	service := start()
	newSubscriptions(t, service).await(t, manyTopics, nil)

	// It restarts, while another client comes and goes.
	must.OK(t, service.Close())
	other := testzmq.NewSocket(t, zctx, zmq4.SUB)
	subscribe(t, other, "other")
	must.OK(t, other.Connect(p.endpoint("f")))
	service = start()
	topics := newSubscriptions(t, service)
	topics.await(t, 2*manyTopics, nil)
	must.OK(t, other.Close())
	topics.await(t, manyTopics, nil)

	p.configure(config("b"))
	must.OK(t, service.Close())
	p.reload(proxy.MessageReloaded)
	service = start()
	newSubscriptions(t, service).await(t, manyTopics, client)
	for _, i := range []int{0, manyTopics / 2, manyTopics - 1} {
		_, err := service.Send(topic(i), 0)
		must.OK(t, err)
		if got, err := client.Recv(0); err != nil || got != topic(i) {
			t.Errorf("%q, %v", got, err)
		}
	}
	must.OK(t, p.stop(syscall.SIGTERM))
}

// TestProxyTopicsOfService: clients that publish get all subscriptions of the service, also those
// that come later, and after a reload.
func TestProxyTopicsOfService(t *testing.T) {
	zctx := testzmq.NewContext(t)
	service := testzmq.NewSocket(t, zctx, zmq4.SUB)
	must.OK(t, service.SetSndhwm(0))
	backend := bindLocal(t, service)
	config := func(domain string) string {
		return frontendConfig("f", "xsub", "ipc://WORK/f.sock", backend, "null", "domain = "+domain)
	}
	p := startProxy(t, t.TempDir(), config("a"))
	start := func() *subscriptions {
		client := testzmq.NewSocket(t, zctx, zmq4.XPUB)
		must.OK(t, client.Connect(p.endpoint("f")))
		return newSubscriptions(t, client)
	}
	first := start()
	subscribe(t, service, "") // all at once
	first.await(t, manyTopics, service)
	second := start()
	second.await(t, manyTopics, service)

	p.configure(config("b"))
	p.reload(proxy.MessageReloaded)
	third := start()
	third.await(t, manyTopics, service)
	for _, i := range []int{0, manyTopics / 2, manyTopics - 1} {
		_, err := third.socket.Send(topic(i), 0)
		must.OK(t, err)
		if got, err := service.Recv(0); err != nil || got != topic(i) {
			t.Errorf("%q, %v", got, err)
		}
	}
	must.OK(t, p.stop(syscall.SIGTERM))
}

// TestProxyHugeTopic: a topic that is larger than any subscription cuts off the client that has it,
// and nobody else. libzmq itself would crash at such a topic.
func TestProxyHugeTopic(t *testing.T) {
	zctx := testzmq.NewContext(t)
	service := testzmq.NewSocket(t, zctx, zmq4.XPUB)
	p := startProxy(t, t.TempDir(),
		frontendConfig("f", "xpub", "tcp://127.0.0.1:*", bindLocal(t, service), "null"))
	good := testzmq.NewSocket(t, zctx, zmq4.SUB)
	must.OK(t, good.SetSubscribe("good"))
	must.OK(t, enter(t, good, p.endpoint("f"), nil, nil))
	topics := newSubscriptions(t, service)
	topics.await(t, 1, good)
	for _, size := range []int{9_000, 200_000, 4_000_000} {
		conn := dialSubscriber(t, p.endpoint("f"))
		frame := bigendian.BigEndian.AppendUint64([]byte{2}, uint64(1+size)) // a long frame (RFC 37)
		_, _ = conn.Write(append(append(frame, 1), make([]byte, size)...))
		if _, err := io.Copy(io.Discard, conn); err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("a topic of %d bytes: %v", size, err)
		}
	}
	_, err := service.Send("good news", 0)
	must.OK(t, err)
	if got, err := good.Recv(0); err != nil || got != "good news" {
		t.Errorf("%q, %v", got, err)
	}
	if len(topics.topics) != 1 {
		t.Errorf("%d topics", len(topics.topics))
	}
	must.OK(t, p.stop(syscall.SIGTERM))
}

// dialSubscriber connects to an XPUB socket without security, as a SUB socket does (RFC 37). A
// topic as large as in these tests would crash libzmq's SUB.
func dialSubscriber(t *testing.T, endpoint string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(endpoint, "tcp://"))
	must.OK(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	must.OK(t, conn.SetDeadline(time.Now().Add(patience)))
	must.OK(t, shakeHands(conn, "SUB"))
	return conn
}

// shakeHands does the handshake of a socket of a type, without security (RFC 37).
func shakeHands(conn net.Conn, kind string) error {
	var greeting [64]byte
	copy(greeting[:], "\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x03\x00NULL")
	ready := "\x05READY\x0bSocket-Type\x00\x00\x00" + string(rune(len(kind))) + kind
	_, err := conn.Write(greeting[:])
	if err == nil {
		_, err = io.ReadFull(conn, greeting[:])
	}
	if err == nil {
		_, err = conn.Write(append([]byte{4, byte(len(ready))}, ready...))
	}
	var header [2]byte
	if err == nil {
		_, err = io.ReadFull(conn, header[:])
	}
	if err == nil {
		_, err = io.CopyN(io.Discard, conn, int64(header[1]))
	}
	return err
}

// TestProxyPassesSubscriptionsAlone: what else a subscriber sends does not reach the service.
func TestProxyPassesSubscriptionsAlone(t *testing.T) {
	zctx := testzmq.NewContext(t)
	service := testzmq.NewSocket(t, zctx, zmq4.XPUB)
	p := startProxy(t, t.TempDir(),
		frontendConfig("f", "xpub", "tcp://127.0.0.1:*", bindLocal(t, service), "null"))
	client := testzmq.NewSocket(t, zctx, zmq4.XSUB)
	must.OK(t, enter(t, client, p.endpoint("f"), nil, nil))
	for _, message := range [][]any{{"\x02other"}, {"\x02", "two frames"}, {""}, {"\x01topic"}} {
		_, err := client.SendMessage(message...)
		must.OK(t, err)
	}
	if got, err := service.RecvMessage(0); err != nil || len(got) != 1 || got[0] != "\x01topic" {
		t.Errorf("%q, %v", got, err)
	}
	must.OK(t, p.stop(syscall.SIGTERM))
}

// TestProxyStalledPublisher: a service that does not take what clients subscribe to is connected
// again, so that what waits for it does not fill the memory of the proxy.
func TestProxyStalledPublisher(t *testing.T) {
	zctx := testzmq.NewContext(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must.OK(t, err)
	defer listener.Close()
	connections := make(chan net.Conn, 10)
	go func() { // a service that never reads what follows the handshake
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			if shakeHands(conn, "XPUB") == nil {
				connections <- conn
			}
		}
	}()
	p := startProxy(t, t.TempDir(), frontendConfig("f", "xpub", "tcp://127.0.0.1:*",
		"tcp://"+listener.Addr().String(), "null"))
	client := testzmq.NewSocket(t, zctx, zmq4.XSUB)
	must.OK(t, client.SetSndhwm(0))
	must.OK(t, enter(t, client, p.endpoint("f"), nil, nil))
	first := <-connections
	defer first.Close()
	const most = 5_000_000
	for i := range most {
		_, err := client.Send(fmt.Sprintf("%c%060d", 1-i%2, i/2%1000), 0)
		must.OK(t, err)
		if i%10_000 == 0 {
			if _, stalled := p.find(proxy.MessageStalled, nil); stalled > 0 {
				break
			}
		}
	}
	second := <-connections
	defer second.Close()
	p.waitFor(proxy.MessageStalled, nil)
	must.OK(t, p.stop(syscall.SIGTERM))
}
