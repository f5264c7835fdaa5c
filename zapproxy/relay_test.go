package zapproxy_test

import (
	"testing"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/zapproxy"
)

// TestRelay: the service decides about the clients of another context.
func TestRelay(t *testing.T) {
	testpeer.NothingLeft(t)
	at := serve(t, &zapproxy.Server{Handler: handler(t)})
	zctx, link := relay(t, new(zapproxy.Dialer), at)
	awaitConnected(t, link)
	checkDoors(t, servers(t, zctx, "orders"))
	if err := connect(t, servers(t, zctx, "closed").null, long, nil); err == nil {
		t.Error("a denied address is let in")
	}
	stats := link.Stats()
	if stats.Asked != 6 || stats.Answered != 6 || stats.Away+stats.Graced+stats.Dropped != 0 {
		t.Errorf("%+v", stats)
	}
	if _, err := zapproxy.Relay(zctx, at); err != zmqauth.ErrHandlerBound {
		t.Errorf("a second relay: %v", err)
	}
	must.OK(t, link.Close())
	must.OK(t, link.Close())
	must.OK(t, link.Wait())
	refused(t, servers(t, zctx, "orders"))
}

// TestTCP: a link over TCP has CURVE, and both sides know each other's keys.
func TestTCP(t *testing.T) {
	testpeer.NothingLeft(t)
	service, ours := fixedCertificate(30), fixedCertificate(31)
	server := &zapproxy.Server{Handler: handler(t), Certificate: service}
	must.OK(t, server.SetRules(zapproxy.Rules{Programs: []zapproxy.Program{{
		Name: "orders", Keys: []zmqauth.PublicKey{ours.Public}, Domains: []string{"orders"}}}}))
	at := serveAt(t, server, "tcp://127.0.0.1:*")
	zctx, link := relay(t, &zapproxy.Dialer{Server: service.Public, Certificate: ours}, at)
	awaitConnected(t, link)
	checkDoors(t, servers(t, zctx, "orders"))
	if err := connect(t, servers(t, zctx, "billing").null, long, nil); err == nil {
		t.Error("let in to a domain that the program is not given")
	}
}
