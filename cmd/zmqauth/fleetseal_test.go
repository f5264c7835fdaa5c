package main

import (
	"crypto/ed25519"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/zmqauth/zmqauth/fleet"
	"github.com/zmqauth/zmqauth/internal/fleetfile"
	"github.com/zmqauth/zmqauth/internal/must"
)

// TestFleetSeal: who trusts ann alone takes what she has sealed, and that is what those have signed
// whom she trusts then. A server can seal nothing.
func TestFleetSeal(t *testing.T) {
	w := newFleetWorld(t, "one")
	if out := w.run("fleet", "seal"); out != "sealed: 0 entries\n" {
		t.Errorf("of an empty fleet: %s", out)
	}
	w.run("fleet", "add-admin", "bob")
	w.engine.waitFor("zmqauth-engine: another list of members is in force", nil)
	identity(t, w.dir, "eve")
	identity(t, w.dir, "ida")
	w.run("fleet", "add-key", "eve.key", "--domain", "orders", "--as", "fleet/bob.admin")
	w.run("fleet", "add-key", "ida.key", "--domain", "orders")
	ann, bob := w.member("ann.admin"), w.member("bob.admin")
	key, err := ann.Key()
	must.OK(t, err)
	server := w.member("one.server")
	conn, err := server.Connect(nil, false)
	must.OK(t, err)
	t.Cleanup(conn.Close)
	store, err := server.Store(conn, -1)
	must.OK(t, err)
	own, err := os.ReadFile(ann.Path)
	must.OK(t, err)
	for _, c := range []struct {
		name, signer, as string // signer is a line in ann's file
		sealed, counting int
	}{
		{"somebody whom the server does not trust", "", "bob", 2, 1},
		{"ann, who trusts herself", "", "ann", 1, 1},
		{"ann, who trusts bob: the server does not", bob.SignerLine() + "\n", "ann", 2, 1},
		{"ann, who trusts bob no more", "", "ann", 1, 1},
	} {
		must.OK(t, os.WriteFile(ann.Path, append(own[:len(own):len(own)], c.signer...), 0o600))
		var out struct{ Sealed int }
		must.OK(t, json.Unmarshal([]byte(w.run("fleet", "seal", "--json",
			"--as", "fleet/"+c.as+".admin")), &out))
		entries, _, err := store.Load(t.Context())
		must.OK(t, err)
		current, _ := fleet.Current("test", entries, key.Public().(ed25519.PublicKey))
		if out.Sealed != c.sealed || len(current) != c.counting {
			t.Errorf("%s: %d are sealed, and %d count", c.name, out.Sealed, len(current))
		}
	}
	denied := make(chan error, 1)
	conn.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { denied <- err })
	must.OK(t, conn.Publish("$KV.zmqauth.sums.0", []byte("{}")))
	if err := <-denied; !strings.Contains(err.Error(), "$KV.zmqauth.sums.0") {
		t.Errorf("a server seals: %v", err)
	}
}

// member reads a file of the fleet.
func (w *fleetWorld) member(file string) *fleetfile.Member {
	w.t.Helper()
	m, err := fleetfile.ReadMember(filepath.Join(w.dir, "fleet", file))
	must.OK(w.t, err)
	return m
}
