package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/proxy"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// push sends messages to a frontend, and waits until libzmq has taken them from the socket.
func push(t testing.TB, p *proxyProcess, client *zmq4.Socket, count int) {
	t.Helper()
	must.OK(t, enter(t, client, p.endpoint("f"), nil, nil))
	for i := range count {
		_, err := client.Send(fmt.Sprint(i), 0)
		must.OK(t, err)
	}
}

// unread counts the connections to an endpoint of 127.0.0.1 whose bytes wait to be read.
func unread(t testing.TB, endpoint string) (count int) {
	t.Helper()
	for _, connection := range connections(t, endpoint) {
		if !strings.HasSuffix(connection[4], ":00000000") {
			count++
		}
	}
	return count
}

// connections returns both ends of the connections to an endpoint of 127.0.0.1, as proc_net_tcp(5)
// describes them, without those that both sides have closed.
func connections(t testing.TB, endpoint string) (found [][]string) {
	t.Helper()
	_, port, err := net.SplitHostPort(strings.TrimPrefix(endpoint, "tcp://"))
	must.OK(t, err)
	number, err := strconv.Atoi(port)
	must.OK(t, err)
	table, err := os.ReadFile("/proc/net/tcp")
	must.OK(t, err)
	const timeWait, listens = "06", "0A"
	suffix := fmt.Sprintf(":%04X", number)
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line)
		local, remote, state := fields[1], fields[2], fields[3]
		if (strings.HasSuffix(local, suffix) || strings.HasSuffix(remote, suffix)) &&
			state != timeWait && state != listens {
			found = append(found, fields)
		}
	}
	return found
}

// exitCode ends the proxy and returns its exit code.
func (p *proxyProcess) exitCode() int {
	p.t.Helper()
	err := p.stop(syscall.SIGTERM)
	if err == nil {
		return 0
	}
	exit, ok := err.(*exec.ExitError)
	if !ok {
		p.t.Fatal(err)
	}
	return exit.ExitCode()
}

// TestProxyCountsLoss: what clients have sent while the service was away is lost with the proxy's
// end. The log and the exit code say so, and how much of which frontend.
func TestProxyCountsLoss(t *testing.T) {
	p := startProxy(t, t.TempDir(),
		frontendConfig("f", "pull", "tcp://127.0.0.1:*", freeEndpoint(t), "null"), "--linger", "300ms")
	zctx, err := zmq4.NewContext()
	must.OK(t, err)
	client, err := zctx.NewSocket(zmq4.PUSH)
	must.OK(t, err)
	const count = 500
	push(t, p, client, count)
	must.OK(t, client.SetLinger(patience))
	must.OK(t, client.Close())
	must.OK(t, zctx.Term()) // waits until the system has all messages
	testpeer.Eventually(t, "the proxy has read all messages", func() bool {
		return unread(t, p.endpoint("f")) == 0
	})
	if code := p.exitCode(); code != exitFailure {
		t.Errorf("the exit code is %d", code)
	}
	line := p.waitFor(proxy.MessageLost, map[string]string{"frontend": "f"})
	if got := fmt.Sprint(line["messages"]); got != fmt.Sprint(count) {
		t.Errorf("%s messages", got)
	}
	want := fmt.Sprintf(`not passed on: frontend "f": %d`, count)
	if !strings.Contains(p.text(), want) {
		t.Error("the last line does not say how many messages were lost")
	}
}

// TestProxyWaitsForService: a service that comes back while the proxy ends gets what clients have
// sent.
func TestProxyWaitsForService(t *testing.T) {
	zctx := testzmq.NewContext(t)
	backend := freeEndpoint(t)
	p := startProxy(t, t.TempDir(),
		frontendConfig("f", "pull", "tcp://127.0.0.1:*", backend, "null"), "--linger", "1m")
	client := testzmq.NewSocket(t, zctx, zmq4.PUSH)
	const count = 500
	push(t, p, client, count)
	must.OK(t, p.cmd.Process.Signal(syscall.SIGTERM))
	p.waitFor("zmqauth: the proxy ends", nil)
	service := testzmq.NewSocket(t, zctx, zmq4.PULL)
	must.OK(t, service.Bind(backend))
	for i := range count {
		if got, err := service.Recv(0); err != nil || got != fmt.Sprint(i) {
			t.Fatalf("message %d: %q, %v", i, got, err)
		}
	}
	must.OK(t, p.wait())
}

// TestProxyKeepsMessagesForService: a service that restarts again and again loses no message that
// the proxy had not written to its connection.
func TestProxyKeepsMessagesForService(t *testing.T) {
	zctx := testzmq.NewContext(t)
	backend := freeEndpoint(t)
	p := startProxy(t, t.TempDir(),
		frontendConfig("f", "pull", "tcp://127.0.0.1:*", backend, "null"))
	client := testzmq.NewSocket(t, zctx, zmq4.PUSH)
	const rounds, count = 5, 200
	for round := range rounds {
		if round == 0 {
			push(t, p, client, count)
		} else {
			for i := range count {
				_, err := client.Send(fmt.Sprint(i), 0)
				must.OK(t, err)
			}
		}
		service := testzmq.NewSocket(t, zctx, zmq4.PULL)
		testpeer.Eventually(t, "the endpoint is free", func() bool {
			return service.Bind(backend) == nil
		})
		for i := range count {
			if got, err := service.Recv(0); err != nil || got != fmt.Sprint(i) {
				t.Fatalf("round %d, message %d: %q, %v", round, i, got, err)
			}
		}
		must.OK(t, service.Close())
		testpeer.Eventually(t, "the proxy sees that the service has gone", func() bool {
			return len(connections(t, backend)) == 0
		})
	}
	if code := p.exitCode(); code != 0 {
		t.Errorf("the exit code is %d", code)
	}
}

// TestProxyOneWay: messages that a service never answers are owed no reply. The proxy does not wait
// for one, and logs no loss.
func TestProxyOneWay(t *testing.T) {
	zctx := testzmq.NewContext(t)
	service := testzmq.NewSocket(t, zctx, zmq4.ROUTER)
	p := startProxy(t, t.TempDir(),
		frontendConfig("f", "router", "tcp://127.0.0.1:*", bindLocal(t, service), "null"),
		"--linger", "1h")
	client := testzmq.NewSocket(t, zctx, zmq4.DEALER)
	const count = 100
	push(t, p, client, count)
	for i := range count {
		got, err := service.RecvMessage(0)
		if err != nil || got[len(got)-1] != fmt.Sprint(i) {
			t.Fatalf("message %d: %q, %v", i, got, err)
		}
	}
	if code := p.exitCode(); code != 0 {
		t.Errorf("the exit code is %d", code)
	}
	if _, lost := p.find(proxy.MessageLost, nil); lost != 0 {
		t.Error("a loss that is none")
	}
}

// TestProxyForgetsRequests: the requests that a service had when it ended are never answered. The
// proxy does not wait for them.
func TestProxyForgetsRequests(t *testing.T) {
	zctx := testzmq.NewContext(t)
	service := testzmq.NewSocket(t, zctx, zmq4.ROUTER)
	backend := bindLocal(t, service)
	p := startProxy(t, t.TempDir(),
		frontendConfig("f", "router", "tcp://127.0.0.1:*", backend, "null"), "--linger", "1h")
	client := testzmq.NewSocket(t, zctx, zmq4.REQ)
	must.OK(t, enter(t, client, p.endpoint("f"), nil, nil))
	_, err := client.Send("hello", 0)
	must.OK(t, err)
	_, err = service.RecvMessage(0)
	must.OK(t, err)
	must.OK(t, service.Close())
	line := p.waitFor(proxy.MessageAway, nil)
	if got := fmt.Sprint(line["unanswered"]); got != "1" {
		t.Errorf("%s requests are unanswered", got)
	}
	if code := p.exitCode(); code != 0 {
		t.Errorf("the exit code is %d", code)
	}
}
