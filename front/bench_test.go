//go:build linux

package front

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// The benchmarks compare a front with a direct connection to a socket of the same kind. Both take
// turns, so that what else the machine does hits both alike. The metric "ratio" is the median over
// the turns, of the front's figure to the direct one.

// pair is a server without and one with a front, and a client of each.
type pair struct {
	servers   [2]*server
	endpoints [2]string
	clients   [2]*zmq4.Socket
}

// newPair makes two servers.
func newPair(b *testing.B, mechanism string, kind zmq4.Type) (p pair) {
	b.Helper()
	for i := range p.servers {
		s := newServer(b, kind, mechanism, "tcp://127.0.0.1:*", nil)
		p.servers[i], p.endpoints[i] = s, s.front.Endpoint()
		if i == 0 {
			must.OK(b, s.socket.Bind("tcp://127.0.0.1:*"))
			var err error
			p.endpoints[0], err = s.socket.GetLastEndpoint()
			must.OK(b, err)
		}
	}
	return p
}

// connect connects a client of a kind to each server.
func (p *pair) connect(b *testing.B, kind zmq4.Type) {
	b.Helper()
	for i, s := range p.servers {
		p.clients[i] = s.client(b, testzmq.NewContext(b), kind)
		must.OK(b, zmqauth.Connect(b.Context(), p.clients[i], p.endpoints[i]))
	}
}

// compare reports the ratio of the front's time to the direct one's. turn does the same work with
// server 0 or 1, and takes some milliseconds.
func compare(b *testing.B, turn func(which int)) {
	b.Helper()
	turn(0)
	turn(1)
	var ratios, direct []float64
	for b.Loop() {
		var took [2]time.Duration
		for i := range took {
			begun := time.Now()
			turn(i)
			took[i] = time.Since(begun)
		}
		ratios = append(ratios, float64(took[1])/float64(took[0]))
		direct = append(direct, float64(took[0]))
	}
	b.ReportMetric(median(ratios), "ratio")
	b.ReportMetric(median(direct)/1e6, "direct-ms/turn")
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// BenchmarkThroughput: the time for a number of messages from PUSH to PULL.
func BenchmarkThroughput(b *testing.B) {
	for _, mechanism := range []string{"NULL", "CURVE"} {
		for _, size := range []int{1 << 10, 64 << 10} {
			b.Run(fmt.Sprintf("%s/%d", mechanism, size), func(b *testing.B) {
				p := newPair(b, mechanism, zmq4.PULL)
				p.connect(b, zmq4.PUSH)
				message, count := make([]byte, size), (4<<20)/size
				compare(b, func(which int) {
					go func() {
						for range count {
							_, _ = p.clients[which].SendBytes(message, 0)
						}
					}()
					for range count {
						_, err := p.servers[which].socket.RecvBytes(0)
						must.OK(b, err)
					}
				})
			})
		}
	}
}

// BenchmarkLatency: the time for a number of round trips between REQ and REP.
func BenchmarkLatency(b *testing.B) {
	const count = 100
	p := newPair(b, "NULL", zmq4.REP)
	p.connect(b, zmq4.REQ)
	compare(b, func(which int) {
		server, client := p.servers[which].socket, p.clients[which]
		var serving sync.WaitGroup
		defer serving.Wait()
		serving.Go(func() {
			for range count {
				_, _ = server.RecvBytes(0)
				_, _ = server.SendBytes([]byte("pong"), 0)
			}
		})
		for range count {
			_, err := client.SendBytes([]byte("ping"), 0)
			must.OK(b, err)
			_, err = client.RecvBytes(0)
			must.OK(b, err)
		}
	})
}

// BenchmarkHandshake: the time for a number of clients that connect, four at a time.
func BenchmarkHandshake(b *testing.B) {
	for _, mechanism := range []string{"NULL", "CURVE"} {
		b.Run(mechanism, func(b *testing.B) {
			p := newPair(b, mechanism, zmq4.ROUTER)
			zctx := testzmq.NewContext(b)
			compare(b, func(which int) {
				var all sync.WaitGroup
				for range 4 {
					all.Go(func() {
						for range 5 {
							c, err := zctx.NewSocket(zmq4.DEALER)
							must.OK(b, err)
							p.servers[which].arm(b, c)
							must.OK(b, zmqauth.Connect(b.Context(), c, p.endpoints[which]))
							must.OK(b, errors.Join(c.SetLinger(0), c.Close()))
						}
					})
				}
				all.Wait()
			})
		})
	}
}

// BenchmarkMemory: what a connection takes of this process's memory. Run each alone.
func BenchmarkMemory(b *testing.B) {
	for which, name := range []string{"direct", "front"} {
		b.Run(name, func(b *testing.B) {
			must.OK(b, raiseDescriptors())
			const count = 4000
			p := newPair(b, "NULL", zmq4.ROUTER)
			before := resident(b)
			for b.Loop() {
				clients := startStrangers(b, p.endpoints[which], 9, count)
				if in := clients.await(b); in != count {
					b.Fatalf("%d are in", in)
				}
				p.servers[which].sessions(b, count)
				runtime.GC()
				b.ReportMetric(float64(resident(b)-before)/count, "B/connection")
				clients.leave(b)
			}
		})
	}
}

// resident is how many bytes of memory this process has.
func resident(b *testing.B) (bytes int) {
	b.Helper()
	debug.FreeOSMemory()
	statm, err := os.ReadFile("/proc/self/statm")
	must.OK(b, err)
	var size, pages int
	_, err = fmt.Sscan(string(statm), &size, &pages)
	must.OK(b, err)
	return pages * os.Getpagesize()
}

// BenchmarkFlood: 20,000 connections from denied addresses: what they cost this process, and how
// long good clients take to get in meanwhile.
func BenchmarkFlood(b *testing.B) {
	const (
		count = 20_000
		pause = 20 * time.Millisecond // before each good client, in a flood and without
	)
	p := newPair(b, "NULL", zmq4.ROUTER)
	for _, s := range p.servers {
		must.OK(b, s.a.Deny("127.9.0.0/16"))
	}
	enterOnce := func(which int) float64 {
		begun := time.Now()
		conn := dial(b, p.endpoints[which], "127.10.0.1")
		if !enter(b, conn) {
			b.Fatal("a good client is not let in")
		}
		must.OK(b, conn.Close())
		return float64(time.Since(begun).Microseconds())
	}
	var idle, flooded [2][]float64
	var costs [2][]float64
	for b.Loop() {
		for which := range p.servers {
			for range 50 {
				time.Sleep(pause)
				idle[which] = append(idle[which], enterOnce(which))
			}
			p.servers[which].front.engine.shed.lift() // that of the flood before
			before := processorTime(b)
			flood := startFlood(b, p.endpoints[which], 9, count)
			done := make(chan bool)
			go func() {
				defer close(done)
				flood.await(b)
			}()
			for over := false; !over; {
				select {
				case <-done:
					over = true
				case <-time.After(pause):
					flooded[which] = append(flooded[which], enterOnce(which))
				}
			}
			cost := processorTime(b) - before
			flood.leave(b)
			costs[which] = append(costs[which], float64(cost.Microseconds())/count)
		}
	}
	for which, name := range []string{"direct", "front"} {
		b.ReportMetric(median(costs[which]), name+"-µs/connection")
		b.ReportMetric(median(idle[which]), name+"-idle-µs/entry")
		b.ReportMetric(median(flooded[which]), name+"-flood-µs/entry")
	}
	b.ReportMetric(median(costs[1])/median(costs[0]), "ratio")
	b.ReportMetric(median(flooded[1])/median(idle[1]), "entry-ratio")
}

// processorTime is how much of it this process has used.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	must.OK(b, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
