package testpeer

import (
	"errors"
	"io/fs"
	"os"
	"testing"
)

// GiveAway changes the owner and the group of a file; -1 leaves them as they are. It skips the test
// if the user is not root.
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
