//go:build languages

package docs

import "testing"

// TestBigLanguages runs the programs of the languages whose compilers are large.
func TestBigLanguages(t *testing.T) {
	page := readPage(t, "docs/languages.md")
	for _, l := range big {
		t.Run(l.heading, func(t *testing.T) { l.walk(t, page) })
	}
}
