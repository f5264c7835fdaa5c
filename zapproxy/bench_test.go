package zapproxy_test

import (
	"testing"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testzap"
	"github.com/zmqauth/zmqauth/internal/testzmq"
	"github.com/zmqauth/zmqauth/zapproxy"
)

// BenchmarkDecisions compares decisions of an Authenticator in the sockets' own context with those
// of a service: the same questions, 64 of them open at any time.
func BenchmarkDecisions(b *testing.B) {
	b.Run("direct", func(b *testing.B) {
		zctx := testzmq.NewContext(b)
		own, err := newHandlerIn(zctx)
		must.OK(b, err)
		defer own.Close()
		must.OK(b, own.Start())
		decide(b, zctx)
	})
	b.Run("link", func(b *testing.B) {
		server := &zapproxy.Server{Handler: handler(b)}
		zctx, link := relay(b, new(zapproxy.Dialer), serve(b, server))
		awaitConnected(b, link)
		decide(b, zctx)
		if stats := link.Stats(); stats.Away > 0 {
			b.Errorf("%+v", stats)
		}
	})
}

// decide has b.N questions answered.
func decide(b *testing.B, zctx *zmq4.Context) {
	const window = 64
	a := newAsker(b, zctx)
	request := testzap.Request("orders", "127.0.0.1", "CURVE", string(annsKey[:]))
	b.ReportAllocs()
	b.ResetTimer()
	for asked, answered := 0, 0; answered < b.N; answered++ {
		for ; asked < b.N && asked-answered < window; asked++ {
			a.ask(b, request)
		}
		if status := a.status(b); status != "200" {
			b.Fatal(status)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "decisions/s")
}

var annsKey = annsCertificate().Public
