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
	dir, err := filepath.Abs(filepath.Dir(path))
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return files.Bare(err)
	}
	first := dir
	for {
		owned, err := ownsAlone(server.UID, dir)
		if err != nil {
			return err
		}
		above := filepath.Dir(dir)
		if !owned || above == dir {
			break
		}
		dir = above
	}
	if dir == first {
		return fmt.Errorf("user %d listens at %s, who is neither root nor this user, nor the owner of "+
			"the directory", server.UID, path)
	}
	if err := files.CheckDirectory(dir); err != nil {
		return fmt.Errorf("user %d listens at %s, and may not be the one who is meant: %w", server.UID,
			path, err)
	}
	return nil
}

// ownsAlone tells whether a directory belongs to a user. It is an error if others can write it.
func ownsAlone(uid int, dir string) (bool, error) {
	stamp, err := files.StampOf(dir)
	if err != nil {
		return false, fmt.Errorf("%s: %w", dir, err)
	}
	if owner, _ := stamp.Owner(); owner != uid {
		return false, nil
	}
	info, err := os.Stat(dir)
	if err != nil {
		return false, files.Bare(err)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return false, fmt.Errorf("others can write %s: chmod go-w %s", dir, dir)
	}
	return true, nil
}
