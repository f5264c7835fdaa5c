package testpeer

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// childVariable tells a test binary which test it was started for.
const childVariable = "ZMQAUTH_TEST_CHILD"

// Child runs the calling test once more in a process of its own, for what no test can do to its own
// process: another environment, no descriptors left. There it returns true at once; here it waits
// for that process, fails the test where the other failed, and returns false. Before the process is
// started, adjust may change the command; nil: it need not.
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
	// By default the race detector has every process wait for a second at its end.
	command.Env = append(command.Env, childVariable+"="+t.Name(), "GORACE=atexit_sleep_ms=50 "+os.Getenv("GORACE"))
	output, err := command.CombinedOutput()
	if err != nil || !strings.Contains(string(output), "--- PASS: "+t.Name()+" ") {
		t.Fatalf("in a process of its own: %v\n%s", err, output)
	}
	if testing.Verbose() {
		t.Logf("in a process of its own:\n%s", output)
	}
	return false
}
