package zmqauth

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// missingPeer ends a test that needs another system: CI has them all, by hand it is enough to be told.
func missingPeer(t testing.TB, what, install string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is missing; CI must have it: apt-get install %s", what, install)
	}
	t.Skipf("%s is missing: apt-get install %s", what, install)
}

// pythonZMQ is a Python that has zmq.
func pythonZMQ(t testing.TB) string {
	t.Helper()
	for _, python := range []string{"/usr/bin/python3", "python3"} {
		if exec.Command(python, "-c", "import zmq").Run() == nil {
			return python
		}
	}
	missingPeer(t, "Python's zmq", "python3-zmq")
	return ""
}

// compileCzmq compiles a C program against the real czmq and returns its path.
func compileCzmq(t testing.TB, source string) string {
	t.Helper()
	flags, err := exec.Command("pkg-config", "--cflags", "--libs", "libczmq").Output()
	if err != nil {
		missingPeer(t, "czmq", "gcc pkg-config libczmq-dev")
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
