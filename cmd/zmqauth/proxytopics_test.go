package main

import (
	"fmt"
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
