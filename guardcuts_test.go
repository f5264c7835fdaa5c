package zmqauth

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pebbe/zmq4"
	"golang.org/x/sys/unix"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

const (
	cutsVariable   = "ZMQAUTH_CUTS"        // how many cuts TestGuardCuts makes; make cuts sets it
	cutterVariable = "ZMQAUTH_CUTS_CLIENT" // of a process with clients: what it is to do

	shortCuts  = 270 // as a part of all tests
	processes  = 2   // with clients
	workers    = 4   // clients at a time in each of them
	noiseMakes = 2   // goroutines in each that hang up, or prove what is wrong
)

// TestGuardCuts cuts connections of clients in other processes that share one address, come and go,
// hang up in the middle, and prove what is wrong. Each session is known exactly. Whoever is to be
// cut is, and nobody else.
func TestGuardCuts(t *testing.T) {
	total := shortCuts
	if text := os.Getenv(cutsVariable); text != "" {
		var err error
		total, err = strconv.Atoi(text)
		must.OK(t, err)
	}
	const cases = 9
	for _, threads := range []int{1, 2, 4} {
		for _, mechanism := range []string{"NULL", "PLAIN", "CURVE"} {
			t.Run(fmt.Sprintf("%s/%d", mechanism, threads), func(t *testing.T) {
				c := newCutter(t, mechanism, threads)
				c.run((total + cases - 1) / cases)
			})
		}
	}
}

// cutter is a guarded server, whose clients it cuts.
type cutter struct {
	*testing.T
	a         *Authenticator
	creds     Credentials
	mechanism string
	endpoint  string
	cert      *Certificate
	cuts      atomic.Int64
}

func newCutter(t *testing.T, mechanism string, threads int) *cutter {
	c := &cutter{T: t, mechanism: mechanism, cert: newCertificate(t)}
	zctx := testzmq.NewContext(t)
	must.OK(t, zctx.SetIoThreads(threads))
	var err error
	c.a, err = New(zctx, &Config{Logger: quiet()})
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, c.a.Close()) })
	must.OK(t, c.a.Start())
	must.OK(t, c.a.ConfigureCredentials("d", &c.creds))
	server := testzmq.NewSocket(t, zctx, zmq4.ROUTER)
	switch mechanism {
	case "NULL":
		must.OK(t, NullServer(server, "d"))
	case "PLAIN":
		must.OK(t, PlainServer(server, "d"))
	case "CURVE":
		must.OK(t, CurveServer(server, "d", c.cert))
	}
	must.OK(t, c.a.Guard(server, nil))
	must.OK(t, server.Bind("tcp://127.0.0.1:*"))
	c.endpoint, err = server.GetLastEndpoint()
	must.OK(t, err)
	return c
}

// run makes cuts in the clients of all processes.
func (c *cutter) run(cuts int) {
	c.surround()
	var work sync.WaitGroup
	for process := range processes {
		self, err := os.Executable()
		must.OK(c, err)
		command := exec.CommandContext(c.Context(), self, "-test.run=^TestGuardCutsClient$")
		command.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %s %d", cutterVariable, c.mechanism,
			c.endpoint, c.cert.Public, process))
		command.Stderr = os.Stderr
		stdin, err := command.StdinPipe()
		must.OK(c, err)
		stdout, err := command.StdoutPipe()
		must.OK(c, err)
		must.OK(c, command.Start())
		var lines [workers]chan string
		for n := range lines {
			lines[n] = make(chan string, 100)
		}
		go distribute(stdout, lines[:])
		work.Go(func() {
			var ours sync.WaitGroup
			for n := range workers {
				ours.Go(func() { c.work(fmt.Sprintf("u%d.%d", process, n), n, stdin, lines[n], cuts) })
			}
			ours.Wait()
			_ = stdin.Close()
			if err := command.Wait(); err != nil {
				c.Errorf("a process with clients: %v", err)
			}
		})
	}
	work.Wait()
	testpeer.Eventually(c, "all sessions have ended", func() bool { return len(c.a.Sessions()) == 0 })
	c.Logf("%d cuts", c.cuts.Load())
}

// surround has silent strangers connect from the clients' address, before them and more than the
// guard asks about in each look. They stay until their handshakes take too long.
func (c *cutter) surround() {
	c.Helper()
	const strangers = 100
	for range strangers {
		conn, err := net.Dial("tcp", strings.TrimPrefix(c.endpoint, "tcp://"))
		must.OK(c, err)
		c.Cleanup(func() { _ = conn.Close() })
	}
}

// distribute hands the lines of a process to those who deal with its workers.
func distribute(stdout io.Reader, lines []chan string) {
	for scanner := bufio.NewScanner(stdout); scanner.Scan(); {
		number, line, _ := strings.Cut(scanner.Text(), " ")
		if n, err := strconv.Atoi(number); err == nil && n < len(lines) {
			lines[n] <- line
		}
	}
	for _, c := range lines {
		close(c)
	}
}

// work has one worker's clients come, one after the other, and cuts most of them.
func (c *cutter) work(name string, n int, stdin io.Writer, lines <-chan string, cuts int) {
	expect := func(want string) string {
		select {
		case line := <-lines:
			word, rest, _ := strings.Cut(line, " ")
			if word != want {
				c.Fatalf("%s: %q, want %s", name, line, want)
			}
			return rest
		case <-time.After(2 * patience):
			c.Fatalf("%s: no answer, want %s", name, want)
		}
		return ""
	}
	key, err := ParsePublicKey(expect("key"))
	must.OK(c, err)
	entry := Entry{Identity: Identity{UserID: name}}
	must.OK(c, c.creds.SetKey(key, entry))
	must.OK(c, c.creds.SetUser(name, "secret", Entry{}))
	for c.cuts.Load() < int64(cuts) && !c.Failed() {
		_, err := fmt.Fprintln(stdin, n, "go")
		must.OK(c, err)
		port, err := strconv.Atoi(expect("up"))
		must.OK(c, err)
		s := c.find(name, port)
		if !s.Exact || int(s.Client.Port()) != port {
			c.Errorf("%s is at port %d: %+v", name, port, s)
		}
		if rand.IntN(4) == 0 { // it stays for a while: whoever cuts it by mistake is seen
			time.Sleep(time.Duration(rand.IntN(50)) * time.Millisecond)
			_, err := fmt.Fprintln(stdin, n, "bye")
			must.OK(c, err)
			expect("closed")
		} else {
			if count := c.a.Disconnect(func(o Session) bool { return o.ID == s.ID }); count != 1 {
				c.Errorf("%s: %d sessions have ended", name, count)
			}
			expect("cut")
			c.cuts.Add(1)
		}
		testpeer.Eventually(c, "the session has ended", func() bool { return !c.a.Alive(s.ID) })
	}
}

// find waits for the session of a client. With NULL it has no name, and its port is all there is.
func (c *cutter) find(name string, port int) (found Session) {
	c.Helper()
	testpeer.Eventually(c, name+" has a session", func() bool {
		for _, s := range c.a.Sessions() {
			if s.UserID == name || c.mechanism == "NULL" && int(s.Client.Port()) == port {
				found = s
				return true
			}
		}
		return false
	})
	return found
}

// TestGuardCutsClient is the process with clients of TestGuardCuts.
func TestGuardCutsClient(t *testing.T) {
	if os.Getenv(cutterVariable) == "" {
		t.Skip("a part of TestGuardCuts")
	}
	c := &clients{T: t, zctx: testzmq.NewContext(t)}
	must.OK(t, c.zctx.SetIoThreads(2))
	var server string
	_, err := fmt.Sscan(os.Getenv(cutterVariable), &c.mechanism, &c.endpoint, &server, &c.process)
	must.OK(t, err)
	c.server, err = ParsePublicKey(server)
	must.OK(t, err)
	var work, noise sync.WaitGroup
	stop := make(chan struct{})
	for n := range noiseMakes {
		noise.Go(func() { c.noise(n, stop) })
	}
	var orders [workers]chan string
	for n := range orders {
		orders[n] = make(chan string, 10)
		work.Go(func() { c.work(n, orders[n]) })
	}
	for scanner := bufio.NewScanner(os.Stdin); scanner.Scan(); {
		var n int
		var order string
		_, err := fmt.Sscan(scanner.Text(), &n, &order)
		must.OK(t, err)
		orders[n] <- order
	}
	if c.busy.Load() > 0 {
		os.Exit(1) // the test has been killed: nobody waits for these clients
	}
	for _, c := range orders {
		close(c)
	}
	work.Wait()
	close(stop)
	noise.Wait()
}

// clients are those of one process.
type clients struct {
	*testing.T
	zctx                *zmq4.Context
	mechanism, endpoint string
	server              PublicKey
	process             int
	monitors            atomic.Int64
	busy                atomic.Int64 // workers that have a client
}

// work makes a client whenever it is told to, and says what becomes of it.
func (c *clients) work(n int, orders <-chan string) {
	cert := newCertificate(c)
	name := fmt.Sprintf("u%d.%d", c.process, n)
	fmt.Println(n, "key", cert.Public)
	for range orders { // "go"
		c.busy.Add(1)
		s := c.socket(name, "secret", cert)
		events, reader := c.watch(s)
		must.OK(c, s.Connect(c.endpoint))
		port, err := port(events)
		if err != nil {
			c.busy.Add(-1)
			fmt.Println(n, "cut before it was up:", err)
			must.OK(c, s.Close())
			<-reader
			continue
		}
		fmt.Println(n, "up", port)
		select {
		case <-orders: // "bye"
			must.OK(c, s.Close())
			c.busy.Add(-1)
			fmt.Println(n, "closed")
		case event := <-events:
			c.busy.Add(-1)
			fmt.Println(n, "cut", event.kind)
			must.OK(c, s.Close())
		}
		<-reader
	}
}

// port waits until a client is connected and let in, and is its port. With several I/O threads
// libzmq may report either first.
func port(events <-chan socketEvent) (int, error) {
	fd, isIn := -1, false
	for event := range events {
		switch event.kind {
		case zmq4.EVENT_CONNECTED:
			fd = event.value
		case zmq4.EVENT_HANDSHAKE_SUCCEEDED:
			isIn = true
		default:
			return 0, fmt.Errorf("%v", event.kind)
		}
		if isIn && fd >= 0 {
			break
		}
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return 0, err
	}
	return name.(*unix.SockaddrInet4).Port, nil
}

// socket is a client that does not come back by itself.
func (c *clients) socket(name, password string, cert *Certificate) *zmq4.Socket {
	s, err := c.zctx.NewSocket(zmq4.DEALER)
	must.OK(c, err)
	must.OK(c, s.SetLinger(0))
	must.OK(c, s.SetReconnectIvl(-1))
	switch c.mechanism {
	case "PLAIN":
		must.OK(c, PlainClient(s, name, password))
	case "CURVE":
		must.OK(c, CurveClient(s, c.server, cert))
	}
	return s
}

// socketEvent is one of a socket's monitor.
type socketEvent struct {
	kind  zmq4.Event
	value int
}

// watch reads the events of a socket until it is closed. ended is closed then.
func (c *clients) watch(s *zmq4.Socket) (events chan socketEvent, ended chan struct{}) {
	const kinds = zmq4.EVENT_CONNECTED | zmq4.EVENT_DISCONNECTED |
		zmq4.EVENT_HANDSHAKE_SUCCEEDED | zmq4.EVENT_MONITOR_STOPPED
	endpoint := fmt.Sprintf("inproc://events-%d", c.monitors.Add(1))
	must.OK(c, s.Monitor(endpoint, kinds))
	reader, err := c.zctx.NewSocket(zmq4.PAIR)
	must.OK(c, err)
	must.OK(c, reader.Connect(endpoint))
	events, ended = make(chan socketEvent, 10), make(chan struct{})
	go func() {
		defer close(ended)
		defer reader.Close()
		for {
			kind, _, value, err := reader.RecvEvent(0)
			if err != nil || kind == zmq4.EVENT_MONITOR_STOPPED {
				return
			}
			events <- socketEvent{kind, value}
		}
	}()
	return events, ended
}

// noise are clients that nobody waits for.
func (c *clients) noise(n int, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		pause := time.Duration(rand.IntN(20)) * time.Millisecond
		if n == 0 {
			c.hangUp(pause)
			continue
		}
		s := c.socket("u0.0", "wrong", newCertificate(c))
		must.OK(c, s.Connect(c.endpoint))
		time.Sleep(pause)
		must.OK(c, s.Close())
	}
}

// hangUp connects, sends the beginning of a greeting, and hangs up.
func (c *clients) hangUp(pause time.Duration) {
	greeting := append([]byte{0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3}, make([]byte, 53)...)
	copy(greeting[12:], c.mechanism)
	conn, err := net.Dial("tcp", strings.TrimPrefix(c.endpoint, "tcp://"))
	if err != nil {
		return
	}
	_, _ = conn.Write(greeting[:rand.IntN(len(greeting)+1)])
	time.Sleep(pause)
	_ = conn.Close()
}
