//go:build cgo

package fastcurve

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// What the program prints.
const isActive, notActive = "true true true\n", "false false false\n"

func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// libzmqFlags are the flags of libzmq for a compiler.
func libzmqFlags(t *testing.T) []string {
	t.Helper()
	return strings.Fields(command(t, "pkg-config", "--cflags", "--libs", "libzmq"))
}

// TestLinks: Active says what is so, however the program was linked.
func TestLinks(t *testing.T) {
	program := filepath.Join(t.TempDir(), "program")
	for _, c := range []struct {
		name, want string
		flags      []string
	}{
		{"default", isActive, nil},
		{"position-independent", isActive, []string{"-buildmode=pie"}},
		{"bound at once", isActive, []string{"-ldflags=-extldflags=-Wl,-z,now"}},
		{"race", isActive, []string{"-race"}},
		{"stripped", isActive, []string{"-trimpath", "-ldflags=-s -w"}},
		// libsodium's own definitions count.
		{"static libsodium", notActive, []string{
			"-ldflags=-extldflags '-Wl,-u,sodium_init -l:libsodium.a'"}},
		// This linker exports two of the names by itself.
		{"gold", notActive, []string{"-ldflags=-extldflags=-fuse-ld=gold"}},
		{"gold with all names", isActive, []string{"-ldflags=-extldflags '-fuse-ld=gold -rdynamic'"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			switch {
			case strings.HasPrefix(c.name, "gold"):
				// Debian's next binutils are without it.
				if _, err := exec.LookPath("ld.gold"); err != nil {
					t.Log("there is no gold")
					return
				}
			case c.name == "static libsodium":
				err := exec.Command("gcc", "-shared", "-o", program, "-l:libsodium.a").Run()
				if err != nil {
					testpeer.Missing(t, "libsodium.a", "libsodium-dev")
				}
			}
			command(t, "go", append(append([]string{"build", "-o", program}, c.flags...),
				"./testdata/program")...)
			if got := command(t, program); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// TestArchive: a C program links the package as an archive, with no flags but libzmq's own.
func TestArchive(t *testing.T) {
	dir := t.TempDir()
	archive, program := filepath.Join(dir, "lib.a"), filepath.Join(dir, "program")
	command(t, "go", "build", "-buildmode=c-archive", "-o", archive, "./testdata/program")
	command(t, "gcc", append([]string{"-o", program, "-I", dir, "testdata/archive.c", archive,
		"-lpthread"}, libzmqFlags(t)...)...)
	if got := command(t, program); got != isActive {
		t.Errorf("%q, want %q", got, isActive)
	}
}

// TestShared: a library that is loaded later is active where it has loaded libzmq, and not where
// libzmq was there before it.
func TestShared(t *testing.T) {
	dir := t.TempDir()
	library, program := filepath.Join(dir, "lib.so"), filepath.Join(dir, "program")
	command(t, "go", "build", "-buildmode=c-shared", "-o", library, "./testdata/program")
	command(t, "gcc", "-o", program, "testdata/shared.c", "-ldl")
	if got := command(t, program, library); got != isActive {
		t.Errorf("with its own libzmq: %q, want %q", got, isActive)
	}
	if got := command(t, program, library, "libzmq.so.5"); got != notActive {
		t.Errorf("with the program's libzmq: %q, want %q", got, notActive)
	}
}

// TestNoLinkerFlags: nobody who imports the package gets flags that change what is linked.
func TestNoLinkerFlags(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", "{{.CgoLDFLAGS}} {{.CgoPkgConfig}}", ".").Output()
	must.OK(t, err)
	if got := strings.TrimSpace(string(out)); got != "[-ldl] []" {
		t.Errorf("flags %s", got)
	}
}
