//go:build linux

package front

import (
	"fmt"
	"slices"
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

// pair is a server without and one with a front.
type pair struct{ servers, clients [2]*zmq4.Socket }

// newPair connects a client of a kind to each server.
func newPair(b *testing.B, mechanism string, kind, client zmq4.Type) (p pair) {
	b.Helper()
	for i := range p.servers {
		s := newServer(b, kind, mechanism, "tcp://127.0.0.1:*", nil)
		endpoint := s.front.Endpoint()
		if i == 0 {
			must.OK(b, s.socket.Bind("tcp://127.0.0.1:*"))
			var err error
			endpoint, err = s.socket.GetLastEndpoint()
			must.OK(b, err)
		}
		p.servers[i] = s.socket
		p.clients[i] = s.client(b, testzmq.NewContext(b), client)
		must.OK(b, zmqauth.Connect(b.Context(), p.clients[i], endpoint))
	}
	return p
}

// compare reports the ratio of the front's time to the direct one's. turn does the same work on
// either, and takes some milliseconds.
func (p pair) compare(b *testing.B, turn func(server, client *zmq4.Socket)) {
	b.Helper()
	turn(p.servers[0], p.clients[0])
	turn(p.servers[1], p.clients[1])
	var ratios, direct []float64
	for b.Loop() {
		var took [2]time.Duration
		for i := range took {
			begun := time.Now()
			turn(p.servers[i], p.clients[i])
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
				p := newPair(b, mechanism, zmq4.PULL, zmq4.PUSH)
				message, count := make([]byte, size), (16<<20)/size
				p.compare(b, func(server, client *zmq4.Socket) {
					go func() {
						for range count {
							_, _ = client.SendBytes(message, 0)
						}
					}()
					for range count {
						_, err := server.RecvBytes(0)
						must.OK(b, err)
					}
				})
			})
		}
	}
}

// BenchmarkLatency: the time for a number of round trips between REQ and REP.
func BenchmarkLatency(b *testing.B) {
	p := newPair(b, "NULL", zmq4.REP, zmq4.REQ)
	for _, server := range p.servers {
		go func() {
			for {
				if _, err := server.RecvBytes(0); err != nil {
					return
				}
				_, _ = server.SendBytes([]byte("pong"), 0)
			}
		}()
	}
	p.compare(b, func(_, client *zmq4.Socket) {
		for range 100 {
			_, err := client.SendBytes([]byte("ping"), 0)
			must.OK(b, err)
			_, err = client.RecvBytes(0)
			must.OK(b, err)
		}
	})
}
