package doctor

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/endpoint"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// Where no packet gets through, it is said what the network answers. It is a network of the test.
func TestNobodyIsReached(t *testing.T) {
	own := &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNET}
	if os.Getuid() != 0 {
		own = testpeer.NamedAs(0, syscall.CLONE_NEWNET)
	}
	ip := testpeer.Program(t, "iproute2", "ip")
	if !testpeer.Apart(t, own) {
		return
	}
	for _, command := range []string{
		"link set lo up",
		"route add unreachable 192.0.2.1",
		"route add prohibit 192.0.2.2",
		"route add 192.0.2.3 dev lo", // nobody has the address
	} {
		if out, err := exec.Command(ip, strings.Fields(command)...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", command, err, out)
		}
	}
	for _, test := range []struct{ address, seen, try string }{
		{"192.0.2.1", "no route to host", tryHost},
		{"192.0.2.2", "permission denied", tryForbidden},
		{"192.0.2.9", "network is unreachable", tryRoute},
		{"[2001:db8::1]", "network is unreachable", tryRoute},
		{"192.0.2.3", "no answer in time", tryTimeout},
	} {
		at, err := endpoint.ParseConnect("tcp://" + test.address + ":5555")
		must.OK(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		step := Unreached(ctx, at)
		cancel()
		want := test.address + ":5555: " + test.seen
		if step == nil || step.Name != StepConnect || step.Seen != want || step.Try != test.try {
			t.Errorf("%s: %+v\nwant %q, and to try %q", test.address, step, want, test.try)
		}
	}
}
