package testpeer

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// childVariable is the environment variable that names the test that a test binary was started for.
const childVariable = "ZMQAUTH_TEST_CHILD"

// Child runs the calling test again in a child process. It serves tests that must change the whole
// process, such as its environment or its descriptors. In the child, Child returns true at once. In
// the parent, it waits for the child, fails the test if the child failed, and returns false. If
// adjust is not nil, it may change the command before the child starts.
func Child(t *testing.T, adjust func(*exec.Cmd)) bool {
	t.Helper()
	if os.Getenv(childVariable) == t.Name() {
		return true
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	name := "^" + strings.ReplaceAll(t.Name(), "/", "$/^") + "$"
	command := exec.CommandContext(t.Context(), self, "-test.run="+name, "-test.v", "-test.timeout=1m")
	command.Env = os.Environ()
	if adjust != nil {
		adjust(command)
	}
	command.Env = append(command.Env,
		childVariable+"="+t.Name(),
		// By default the race detector makes every process sleep for a second at its end.
		"GORACE=atexit_sleep_ms=50 "+os.Getenv("GORACE"),
	)
	output, err := command.CombinedOutput()
	if err != nil || !strings.Contains(string(output), "--- PASS: "+t.Name()+" ") {
		t.Fatalf("in a process of its own: %v\n%s", err, output)
	}
	if testing.Verbose() {
		t.Logf("in a process of its own:\n%s", output)
	}
	return false
}
