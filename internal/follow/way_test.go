//go:build unix

package follow

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
)

// TestWay: the steps are the symbolic links on the way, and the end of it.
func TestWay(t *testing.T) {
	base, err := filepath.EvalSymlinks(t.TempDir())
	must.OK(t, err)
	in := func(names ...string) string { return filepath.Join(base, filepath.Join(names...)) }
	must.OK(t, os.MkdirAll(in("a", "b"), 0o755))
	must.OK(t, os.WriteFile(in("a", "b", "file"), nil, 0o644))
	for link, target := range map[string]string{
		"absolute":     in("a", "b", "file"),
		"relative":     "a/b/file",
		"directory":    "a/b",
		"a/up":         "../directory/./file",
		"chain":        "absolute",
		"loop":         "loop",
		"nowhere":      "a/none/file",
		"beyond a one": "directory/none",
	} {
		must.OK(t, os.Symlink(target, in(link)))
	}
	file := step{in("a", "b"), "file"}
	way := func(path string) ([]step, string) { return withoutSweep(t).newSurvey().way(path) }
	for path, want := range map[string]struct {
		steps []step
		real  string
	}{
		"a/b/file":       {[]step{file}, in("a/b/file")},
		"a/b":            {[]step{{in("a"), "b"}}, in("a/b")},
		"a/./../a/b":     {[]step{{in("a"), "b"}}, in("a/b")},
		"absolute":       {[]step{{base, "absolute"}, file}, in("a/b/file")},
		"relative":       {[]step{{base, "relative"}, file}, in("a/b/file")},
		"directory":      {[]step{{base, "directory"}, {in("a"), "b"}}, in("a/b")},
		"directory/file": {[]step{{base, "directory"}, file}, in("a/b/file")},
		"a/up":           {[]step{{in("a"), "up"}, {base, "directory"}, file}, in("a/b/file")},
		"chain":          {[]step{{base, "chain"}, {base, "absolute"}, file}, in("a/b/file")},
		"none":           {[]step{{base, "none"}}, ""},
		"none/file":      {[]step{{base, "none"}}, ""},
		"a/b/file/below": {[]step{{in("a/b/file"), "below"}}, ""},
		"nowhere":        {[]step{{base, "nowhere"}, {in("a"), "none"}}, ""},
		"beyond a one":   {[]step{{base, "beyond a one"}, {base, "directory"}, {in("a/b"), "none"}}, ""},
	} {
		steps, real := way(base + "/" + path)
		if !slices.Equal(steps, want.steps) || real != want.real {
			t.Errorf("%s: %v, %q", path, steps, real)
		}
	}
	if steps, real := way("/"); len(steps) != 0 || real != "/" {
		t.Errorf("the root: %v, %q", steps, real)
	}
	if steps, real := way(in("loop")); len(steps) > 2*maxLinks || real != "" {
		t.Errorf("a loop: %d steps, %q", len(steps), real)
	}
	t.Chdir(base)
	if steps, real := way("directory"); real != "a/b" ||
		!slices.Equal(steps, []step{{".", "directory"}, {"a", "b"}}) {
		t.Errorf("relative: %v, %q", steps, real)
	}
}
