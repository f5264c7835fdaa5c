package doctor

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/endpoint"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// A name may have addresses of both families, and somebody listen at one of them.
func TestOneAddressAnswers(t *testing.T) {
	testpeer.NeedIPv6(t)
	for _, listen := range []string{"127.0.0.1", "::1"} {
		listener, err := net.Listen("tcp", net.JoinHostPort(listen, "0"))
		must.OK(t, err)
		defer listener.Close()
		_, port, err := net.SplitHostPort(listener.Addr().String())
		must.OK(t, err)
		at, err := endpoint.ParseConnect("tcp://both.example:" + port)
		must.OK(t, err)
		x := newExamination(t.Context(), at)
		x.lookup = func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("::1"), netip.MustParseAddr("127.0.0.1")}, nil
		}
		if !x.reach(t.Context()) || len(x.Steps) != 2 || x.Steps[1].Result != Note {
			t.Fatalf("%+v", x.Steps)
		}
		if seen := x.Steps[0].Seen; !strings.HasSuffix(seen, ": 127.0.0.1 (A), ::1 (AAAA)") {
			t.Error(seen)
		}
		want := listener.Addr().String() + " accepts connections; "
		if seen := x.Steps[1].Seen; !strings.HasPrefix(seen, want) ||
			!strings.HasSuffix(seen, ": connection refused") {
			t.Error(seen)
		}
		try := x.Steps[1].Try
		if !strings.Contains(try, tryAllAddresses) ||
			strings.Contains(try, tryIPv6) != (listen == "::1") {
			t.Errorf("%s: %s", listen, try)
		}
		if len(x.dial) != 1 || x.dial[0] != listener.Addr().String() {
			t.Errorf("the next steps go to %v", x.dial)
		}
	}
}

// A server that is reached by IPv6 alone has a note: libzmq's programs need an option.
func TestOnlyIPv6(t *testing.T) {
	testpeer.NeedIPv6(t)
	listener, err := net.Listen("tcp", "[::1]:0")
	must.OK(t, err)
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	must.OK(t, err)
	for _, host := range []string{"six.example", "[::1]"} {
		at, err := endpoint.ParseConnect("tcp://" + host + ":" + port)
		must.OK(t, err)
		x := newExamination(t.Context(), at)
		x.lookup = func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("::1")}, nil
		}
		if !x.reach(t.Context()) {
			t.Fatalf("%+v", x.Steps)
		}
		if host != "[::1]" && !strings.HasSuffix(x.Steps[0].Seen, "none (A), ::1 (AAAA)") {
			t.Error(x.Steps[0].Seen)
		}
		last := x.Steps[len(x.Steps)-1]
		if last.Name != StepConnect || last.Result != Note || last.Try != tryIPv6 ||
			last.Seen != listener.Addr().String()+" accepts connections" {
			t.Errorf("%s: %+v", host, last)
		}
	}
}

func TestNameHasNoAddress(t *testing.T) {
	at, err := endpoint.ParseConnect("tcp://none.example:1")
	must.OK(t, err)
	for _, fault := range []error{nil, &net.DNSError{Err: "no such host", IsNotFound: true}} {
		x := newExamination(t.Context(), at)
		x.lookup = func(context.Context, string) ([]netip.Addr, error) { return nil, fault }
		if x.reach(t.Context()) || !strings.Contains(x.Steps[0].Seen, "neither A nor AAAA") {
			t.Errorf("%v: %+v", fault, x.Steps)
		}
	}
	x := newExamination(t.Context(), at)
	x.lookup = func(context.Context, string) ([]netip.Addr, error) {
		return nil, &net.DNSError{Err: "server misbehaving"}
	}
	if x.reach(t.Context()) || x.Steps[0].Try != tryResolver {
		t.Errorf("%+v", x.Steps)
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	must.OK(t, os.WriteFile(path("file"), nil, 0o600))
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: path("left"), Net: "unix"})
	must.OK(t, err)
	left.SetUnlinkOnClose(false)
	must.OK(t, left.Close())
	for _, test := range []struct{ path, step, seen string }{
		{path("none"), StepFile, "does not exist; its directory does"},
		{path("none/none"), StepFile, "nor does its directory"},
		{path("file"), StepFile, "is no socket"},
		{path("left"), StepConnect, "nobody listens at the socket"},
		{fmt.Sprintf("@zmqauth-doctor-%d", os.Getpid()), StepConnect, "nobody listens at that"},
	} {
		at, err := endpoint.ParseConnect("ipc://" + test.path)
		must.OK(t, err)
		step := Unreached(t.Context(), at)
		if step == nil || step.Name != test.step || !strings.Contains(step.Seen, test.seen) ||
			step.Try == "" {
			t.Errorf("%s: %+v, want %s: %q", test.path, step, test.step, test.seen)
		}
	}
	listener, err := net.Listen("unix", path("live"))
	must.OK(t, err)
	defer listener.Close()
	at, err := endpoint.ParseConnect("ipc://" + path("live"))
	must.OK(t, err)
	if step := Unreached(t.Context(), at); step != nil {
		t.Errorf("a live socket: %+v", step)
	}
}
