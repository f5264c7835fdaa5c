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

// NeedRoot skips a test that has to be other users. It fails in CI, see [Without].
func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		Without(t, "root", fs.ErrPermission)
		t.Skip("only root can be other users")
	}
}
