package doctor

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/zmqauth/zmqauth/internal/endpoint"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// A user who may not write the socket, or not search its directory, is told so.
func TestPermission(t *testing.T) {
	const variable = "ZMQAUTH_TEST_DOCTOR"
	if !testpeer.Child(t, func(c *exec.Cmd) {
		dir, err := os.MkdirTemp("", "doctor") // that of the test may be for its user alone
		must.OK(t, err)
		t.Cleanup(func() { must.OK(t, os.RemoveAll(dir)) })
		closed := filepath.Join(dir, "closed")
		t.Cleanup(func() { must.OK(t, os.Chmod(closed, 0o700)) })
		must.OK(t, os.Mkdir(closed, 0o700))
		for _, path := range []string{filepath.Join(dir, "s"), filepath.Join(closed, "s")} {
			listener, err := net.Listen("unix", path)
			must.OK(t, err)
			t.Cleanup(func() { _ = listener.Close() })
			must.OK(t, os.Chmod(path, 0))
		}
		must.OK(t, os.Chmod(closed, 0))
		must.OK(t, os.Chmod(dir, 0o755))
		c.Env = append(c.Env, variable+"="+dir)
	}) {
		return
	}
	if os.Geteuid() == 0 {
		must.OK(t, syscall.Setuid(65534)) // root may connect to everything
	}
	for path, want := range map[string]string{"s": StepConnect, "closed/s": StepFile} {
		at, err := endpoint.ParseConnect("ipc://" + filepath.Join(os.Getenv(variable), path))
		must.OK(t, err)
		step := Unreached(t.Context(), at)
		if step == nil || step.Name != want || step.Try != tryPermission ||
			!strings.Contains(step.Seen, "permission") {
			t.Errorf("%s: %+v, want %s", path, step, want)
		}
	}
}
