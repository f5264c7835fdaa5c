package docs

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"

	"github.com/zmqauth/zmqauth/internal/must"
)

// home holds what all walks of a run share: the module proxy, and the cache of modules.
var home string

func TestMain(m *testing.M) {
	var err error
	if home, err = os.MkdirTemp("", "zmqauth-docs"); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(home)
	os.Exit(code)
}

// moduleEnvironment has the go command take this checkout for the latest version of the module.
// Other modules come from the cache of the user who runs the test, or else from where they always
// do.
func moduleEnvironment(t testing.TB) []string {
	t.Helper()
	must.OK(t, makeProxy())
	downloaded := "file://" + filepath.Join(goEnv(t, "GOMODCACHE"), "cache/download")
	return []string{
		"GOPROXY=file://" + proxyDir() + "," + downloaded + "," + goEnv(t, "GOPROXY"),
		"GONOSUMDB=github.com/zmqauth/zmqauth", // no checksum database knows this checkout
		"GOPATH=" + filepath.Join(home, "go"), "GOMODCACHE=" + filepath.Join(home, "go/pkg/mod"),
		"GOFLAGS=-modcacherw -trimpath",
	}
}

func goEnv(t testing.TB, name string) string {
	t.Helper()
	out, err := exec.Command("go", "env", name).Output()
	must.OK(t, err)
	return strings.TrimSpace(string(out))
}

func proxyDir() string { return filepath.Join(home, "proxy") }

// makeProxy makes a module proxy in a directory, with this checkout as the one version of the
// module.
var makeProxy = sync.OnceValue(func() error {
	version := module.Version{Path: "github.com/zmqauth/zmqauth", Version: "v0.0.1"}
	dir := filepath.Join(proxyDir(), version.Path, "@v")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return err
	}
	var archive bytes.Buffer
	if err := modzip.CreateFromDir(&archive, version, root); err != nil {
		return err
	}
	info := fmt.Appendf(nil, `{"Version":%q,"Time":"2026-01-01T00:00:00Z"}`, version.Version)
	for name, content := range map[string][]byte{
		"list":                    []byte(version.Version + "\n"),
		version.Version + ".info": info,
		version.Version + ".mod":  mod,
		version.Version + ".zip":  archive.Bytes(),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
})
