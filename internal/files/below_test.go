//go:build unix

package files

import "testing"

func TestBelow(t *testing.T) {
	for dir, want := range map[string]string{
		"/a/b": "/a/b/name", "/a/b/": "/a/b/name", "a/../b": "a/../b/name", ".": "./name", "/": "/name",
	} {
		if got := Below(dir, "name"); got != want {
			t.Errorf("%s: %s", dir, got)
		}
	}
}
