package docs

import (
	"testing"
)

// walkObserve sees a refusal, finds the reason and mends it.
func walkObserve(t *testing.T, r *reader) {
	w := newWalk(t, "5555", "6666", "9090")
	w.run(r.commands()) // the tool and keys
	w.write(r.file("zpl"))
	w.start(r.commands())
	w.awaitPort("5555")
	w.refused(r.commands())
	expect(t, w.run(r.commands()), `(?m)^orders +CURVE +400 +unknown-key +1$`,
		`zmqauth_decisions_total\{domain="orders",.*reason="unknown-key",status="400"\} 1`)
	expect(t, w.run(r.commands()), `(?m)^accepted, with CURVE$`)
}
