package privatedir

import (
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/zmqauth/zmqauth/internal/files"
	"github.com/zmqauth/zmqauth/internal/unixpeer"
)

// CheckServer checks that the process at the other end of a connection to a Unix socket at path is
// one whose answers count: one of root, of this user, or of the user to whom the directory belongs,
// where nobody else could have put the socket there. It is an error where the system does not say
// which process that is.
func CheckServer(conn *net.UnixConn, path string) error {
	server, err := unixpeer.Of(conn)
	if err != nil || server.UID == 0 || server.UID == os.Geteuid() {
		return err
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return files.Bare(err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return files.Bare(err)
	}
	stamp, err := files.StampOf(dir)
	if err != nil {
		return err
	}
	owner, _ := stamp.Owner()
	switch {
	case owner != server.UID:
		return fmt.Errorf("user %d listens at %s, who is neither root nor this user, nor the owner of "+
			"the directory", server.UID, path)
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("others can write %s: chmod go-w %s", dir, dir)
	}
	if err := files.CheckParent(dir); err != nil {
		return fmt.Errorf("user %d listens at %s, and may not be the one who is meant: %w", server.UID,
			path, err)
	}
	return nil
}
