// Package testpeer finds the other systems that tests run against, and the resources that a test
// has leaked. Only tests use it.
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

// Missing ends a test that needs a system that is not installed. The test fails in CI, which must
// have all systems, and is skipped elsewhere. what names the system, install the packages to
// install.
func Missing(t testing.TB, what, install string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is missing; CI must have it: apt-get install %s", what, install)
	}
	t.Skipf("%s is missing: apt-get install %s", what, install)
}

// Program returns the path of the first program that is installed. A name is looked up in PATH
// unless it is an absolute path. install names the packages to install if there is none.
func Program(t testing.TB, install string, names ...string) string {
	t.Helper()
	path, err := daemon.Find(names...)
	if err != nil {
		Missing(t, strings.Join(names, " or "), install)
	}
	return path
}

// Python returns the path of a Python that can import the module.
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

// FreePort returns a port of 127.0.0.1 that nobody uses and that the system gives to nobody.
func FreePort(t testing.TB) int {
	t.Helper()
	port, err := daemon.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// Eventually waits until condition holds, and fails the test after 30 s. what describes the
// condition in the failure.
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

// NothingLeft fails the test if goroutines or descriptors are left at its end that were not there
// when NothingLeft was called. Call it first, so that it looks after all other cleanups have run.
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

// Descriptors returns how many descriptors this process has open, or 0 on systems without /proc.
func Descriptors() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(entries)
}

// CompileCzmq compiles a C program with czmq and returns its path.
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

// Without records that this system cannot do something. The word names it, such as ipv6 or
// namespaces. The test fails in CI unless the variable TEST_WITHOUT lists the word: CI in a
// container cannot do everything.
func Without(t testing.TB, word string, reason error) {
	t.Helper()
	exempt := slices.Contains(strings.Fields(os.Getenv("TEST_WITHOUT")), word)
	if os.Getenv("CI") != "" && !exempt {
		t.Fatalf("CI must have %s, or say in TEST_WITHOUT that it has not: %v", word, reason)
	}
}

// HasIPv6 reports whether the system has an IPv6 loopback address. Containers usually have none.
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
