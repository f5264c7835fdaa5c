package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/admin"
	"github.com/zmqauth/zmqauth/enrol"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// TestPending: clients with unknown keys wait. One is approved and gets in by itself, one is denied
// and is refused.
func TestPending(t *testing.T) {
	dir := t.TempDir()
	mkdir(t, dir, "clients")
	g := &guarded{zctx: testzmq.NewContext(t), server: identity(t, dir, "server")}
	config := "domain = orders\n    curve = clients\n    unknown = pending\n" +
		"    enrol-window = 10m\n" +
		frontendConfig("orders", "router", "tcp://127.0.0.1:*", echo(t, g.zctx), "curve",
			"certificate = server.key_secret", "handshake-deadline = 1s")
	g.proxyProcess = startProxy(t, dir, config, "--control", "control.sock")

	ann, bob := identity(t, dir, "ann"), identity(t, dir, "bob")
	s := testzmq.NewSocket(t, g.zctx, zmq4.REQ)
	must.OK(t, zmqauth.CurveClient(s, g.server.Public, ann))
	must.OK(t, s.Connect(g.endpoint("orders")))
	waiting := g.pending(t, 1)[0]
	if waiting.Key != ann.Public || waiting.Domain != "orders" || waiting.Address != "127.0.0.1" ||
		waiting.Fingerprint != enrol.Fingerprint(ann.Public) || waiting.Tries < 1 ||
		waiting.Directory != filepath.Join(dir, "clients") {
		t.Errorf("waits: %+v", waiting)
	}
	table, _, code := g.tool("pending")
	if code != 0 || !strings.Contains(table, waiting.Fingerprint) {
		t.Errorf("pending: exit code %d\n%s", code, table)
	}

	out, errs, code := g.tool("approve", waiting.Fingerprint[:23], "--user", "ann", "--meta",
		"Role=operator")
	file := filepath.Join(dir, "clients", "ann.key")
	if code != 0 || !strings.Contains(out, file) {
		t.Fatalf("approve: exit code %d\n%s%s", code, out, errs)
	}
	must.OK(t, ask(s, "hello")) // it got in by itself
	written, err := zmqauth.LoadCertificate(file)
	must.OK(t, err)
	if written.Public != ann.Public || written.Metadata["Role"] != "operator" ||
		written.Metadata["name"] != "ann" {
		t.Errorf("the certificate: %v", written)
	}
	g.pending(t, 0)

	other := testzmq.NewSocket(t, g.zctx, zmq4.DEALER)
	must.OK(t, zmqauth.CurveClient(other, g.server.Public, bob))
	must.OK(t, other.Connect(g.endpoint("orders")))
	denied := g.pending(t, 1)[0].Fingerprint
	for _, test := range []struct {
		args []string
		want string
		code int
	}{
		{[]string{"approve", denied, "--user", "ann"}, "ann.key", exitFailure}, // is there already
		{[]string{"approve", denied, "--user", "../bob"}, "--user", exitUsage},
		{[]string{"approve", denied[:22], "--user", "bob"}, "16 characters", exitFailure},
		{[]string{"deny", enrol.Fingerprint(ann.Public)}, "no such key", exitFailure},
		{[]string{"pending", "--open", "10m"}, "--domain", exitUsage},
	} {
		_, errs, code := g.tool(test.args...)
		if code != test.code || !strings.Contains(errs, test.want) {
			t.Errorf("%q: exit code %d, %s", test.args, code, errs)
		}
	}
	if out, errs, code := g.tool("deny", denied); code != 0 || !strings.Contains(out, denied) {
		t.Fatalf("deny: exit code %d\n%s%s", code, out, errs)
	}
	g.pending(t, 0)
	again := testzmq.NewSocket(t, g.zctx, zmq4.DEALER)
	err = enter(t, again, g.endpoint("orders"), g.server, bob)
	if !errors.Is(err, zmqauth.ErrDenied) {
		t.Errorf("who was denied meets %v", err)
	}
	entries, err := os.ReadDir(filepath.Join(dir, "clients"))
	must.OK(t, err)
	if len(entries) != 1 {
		t.Errorf("certificates: %v", entries)
	}
}

// pending lists what waits, with the tool, until so many keys do.
func (g *guarded) pending(t *testing.T, count int) (all []admin.Pending) {
	t.Helper()
	testpeer.Eventually(t, "keys wait", func() bool {
		out, errs, code := g.tool("pending", "--json")
		if code != 0 {
			t.Fatalf("pending: %s", errs)
		}
		all = nil
		must.OK(t, json.Unmarshal([]byte(out), &all))
		return len(all) == count
	})
	return slices.Clip(all)
}
