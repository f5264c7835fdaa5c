package main

import (
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/enrol"
	"github.com/zmqauth/zmqauth/fleet"
	"github.com/zmqauth/zmqauth/internal/must"
)

// TestFleetApproves: a key that several servers have seen is one, and the beginning of its
// fingerprint stands for it. In several domains it is as many.
func TestFleetApproves(t *testing.T) {
	w := newFleetWorld(t, "one", "two")
	ann, bob := identity(t, w.dir, "ann").Public, identity(t, w.dir, "bob").Public
	for _, name := range []string{"one", "two"} {
		server := w.member(name + ".server")
		conn, err := server.Connect(nil, false)
		must.OK(t, err)
		t.Cleanup(conn.Close)
		store, err := server.Store(conn, -1)
		must.OK(t, err)
		must.OK(t, store.ReportPending(t.Context(), name, []fleet.Pending{{Domain: "a", Key: ann,
			Address: "127.0.0.1"}, {Domain: "a", Key: bob}, {Domain: "b", Key: bob}}))
	}
	annsPrint, bobsPrint := enrol.Fingerprint(ann)[:23], enrol.Fingerprint(bob)
	for args, says := range map[string]string{annsPrint[:22]: "at least 16 characters",
		bobsPrint: "more than one key or domain", annsPrint + " --domain b": "no such key waits"} {
		_, said, err := w.try(append([]string{"fleet", "approve"}, strings.Fields(args)...)...)
		if err == nil || !strings.Contains(said, says) {
			t.Errorf("approve %s: %s", args, said)
		}
	}
	w.run("fleet", "approve", annsPrint, "--user", "ann")
	w.run("fleet", "deny", bobsPrint, "--domain", "b")
	w.run("fleet", "approve", bobsPrint)
	if out := w.run("fleet", "list"); strings.Count(out, "granted") != 2 ||
		!strings.Contains(out, enrol.Fingerprint(ann)) || !strings.Contains(out, bobsPrint) {
		t.Errorf("let in are %s", out)
	}
}
