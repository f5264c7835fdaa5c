package sshtunnel

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// maxSocketPath is the longest path of a Unix socket, here and in libzmq, on systems that allow the least: 104 bytes with
// a NUL behind it.
const maxSocketPath = 103

// privateDir makes a directory for sockets that only this user can enter. It is in $TMPDIR, or where that would make the
// paths too long or is none to trust, in $XDG_RUNTIME_DIR or /tmp.
func privateDir() (string, error) {
	var faults []error
	for _, base := range []string{os.TempDir(), os.Getenv("XDG_RUNTIME_DIR"), "/tmp"} {
		if base == "" {
			continue
		}
		dir, err := privateDirIn(base)
		if err == nil {
			return dir, nil
		}
		faults = append(faults, err)
	}
	return "", fmt.Errorf("sshtunnel: no directory for sockets: %w", errors.Join(faults...))
}

func privateDirIn(base string) (string, error) {
	base, err := filepath.Abs(base)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(base)
	if err != nil {
		return "", err
	}
	// In such a directory somebody else could put another one in the place of the new one.
	if info.Mode()&fs.ModeSticky == 0 && (info.Mode().Perm()&0o002 != 0 || !ownedBy(info, 0, os.Getuid())) {
		return "", fmt.Errorf("%s: others can rename what is in it (chmod +t)", base)
	}
	dir, err := os.MkdirTemp(base, "zmqauth-ssh-") // with mode 0700
	if err != nil {
		return "", err
	}
	if longest := len(socketPath(dir, 1<<31)); longest > maxSocketPath {
		return "", errors.Join(fmt.Errorf("%s: paths of sockets there would be too long", base), os.Remove(dir))
	}
	return dir, nil
}

func socketPath(dir string, number int) string {
	return filepath.Join(dir, fmt.Sprint(number))
}
