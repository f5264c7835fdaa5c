package libzmq

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
)

// TestCArchive: a C program that uses libzmq itself can link this module's code as an archive. It
// needs no flags for the linker but libzmq's own.
func TestCArchive(t *testing.T) {
	dir := t.TempDir()
	run := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
	archive, program := filepath.Join(dir, "lib.a"), filepath.Join(dir, "program")
	run("go", "build", "-buildmode=c-archive", "-o", archive, "./testdata/carchive")
	flags, err := exec.Command("pkg-config", "--cflags", "--libs", "libzmq").Output()
	must.OK(t, err)
	args := []string{"-o", program, "-I", dir, "testdata/carchive.c", archive, "-lpthread"}
	run("gcc", append(args, strings.Fields(string(flags))...)...)
	run(program)
}

// TestNoLinkerFlags: nobody who imports the package gets flags of ours.
func TestNoLinkerFlags(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", "{{.CgoLDFLAGS}} {{.CgoPkgConfig}}", ".").Output()
	must.OK(t, err)
	if got := strings.TrimSpace(string(out)); got != "[] [libzmq]" {
		t.Errorf("flags %s", got)
	}
}
