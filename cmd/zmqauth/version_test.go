package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
)

// TestDescribeBuild: the linker's word counts, then that of the Go command.
func TestDescribeBuild(t *testing.T) {
	recorded := &debug.BuildInfo{
		Main: debug.Module{Version: "v1.2.3"},
		Settings: []debug.BuildSetting{
			{Key: "vcs.revision", Value: "0123abc"}, {Key: "vcs.modified", Value: "true"},
		},
	}
	for name, test := range map[string]struct {
		info              *debug.BuildInfo
		version, revision string
		want              build
	}{
		"with version control": {recorded, "", "", build{"v1.2.3", "0123abc", true, "", ""}},
		"linked":               {recorded, "v9", "fff", build{"v9", "fff", false, "", ""}},
		"a linked version":     {recorded, "v9", "", build{"v9", "0123abc", true, "", ""}},
		"nothing":              {&debug.BuildInfo{}, "", "", build{"unknown", "", false, "", ""}},
	} {
		got := describeBuild(test.info, test.version, test.revision)
		test.want.goes, test.want.libzmq = runtime.Version(), got.libzmq
		if got != test.want {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
	}
}

// TestImageKnowsItsVersion runs the command by which the image is built, without version control.
func TestImageKnowsItsVersion(t *testing.T) {
	dockerfile, err := os.ReadFile("../../docker/Dockerfile")
	must.OK(t, err)
	joined := strings.ReplaceAll(string(dockerfile), "\\\n", " ")
	found := regexp.MustCompile(`(?m)^RUN (go build .*)$`).FindStringSubmatch(joined)
	if found == nil {
		t.Fatal("the Dockerfile has no go build")
	}
	for _, name := range []string{"VERSION", "REVISION"} {
		if strings.Count(joined, "\nARG "+name+"=\n") != 2 {
			t.Errorf("%s is no argument of both the build and the image", name)
		}
	}
	out := t.TempDir()
	command := exec.Command("sh", "-e", "-c", strings.ReplaceAll(found[1], "/out/", out+"/"))
	command.Dir = "../.."
	command.Env = append(os.Environ(), "VERSION=v1.2.3-test", "REVISION=0123abc")
	if said, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	said, err := exec.Command(filepath.Join(out, "zmqauth"), "version").CombinedOutput()
	must.OK(t, err)
	if !regexp.MustCompile(`^zmqauth +v1\.2\.3-test\nrevision +0123abc\n`).Match(said) {
		t.Errorf("%s", said)
	}
}
