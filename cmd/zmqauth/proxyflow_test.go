package main

import (
	"bytes"
	"fmt"
	"os"
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

// TestProxyDeliversRepliesAtItsEnd: replies that the service sends after SIGTERM still reach their
// clients.
func TestProxyDeliversRepliesAtItsEnd(t *testing.T) {
	zctx := testzmq.NewContext(t)
	service := testzmq.NewSocket(t, zctx, zmq4.ROUTER)
	config := frontendConfig("f", "router", "tcp://127.0.0.1:*", bindLocal(t, service), "null")
	p := startProxy(t, t.TempDir(), config, "--linger", "1m")
	client := testzmq.NewSocket(t, zctx, zmq4.DEALER)
	must.OK(t, enter(t, client, p.endpoint("f"), nil, nil))
	const requests = 100
	for i := range requests {
		_, err := client.SendMessage("", fmt.Sprint(i))
		must.OK(t, err)
	}
	first, err := service.RecvMessageBytes(0)
	must.OK(t, err)
	must.OK(t, p.cmd.Process.Signal(syscall.SIGTERM))
	p.waitFor("zmqauth: the proxy ends", nil)
	select {
	case <-p.exited:
		t.Fatal("it has ended before all replies were there")
	case <-time.After(10 * proxy.DrainQuiet): // far longer than it waits for more requests
	}
	_, err = service.SendMessage(first)
	must.OK(t, err)
	for range requests - 1 {
		request, err := service.RecvMessageBytes(0)
		must.OK(t, err)
		_, err = service.SendMessage(request)
		must.OK(t, err)
	}
	for i := range requests {
		if got, err := client.RecvMessage(0); err != nil || len(got) != 2 || got[1] != fmt.Sprint(i) {
			t.Fatalf("reply %d: %q, %v", i, got, err)
		}
	}
	must.OK(t, p.wait())
	if line, lost := p.find(proxy.MessageLost, nil); lost != 0 {
		t.Errorf("%v", line)
	}
}

// TestProxyDeliversRepliesBeforeReplacement: a frontend delivers the replies to its clients before
// another takes its endpoint.
func TestProxyDeliversRepliesBeforeReplacement(t *testing.T) {
	zctx := testzmq.NewContext(t)
	service, endpoint := testzmq.NewSocket(t, zctx, zmq4.ROUTER), freeEndpoint(t)
	config := frontendConfig("f", "router", endpoint, bindLocal(t, service), "null", "domain = a")
	p := startProxy(t, t.TempDir(), config, "--linger", "1m")
	client := testzmq.NewSocket(t, zctx, zmq4.REQ)
	must.OK(t, enter(t, client, endpoint, nil, nil))
	_, err := client.Send("before", 0)
	must.OK(t, err)
	request, err := service.RecvMessageBytes(0)
	must.OK(t, err)
	p.configure(strings.Replace(config, "domain = a", "domain = b", 1))
	must.OK(t, p.cmd.Process.Signal(syscall.SIGHUP))
	_, err = service.SendMessage(request)
	must.OK(t, err)
	if got, err := client.Recv(0); err != nil || got != "before" {
		t.Fatalf("%q, %v", got, err)
	}
	p.waitFor(proxy.MessageReloaded, nil)
	// libzmq connects the client again.
	p.waitFor("zmqauth: accepted", map[string]string{"domain": "b"})
	_, err = client.Send("after", 0)
	must.OK(t, err)
	request, err = service.RecvMessageBytes(0)
	must.OK(t, err)
	_, err = service.SendMessage(request)
	must.OK(t, err)
	if got, err := client.Recv(0); err != nil || got != "after" {
		t.Fatalf("%q, %v", got, err)
	}
	must.OK(t, p.stop(syscall.SIGTERM))
	if line, lost := p.find(proxy.MessageLost, nil); lost != 0 {
		t.Errorf("%v", line)
	}
}

// TestProxyEndsInTime: the proxy ends after the time of --linger, and at once after a second
// signal, although the service takes no messages and sends no replies.
func TestProxyEndsInTime(t *testing.T) {
	for name, test := range map[string]struct {
		linger string
		twice  bool
	}{"at the end of its time": {"300ms", false}, "at a second signal": {"1h", true}} {
		t.Run(name, func(t *testing.T) {
			zctx := testzmq.NewContext(t)
			config := frontendConfig("f", "router", "tcp://127.0.0.1:*", freeEndpoint(t), "null")
			p := startProxy(t, t.TempDir(), config, "--linger", test.linger)
			client := testzmq.NewSocket(t, zctx, zmq4.DEALER)
			must.OK(t, client.SetSndtimeo(200*time.Millisecond))
			must.OK(t, enter(t, client, p.endpoint("f"), nil, nil))
			for { // until every queue is full
				if _, err := client.SendBytes(make([]byte, 1000), 0); err != nil {
					break
				}
			}
			if !test.twice {
				if code := p.exitCode(); code != exitFailure {
					t.Errorf("the exit code is %d", code)
				}
				p.waitFor(proxy.MessageLost, nil)
				return
			}
			must.OK(t, p.cmd.Process.Signal(syscall.SIGTERM))
			p.waitFor("zmqauth: the proxy ends", nil)
			testpeer.Eventually(t, "it has ended", func() bool {
				_ = p.cmd.Process.Signal(syscall.SIGTERM)
				select {
				case <-p.exited:
					return true
				default:
					return false
				}
			})
		})
	}
}

// TestProxyEndsInTimeAmidReload: while a reload waits for a frontend, SIGTERM still ends the
// others.
func TestProxyEndsInTimeAmidReload(t *testing.T) {
	const rules = "domain = first\n    allow = 127.0.0.1\n"
	for name, change := range map[string]func(first string) string{
		"for its rules": func(string) string { return "" },
		"for its endpoint": func(first string) string {
			return rules + strings.Replace(first, "= first", "= second", 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			zctx := testzmq.NewContext(t)
			service, endpoint := testzmq.NewSocket(t, zctx, zmq4.ROUTER), freeEndpoint(t)
			backend := bindLocal(t, service)
			first := frontendConfig("first", "router", endpoint, backend, "null")
			other := frontendConfig("other", "router", "ipc://WORK/other.sock", backend, "null")
			fresh := frontendConfig("fresh", "router", "ipc://WORK/fresh.sock", backend, "null")
			p := startProxy(t, t.TempDir(), rules+first+other, "--linger", "1h")
			client := testzmq.NewSocket(t, zctx, zmq4.REQ)
			must.OK(t, enter(t, client, endpoint, nil, nil))
			_, err := client.Send("hello", 0)
			must.OK(t, err)
			request, err := service.RecvMessageBytes(0)
			must.OK(t, err)
			p.configure(change(first) + other + fresh)
			must.OK(t, p.cmd.Process.Signal(syscall.SIGHUP))
			if name == "for its rules" {
				p.waitFor(proxy.MessageWaits, nil)
			} else {
				p.waitFor("zmqauth: bound", map[string]string{"frontend": "fresh"})
			}
			must.OK(t, p.cmd.Process.Signal(syscall.SIGTERM))
			p.waitFor("zmqauth: the proxy ends", nil)
			p.waitFor(proxy.MessageEnded, map[string]string{"frontend": "other"})
			_, err = service.SendMessage(request)
			must.OK(t, err)
			if got, err := client.Recv(0); err != nil || got != "hello" {
				t.Errorf("the reply: %q, %v", got, err)
			}
			must.OK(t, p.wait())
			if _, count := p.find(proxy.MessageWrong, nil); count != 0 {
				t.Errorf("%d complaints", count)
			}
		})
	}
}

// TestProxyHoldsBack: while there is no service the clients have to wait, and the memory of the
// proxy stays bounded. No message is lost, even if signals interrupt the proxy.
func TestProxyHoldsBack(t *testing.T) {
	zctx := testzmq.NewContext(t)
	backend := freeEndpoint(t)
	p := startProxy(t, t.TempDir(), frontendConfig("f", "pull", "tcp://127.0.0.1:*", backend, "null"))
	client := testzmq.NewSocket(t, zctx, zmq4.PUSH)
	must.OK(t, enter(t, client, p.endpoint("f"), nil, nil))
	must.OK(t, client.SetSndtimeo(500*time.Millisecond))
	const size, most = 10_000, 20_000
	sent := 0
	message := func(n int) []byte { return append(make([]byte, size), fmt.Sprint(n)...) }
	for ; sent < most; sent++ {
		if _, err := client.SendBytes(message(sent), 0); err != nil {
			break
		}
	}
	if sent == most {
		t.Fatalf("%d messages were taken that nobody has read", sent)
	}
	const limit = 300 << 20 // the race detector needs some of it
	if rss := residentMemory(t, p.cmd.Process.Pid); rss > limit {
		t.Errorf("%d MiB", rss>>20)
	}
	service := testzmq.NewSocket(t, zctx, zmq4.PULL)
	must.OK(t, service.Bind(backend))
	must.OK(t, client.SetSndtimeo(patience))
	done := make(chan error, 1)
	const total = 50_000
	go func() {
		for ; sent < total; sent++ {
			if _, err := client.SendBytes(message(sent)[size:], 0); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for n := range total {
		got, err := service.RecvBytes(0)
		if err != nil || string(bytes.TrimLeft(got, "\x00")) != fmt.Sprint(n) {
			t.Fatalf("message %d: %.20q, %v", n, bytes.TrimLeft(got, "\x00"), err)
		}
		if n%200 == 0 {
			must.OK(t, p.cmd.Process.Signal(syscall.SIGHUP)) // interrupts the calls of libzmq
		}
	}
	must.OK(t, <-done)
	must.OK(t, p.stop(syscall.SIGTERM))
}

// residentMemory returns the resident memory of a process in bytes.
func residentMemory(t testing.TB, pid int) int {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	must.OK(t, err)
	var size, resident int
	_, err = fmt.Sscan(string(data), &size, &resident)
	must.OK(t, err)
	return resident * os.Getpagesize()
}

// TestProxyWaitsForDrainingFrontend: a new frontend waits for the endpoint of a removed one, which
// still waits for a reply.
func TestProxyWaitsForDrainingFrontend(t *testing.T) {
	dir := t.TempDir()
	zctx := testzmq.NewContext(t)
	service := testzmq.NewSocket(t, zctx, zmq4.ROUTER)
	backend := bindLocal(t, service)
	first := frontendConfig("first", "router", "ipc://WORK/f.sock", backend, "null")
	other := frontendConfig("other", "router", "ipc://WORK/other.sock", backend, "null")
	p := startProxy(t, dir, first+other, "--linger", "1m")
	client := testzmq.NewSocket(t, zctx, zmq4.REQ)
	must.OK(t, enter(t, client, "ipc://"+dir+"/f.sock", nil, nil))
	_, err := client.Send("hello", 0)
	must.OK(t, err)
	request, err := service.RecvMessageBytes(0)
	must.OK(t, err)
	p.configure(other)
	p.reload(proxy.MessageReloaded) // this reload does not wait for the removed frontend
	p.configure(other + strings.Replace(first, "= first", "= second", 1))
	must.OK(t, p.cmd.Process.Signal(syscall.SIGHUP))
	_, err = service.SendMessage(request)
	must.OK(t, err)
	if got, err := client.Recv(0); err != nil || got != "hello" {
		t.Fatalf("%q, %v", got, err)
	}
	p.waitFor(proxy.MessageEnded, map[string]string{"frontend": "first"})
	p.waitFor("zmqauth: bound", map[string]string{"frontend": "second"})
	must.OK(t, enter(t, testzmq.NewSocket(t, zctx, zmq4.REQ), "ipc://"+dir+"/f.sock", nil, nil))
	must.OK(t, p.stop(syscall.SIGTERM))
}

// TestProxyWaitsForSlowSubscriber: a slow service that subscribes loses no messages of publishers
// that can wait.
func TestProxyWaitsForSlowSubscriber(t *testing.T) {
	zctx := testzmq.NewContext(t)
	sub := testzmq.NewSocket(t, zctx, zmq4.SUB)
	must.OK(t, sub.SetSubscribe(""))
	config := frontendConfig("f", "xsub", "tcp://127.0.0.1:*", bindLocal(t, sub), "null")
	p := startProxy(t, t.TempDir(), config)
	client := testzmq.NewSocket(t, zctx, zmq4.XPUB)
	must.OK(t, client.SetXpubNodrop(true))
	must.OK(t, enter(t, client, p.endpoint("f"), nil, nil))
	testpeer.Eventually(t, "the subscription is there", func() bool {
		_, _ = sub.Recv(zmq4.DONTWAIT) // a SUB socket sends its subscription when it is used
		got, err := client.Recv(zmq4.DONTWAIT)
		return err == nil && got == "\x01"
	})
	const most = 100_000
	sent, filled := 0, make([]byte, 10_000)
	const quiet = 500 * time.Millisecond // so long without a sent message: every queue is full
	for last := time.Now(); sent < most && time.Since(last) < quiet; {
		if _, err := client.SendMessageDontwait(fmt.Sprint(sent), filled); err != nil {
			time.Sleep(time.Millisecond)
			continue
		}
		sent, last = sent+1, time.Now()
	}
	if sent == most {
		t.Fatalf("%d messages were taken that nobody has read", sent)
	}
	for n := range sent {
		if got, err := sub.RecvMessage(0); err != nil || len(got) != 2 || got[0] != fmt.Sprint(n) {
			t.Fatalf("message %d: %.20q, %v", n, got, err)
		}
	}
	must.OK(t, p.stop(syscall.SIGTERM))
}
