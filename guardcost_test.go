package zmqauth

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pebbe/zmq4"
	"golang.org/x/sys/unix"

	"github.com/zmqauth/zmqauth/bench/loadgen"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// The benchmarks here compare a guarded server (1) with one that is not guarded (0). Both take
// turns, so that what else the machine does hits both alike. The metric "ratio" is the median over
// the turns.

// costPair is two servers, each in a context of its own.
type costPair struct {
	mechanism string
	servers   [2]*zmq4.Socket
	endpoints [2]string
	server    *Certificate
	client    *Certificate
}

func newCostPair(b *testing.B, mechanism string, kind zmq4.Type) *costPair {
	b.Helper()
	p := &costPair{mechanism: mechanism}
	var err1, err2 error
	p.server, err1 = NewCertificate()
	p.client, err2 = NewCertificate()
	must.OK(b, errors.Join(err1, err2))
	for i := range p.servers {
		a := startAuthenticator(b, Config{Logger: quiet()})
		must.OK(b, a.ConfigureCurveKeys("d", p.client.Public))
		s := testzmq.NewSocket(b, a.Context(), kind)
		if mechanism == "CURVE" {
			must.OK(b, CurveServer(s, "d", p.server))
		} else {
			must.OK(b, NullServer(s, "d"))
		}
		if i == 1 {
			must.OK(b, a.Guard(s, nil))
		}
		must.OK(b, s.Bind("tcp://127.0.0.1:*"))
		var err error
		p.endpoints[i], err = s.GetLastEndpoint()
		must.OK(b, err)
		p.servers[i] = s
	}
	return p
}

// connect connects a client of a kind to each server.
func (p *costPair) connect(b *testing.B, kind zmq4.Type) (clients [2]*zmq4.Socket) {
	b.Helper()
	for i := range clients {
		clients[i] = testzmq.NewSocket(b, testzmq.NewContext(b), kind)
		if p.mechanism == "CURVE" {
			must.OK(b, CurveClient(clients[i], p.server.Public, p.client))
		}
		must.OK(b, Connect(b.Context(), clients[i], p.endpoints[i]))
	}
	return clients
}

// compareCost reports the ratio of the guarded server's time to that of the other one. turn does
// the same work with server 0 or 1.
func compareCost(b *testing.B, turn func(which int) time.Duration) {
	b.Helper()
	turn(0)
	turn(1)
	var ratios []float64
	for n := 0; b.Loop(); n++ {
		var took [2]time.Duration
		for i := range took {
			which := (i + n) % 2 // none is always the first
			took[which] = turn(which)
		}
		ratios = append(ratios, float64(took[1])/float64(took[0]))
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "ratio")
}

// BenchmarkGuardThroughput: the time for a number of messages from PUSH to PULL.
func BenchmarkGuardThroughput(b *testing.B) {
	for _, mechanism := range []string{"NULL", "CURVE"} {
		b.Run(mechanism, func(b *testing.B) {
			p := newCostPair(b, mechanism, zmq4.PULL)
			clients := p.connect(b, zmq4.PUSH)
			const count = 4000
			message := make([]byte, 1<<10)
			compareCost(b, func(which int) time.Duration {
				begun := time.Now()
				go func() {
					for range count {
						_, _ = clients[which].SendBytes(message, 0)
					}
				}()
				for range count {
					_, err := p.servers[which].RecvBytes(0)
					must.OK(b, err)
				}
				return time.Since(begun)
			})
		})
	}
}

// BenchmarkGuardLatency: the time for a number of round trips between REQ and REP.
func BenchmarkGuardLatency(b *testing.B) {
	const count = 100
	p := newCostPair(b, "NULL", zmq4.REP)
	clients := p.connect(b, zmq4.REQ)
	compareCost(b, func(which int) time.Duration {
		server, client := p.servers[which], clients[which]
		var serving sync.WaitGroup
		defer serving.Wait()
		serving.Go(func() { echoes(server, count) })
		begun := time.Now()
		for range count {
			_, err := client.SendBytes([]byte("ping"), 0)
			must.OK(b, err)
			_, err = client.RecvBytes(0)
			must.OK(b, err)
		}
		return time.Since(begun)
	})
}

// echoes sends back so many messages.
func echoes(server *zmq4.Socket, count int) {
	for range count {
		message, err := server.RecvMessageBytes(0)
		if err != nil {
			return
		}
		_, _ = server.SendMessage(message)
	}
}

// BenchmarkGuardHandshakes: the time for a number of clients that connect, 64 at once, each from an
// address of its own or all from one. They are in a process of their own. The metric "cpu-ratio" is
// of the servers' processor time.
func BenchmarkGuardHandshakes(b *testing.B) {
	const count = 256
	for _, mechanism := range []string{"NULL", "CURVE"} {
		for _, from := range []string{"own", "shared"} {
			b.Run(mechanism+"/"+from, func(b *testing.B) {
				p := newCostPair(b, mechanism, zmq4.ROUTER)
				connect := p.startClients(b)
				var cpus []float64
				var used [2]time.Duration
				compareCost(b, func(which int) time.Duration {
					var serving sync.WaitGroup
					serving.Go(func() { echoes(p.servers[which], count) })
					before := cpuTime(b)
					took := connect(p.endpoints[which], from, count)
					serving.Wait()
					used[which] = cpuTime(b) - before
					if used[0] > 0 && used[1] > 0 {
						cpus = append(cpus, float64(used[1])/float64(used[0]))
						used = [2]time.Duration{}
					}
					return took
				})
				slices.Sort(cpus)
				b.ReportMetric(cpus[len(cpus)/2], "cpu-ratio")
			})
		}
	}
}

// cpuTime is the processor time of this process.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var usage unix.Rusage
	must.OK(b, unix.Getrusage(unix.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// connectorVariable is for the process of the clients: the keys of CURVE, or a dash.
const connectorVariable = "ZMQAUTH_HANDSHAKES_CLIENT"

// startClients starts a process with clients. connect has so many of them connect, and returns how
// long that took.
func (p *costPair) startClients(b *testing.B) (
	connect func(endpoint, from string, count int) time.Duration) {
	b.Helper()
	keys := "-"
	if p.mechanism == "CURVE" {
		keys = fmt.Sprint(p.server.Public, " ", p.client.Public, " ", p.client.Secret.Z85())
	}
	self, err := os.Executable()
	must.OK(b, err)
	command := exec.Command(self, "-test.run=^TestHandshakesClient$")
	command.Env = append(os.Environ(), connectorVariable+"="+keys)
	command.Stderr = os.Stderr
	in, err1 := command.StdinPipe()
	out, err2 := command.StdoutPipe()
	must.OK(b, errors.Join(err1, err2, command.Start()))
	b.Cleanup(func() { must.OK(b, errors.Join(in.Close(), command.Wait())) })
	return func(endpoint, from string, count int) (took time.Duration) {
		_, err := fmt.Fprintln(in, endpoint, from, count)
		must.OK(b, err)
		_, err = fmt.Fscanln(out, &took)
		must.OK(b, err)
		return took
	}
}

// TestHandshakesClient is the process of startClients.
func TestHandshakesClient(t *testing.T) {
	keys := strings.Fields(os.Getenv(connectorVariable))
	if len(keys) == 0 {
		t.Skip("a part of BenchmarkGuardHandshakes")
	}
	const atOnce = 64
	var client loadgen.Client
	if len(keys) == 3 {
		client.ServerKey, client.PublicKey, client.SecretKey = keys[0], keys[1], keys[2]
	}
	zctx := testzmq.NewContext(t)
	for {
		var from string
		var count int
		if _, err := fmt.Scanln(&client.Endpoint, &from, &count); err != nil {
			return
		}
		client.Apart = from == "own"
		took, err := loadgen.Handshakes(zctx, client, atOnce, count)
		if err != nil {
			fmt.Fprintln(os.Stderr, from, client.Endpoint, err) // standard output is for the results
		}
		must.OK(t, err)
		fmt.Println(int64(took))
	}
}

// crowd is a guarded server with many connections of one key.
type crowd struct {
	*guarded
	key PublicKey
}

func newCrowd(t *testing.T, count int) *crowd {
	t.Helper()
	c := &crowd{guarded: newGuarded(t, "tcp://127.0.0.1:*", Config{Logger: quiet()}, nil)}
	many, err := NewCertificate()
	must.OK(t, err)
	c.key = many.Public
	must.OK(t, c.creds.SetKey(c.key, Entry{}))
	client := testzmq.NewSocket(t, testzmq.NewContext(t), zmq4.DEALER)
	must.OK(t, CurveClient(client, c.cert.Public, many))
	to := strings.TrimPrefix(c.endpoint, "tcp://")
	connectApart(t, client, to, count, func(n int) { c.await(t, n) })
	return c
}

// connectApart connects a client so many times, each time from another address: a DEALER connects
// once to each endpoint. await waits until so many are in.
func connectApart(t testing.TB, client *zmq4.Socket, to string, count int, await func(int)) {
	t.Helper()
	for n := range count {
		must.OK(t, client.Connect(fmt.Sprintf("tcp://127.33.%d.%d:0;%s", n/250, n%250+1, to)))
		if n%500 == 499 {
			await(n + 1)
		}
	}
	await(count)
}

// cut takes the key away, and returns how long it takes until the last connection is cut.
func (c *crowd) cut(t *testing.T) time.Duration {
	t.Helper()
	begun := time.Now()
	c.creds.DeleteKey(c.key)
	testpeer.Eventually(t, "all are cut", func() bool {
		return !slices.ContainsFunc(c.a.Sessions(), func(s Session) bool { return s.Key == c.key })
	})
	return time.Since(begun)
}

// keepAsking has a client with another key ask all the time. stop ends that, and returns how many
// questions were answered.
func (c *crowd) keepAsking(t *testing.T) (stop func() int) {
	t.Helper()
	client, _ := c.client(t, testzmq.NewContext(t))
	done, asked := make(chan struct{}), make(chan int)
	var serving sync.WaitGroup
	serving.Go(func() {
		for message := [][]byte(nil); !slices.Equal(last(message), []byte("end")); {
			var err error
			if message, err = c.server.RecvMessageBytes(0); err != nil {
				t.Error(err)
				return
			}
			_, _ = c.server.SendMessage(message)
		}
	})
	ask := func(text string) bool {
		_, err := client.Send(text, 0)
		got, err2 := client.Recv(0)
		if errors.Join(err, err2) != nil || got != text {
			t.Errorf("%q: %q, %v, %v", text, got, err, err2)
			return false
		}
		return true
	}
	go func() {
		number := 0
		defer func() { asked <- number }()
		for ask(strconv.Itoa(number)) {
			number++
			select {
			case <-done:
				ask("end")
				return
			default:
			}
		}
	}()
	return func() int {
		close(done)
		number := <-asked
		serving.Wait()
		return number
	}
}

func last(message [][]byte) []byte {
	if len(message) == 0 {
		return nil
	}
	return message[len(message)-1]
}

// TestCutMany: all connections of a key that is taken away are cut, and who has another key keeps
// every message meanwhile.
func TestCutMany(t *testing.T) {
	c := newCrowd(t, 300)
	stop := c.keepAsking(t)
	took := c.cut(t)
	t.Logf("cut within %v, %d answers meanwhile", took, stop())
	if took > 10*time.Second { // an order of magnitude more than for 5,000
		t.Errorf("%v", took)
	}
	if left := c.await(t, 1); left[0].Key == c.key {
		t.Errorf("%+v", left)
	}
}

// BenchmarkCut5000: the time from each change that refuses a client, or from the end of a key, to
// the last of 5,000 connections cut. It needs some 12,000 descriptors.
func BenchmarkCut5000(b *testing.B) {
	const count = 5000
	for name, change := range refusals {
		b.Run(name, func(b *testing.B) {
			var worst time.Duration
			for b.Loop() {
				b.StopTimer()
				j := newJudged(b, Config{EndSessions: true, Logger: quiet()})
				j.from = "127.33.0.0/16"
				j.expires = time.Now().Add(30 * time.Second)
				change.prepare(j)
				client, endpoint := j.serve(change.mechanism, "tcp://127.0.0.1:*")
				to := strings.TrimPrefix(endpoint, "tcp://")
				connectApart(b, client, to, count, func(n int) { j.await(n) })
				b.StartTimer()
				begun := time.Now()
				change.change(j)
				for range count {
					<-j.changes
				}
				if begun.Before(j.expires) && j.expires.Before(time.Now()) {
					begun = j.expires
				}
				worst = max(worst, time.Since(begun))
			}
			b.ReportMetric(float64(worst.Milliseconds()), "ms/worst")
		})
	}
}
