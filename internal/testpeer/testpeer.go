// Package testpeer finds the other systems that tests run against, and what tests have left behind.
// Tests alone use it.
package testpeer

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/daemon"
)

// Missing ends a test that needs another system: CI has them all, by hand it is enough to be told.
func Missing(t testing.TB, what, install string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is missing; CI must have it: apt-get install %s", what, install)
	}
	t.Skipf("%s is missing: apt-get install %s", what, install)
}

// Program is the path of one of the programs named, in PATH or at the absolute path given; what the
// packages to install are called is install.
func Program(t testing.TB, install string, names ...string) string {
	t.Helper()
	path, err := daemon.Find(names...)
	if err != nil {
		Missing(t, strings.Join(names, " or "), install)
	}
	return path
}

// Python is a Python that can import the module.
func Python(t testing.TB, module, install string) string {
	t.Helper()
	for _, python := range []string{"/usr/bin/python3", "python3"} {
		if exec.Command(python, "-c", "import "+module).Run() == nil {
			return python
		}
	}
	Missing(t, "Python's "+module, install)
	return ""
}

// Eventually waits until condition holds; what it is goes into the failure.
func Eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 s: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// NothingLeft fails the test where goroutines or descriptors are left after it that were not there
// when NothingLeft was called. Call it first, so that it looks after every other cleanup.
func NothingLeft(t testing.TB) {
	t.Helper()
	goroutines, descriptors := runtime.NumGoroutine(), Descriptors()
	t.Cleanup(func() {
		if t.Failed() {
			return
		}
		Eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= goroutines })
		Eventually(t, "no descriptor is left", func() bool { return Descriptors() <= descriptors })
	})
}

// Descriptors is how many descriptors this process has open.
func Descriptors() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(entries)
}

// CompileCzmq compiles a C program against the real czmq and returns its path.
func CompileCzmq(t testing.TB, source string) string {
	t.Helper()
	flags, err := exec.Command("pkg-config", "--cflags", "--libs", "libczmq").Output()
	if err != nil {
		Missing(t, "czmq", "gcc pkg-config libczmq-dev")
	}
	program := filepath.Join(t.TempDir(), "program")
	args := append([]string{"-o", program, "-x", "c", "-"}, strings.Fields(string(flags))...)
	compile := exec.Command("gcc", args...)
	compile.Stdin = strings.NewReader(source)
	if out, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	return program
}

// Without tells a test that this system cannot do something, by a word for it (ipv6, namespaces)
// and the reason. CI must be able to do everything but what TEST_WITHOUT lists: the inside of a
// container is not.
func Without(t testing.TB, word string, reason error) {
	t.Helper()
	if os.Getenv("CI") != "" && !slices.Contains(strings.Fields(os.Getenv("TEST_WITHOUT")), word) {
		t.Fatalf("CI must have %s, or say in TEST_WITHOUT that it has not: %v", word, reason)
	}
}

// HasIPv6 tells whether the system has a loopback address of IPv6: the inside of a container has
// none as a rule.
func HasIPv6(t testing.TB) bool {
	t.Helper()
	listener, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		Without(t, "ipv6", err)
		return false
	}
	_ = listener.Close()
	return true
}

// NeedIPv6 skips a test of IPv6 on a system that has none.
func NeedIPv6(t testing.TB) {
	t.Helper()
	if !HasIPv6(t) {
		t.Skip("no IPv6 here")
	}
}
