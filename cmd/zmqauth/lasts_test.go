package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/proxy"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// soakTime is short for every run of the tests. make soak makes it long.
var soakTime = flag.Duration("soak", 4*time.Second, "how long TestProxyLasts runs")

// TestProxyLasts: a proxy with everything on (a front, limits, a control socket, metrics, the page)
// has clients, strangers, refusals, readers of the page, kicks, reloads, and keys that come and go.
// What it holds after a quarter of the time is about what it holds in the end, when all have gone.
func TestProxyLasts(t *testing.T) {
	g, page := startObserved(t, "--quiet")
	g.config = strings.Replace(g.config, "domain = orders\n",
		"domain = orders\n    deny = 127.0.0.66\n", 1) +
		"    front = yes\n    connections-per-address = 100\n"
	g.configure(g.config)
	g.reload(proxy.MessageReloaded)
	l := &lasting{guarded: g, page: page, ann: g.known(t, "ann"), eve: identity(t, g.dir, "eve")}
	l.run(t, *soakTime/4)
	before := l.quiet(t)
	l.run(t, *soakTime-*soakTime/4)
	after := l.quiet(t)
	t.Logf("answers %d, refusals %d, strangers %d, pages %d, reloads %d, kicks %d, keys %d",
		l.answers.Load(), l.refusals.Load(), l.strangers.Load(), l.pages.Load(), l.reloads.Load(),
		l.kicks.Load(), l.keys.Load())
	t.Logf("after a quarter: %+v; in the end: %+v", before, after)
	for name, count := range map[string]*atomic.Int64{"answers": &l.answers, "keys": &l.keys,
		"refusals": &l.refusals, "strangers": &l.strangers, "pages": &l.pages,
		"reloads": &l.reloads, "kicks": &l.kicks} {
		if count.Load() == 0 {
			t.Errorf("no %s", name)
		}
	}
	if after.descriptors > before.descriptors || after.threads > before.threads+8 {
		t.Error("descriptors or threads are left")
	}
	const noise = 24 << 20 // of a heap that was collected at another time
	if after.memory > before.memory*3/2+noise {
		t.Error("memory is left")
	}
	must.OK(t, g.stop(syscall.SIGTERM))
}

// lasting is what TestProxyLasts does to a proxy, and how often.
type lasting struct {
	*guarded
	page     string
	ann, eve *zmqauth.Certificate
	files    int

	answers, refusals, strangers, pages, reloads, kicks, keys atomic.Int64
}

// run has everybody do what he does until the time is over.
func (l *lasting) run(t *testing.T, length time.Duration) {
	t.Helper()
	ended := make(chan struct{})
	var running sync.WaitGroup
	for _, do := range []func(t *testing.T){
		l.ask, l.ask, l.beRefused, l.come, l.read, l.watchEvents, l.kick, l.reloadOnce, l.changeKeys,
	} {
		running.Go(func() {
			for {
				select {
				case <-ended:
					return
				default:
					do(t)
				}
			}
		})
	}
	time.Sleep(length)
	close(ended)
	running.Wait()
}

// ask is a client that comes, asks some questions, and goes. It may be kicked out meanwhile.
func (l *lasting) ask(t *testing.T) {
	s, err := l.zctx.NewSocket(zmq4.REQ)
	must.OK(t, err)
	defer s.Close()
	must.OK(t, errors.Join(s.SetLinger(0), s.SetReqRelaxed(1), s.SetReqCorrelate(1),
		s.SetRcvtimeo(time.Second)))
	must.OK(t, enter(t, s, l.endpoint("orders"), l.server, l.ann))
	for range 20 {
		if ask(s, "hello") == nil {
			l.answers.Add(1)
		}
	}
}

// beRefused is a client whose key nobody knows.
func (l *lasting) beRefused(t *testing.T) {
	s, err := l.zctx.NewSocket(zmq4.DEALER)
	must.OK(t, err)
	defer s.Close()
	must.OK(t, s.SetLinger(0))
	if err := enter(t, s, l.endpoint("orders"), l.server, l.eve); !errors.Is(err, zmqauth.ErrDenied) {
		t.Errorf("eve: %v", err)
	}
	l.refusals.Add(1)
}

// come is strangers: one from a denied address, one that speaks something else, and a silent one.
func (l *lasting) come(t *testing.T) {
	at := strings.TrimPrefix(l.endpoint("orders"), "tcp://")
	for from, says := range map[byte]string{66: "", 1: "GET / HTTP/1.1\r\n\r\n", 2: ""} {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, from)}}
		conn, err := d.Dial("tcp", at)
		if err != nil {
			continue // the kernel, or a reload
		}
		_, _ = io.WriteString(conn, says)
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		_, _ = io.Copy(io.Discard, conn)
		_ = conn.Close()
		l.strangers.Add(1)
	}
}

// read reads the pages, as Prometheus and people do.
func (l *lasting) read(t *testing.T) {
	for _, path := range []string{"/", "/metrics", "/healthz", "/readyz"} {
		if status, text := getPage(t, l.page+path); status != http.StatusOK {
			t.Errorf("%s: %d %s", path, status, text)
		}
		l.pages.Add(1)
	}
}

// watchEvents is somebody who looks at the page for a moment.
func (l *lasting) watchEvents(t *testing.T) {
	answer, err := http.Get(l.page + "/events")
	must.OK(t, err)
	defer answer.Body.Close()
	if _, err := io.CopyN(io.Discard, answer.Body, 1000); err != nil {
		t.Errorf("events: %v", err)
	}
}

func (l *lasting) kick(t *testing.T) {
	out, errs, _ := l.tool("kick", "--key", l.ann.Public.String()) // ann may not be there
	if !strings.HasPrefix(out, "sessions ended: ") {
		t.Error(out, errs)
	}
	if _, errs, code := l.tool("status", "--json"); code != 0 {
		t.Errorf("%d %s", code, errs)
	}
	l.kicks.Add(1)
}

// reloadOnce changes the limits, which ends no connection.
func (l *lasting) reloadOnce(*testing.T) {
	count := strconv.FormatInt(100+l.reloads.Add(1)%10, 10)
	l.configure(strings.Replace(l.config, "address = 100", "address = "+count, 1))
	l.reload(proxy.MessageReloaded)
}

// changeKeys lets somebody in, who comes, and takes his certificate away, which throws him out.
func (l *lasting) changeKeys(t *testing.T) {
	l.files++
	name := fmt.Sprint("guest", l.files)
	guest := identity(t, l.dir, name)
	file := filepath.Join(l.dir, "clients", name+".key")
	must.OK(t, os.Rename(filepath.Join(l.dir, name+".key"), file))
	l.waitUntilKnown(t, guest)
	must.OK(t, errors.Join(os.Remove(file), os.Remove(filepath.Join(l.dir, name+".key_secret"))))
	l.keys.Add(1)
}

// held is what the process of the proxy holds.
type held struct{ descriptors, threads, memory int }

// quiet waits until all have gone, and measures.
func (l *lasting) quiet(t *testing.T) (h held) {
	t.Helper()
	l.await(t, 0)
	http.DefaultClient.CloseIdleConnections() // which are one or two
	directory := fmt.Sprint("/proc/", l.cmd.Process.Pid)
	last := -1
	testpeer.Eventually(t, "the proxy is quiet", func() bool {
		entries, err := os.ReadDir(directory + "/fd")
		must.OK(t, err)
		h.descriptors = len(entries)
		same := h.descriptors == last
		last = h.descriptors
		time.Sleep(300 * time.Millisecond)
		return same
	})
	text, err := os.ReadFile(directory + "/status")
	must.OK(t, err)
	for line := range strings.Lines(string(text)) {
		var number int
		switch name, rest, _ := strings.Cut(line, ":"); name {
		case "Threads":
			_, err = fmt.Sscan(rest, &number)
			h.threads = number
		case "VmRSS":
			_, err = fmt.Sscan(rest, &number)
			h.memory = number << 10
		}
		must.OK(t, err)
	}
	return h
}
