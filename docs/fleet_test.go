package docs

import (
	"strings"
	"syscall"
	"testing"

	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// walkFleet runs an engine and two servers of a fleet, lets a key in and revokes it.
func walkFleet(t *testing.T, r *reader) {
	w := newWalk(t, "4222", "5555", "5556")
	w.run(r.commands())
	w.run(r.commands()) // the files
	engine := w.start(r.commands())
	testpeer.Eventually(t, "the engine is ready", func() bool {
		return strings.Contains(engine.log.String(), "the bucket is there")
	})
	expect(t, w.run(r.commands()), `(?m)^server +orders-1$`, `(?m)^refused +0$`)
	w.write(r.file("zpl"))
	w.write(r.file("zpl"))
	one, two := w.start(r.commands()), w.start(r.commands())
	w.awaitPort("5555")
	w.awaitPort("5556")
	_, variable, _ := strings.Cut(strings.TrimSpace(r.commands()), " ") // export
	w.env = append(w.env, variable)
	expect(t, w.run(r.commands()), `let in: key .* in the domain orders`, `confirmed by 2 servers`)
	w.run(r.commands()) // both accept
	expect(t, w.run(r.commands()), `revoked: key .* in the domain orders`, `confirmed by 2 servers`)
	w.refused(r.commands())
	w.refused(r.commands())
	expect(t, w.run(r.commands()), `(?m)^orders-1 +ok `, `(?m)^orders-2 +ok `, `laptop stolen`,
		`changed .* user=ann .* reason=revoked`)
	for _, p := range []*running{one, two} {
		p.signal(syscall.SIGTERM)
	}
	engine.signal(syscall.SIGTERM)
	testpeer.Eventually(t, "the engine ends", func() bool {
		return strings.Contains(engine.log.String(), "zmqauth-engine: the engine ends")
	})
}
