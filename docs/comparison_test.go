package docs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
)

// TestPeers: what the comparison says of other handlers is what the tests of zaptest have on
// record.
func TestPeers(t *testing.T) {
	record, err := os.ReadFile(filepath.Join(root, "zaptest/testdata/peers.md"))
	must.OK(t, err)
	page := readPage(t, "docs/comparison.md")
	if !strings.Contains(page.section(t, "## What a conformance suite finds"), string(record)) {
		t.Error("the table in docs/comparison.md is not zaptest/testdata/peers.md")
	}
}
