package testpeer

import (
	"errors"
	"io/fs"
	"os"
	"testing"
)

// GiveAway makes a file another user's and group's, where -1 leaves it as it is. It skips a test
// that root does not run.
func GiveAway(t testing.TB, path string, uid, gid int) {
	t.Helper()
	err := os.Chown(path, uid, gid)
	if errors.Is(err, fs.ErrPermission) {
		Without(t, "root", err)
		t.Skipf("only root can give files away: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
}
