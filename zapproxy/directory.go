package zapproxy

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/zmqauth/zmqauth/internal/files"
)

// prepareDirectory makes the directory of a Unix socket where it is missing, and checks one that is
// there: nobody may enter it but its user and group.
func prepareDirectory(dir string, group *int) error {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return makeDirectory(dir, group)
	}
	if err != nil {
		return err
	}
	mode := info.Mode().Perm()
	if mode&0o001 != 0 {
		return fmt.Errorf("everybody can enter %s (mode %04o): chmod o-rwx %s", dir, mode, dir)
	}
	return nil
}

// makeDirectory makes a directory that only this user and the group can enter.
func makeDirectory(dir string, group *int) error {
	if err := files.CheckParent(dir); err != nil {
		return err
	}
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is not there: make it; %s is then made in it", filepath.Dir(dir),
			filepath.Base(dir))
	}
	if err != nil {
		return err
	}
	mode := fs.FileMode(0o700)
	if group != nil {
		if err := os.Lchown(dir, -1, *group); err != nil {
			return errors.Join(err, os.Remove(dir))
		}
		mode = 0o710
	}
	return os.Chmod(dir, mode)
}
