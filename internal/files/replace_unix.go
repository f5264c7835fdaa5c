//go:build unix

package files

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ErrChanged means that a file is not the one that was read.
var ErrChanged = errors.New("it has changed meanwhile")

// modeBits are the permissions of a file and its special bits (chmod(2)).
const modeBits = 0o7777

// Replace puts a new file with that data in the place of the regular file at path. Others see
// either the old file or the whole new one. read is the stamp with which the caller has read the
// old file: the error is ErrChanged if it is another one by now.
//
// The new file has the owner, the group and the mode of the old one. On Linux it has the extended
// attributes, too, and with them the access control list. What cannot be kept is an error that
// names it, and so is a second name of the file (a hard link), which would lead to the old data.
// After an error everything is as before.
func Replace(path string, read Stamp, data []byte) error {
	old, err := os.OpenFile(path, openFlags|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer old.Close()
	info, err := status(old)
	switch {
	case err != nil:
		return err
	case newStamp(info) != read:
		return ErrChanged
	case info.Nlink > 1:
		return fmt.Errorf("it has %d names (hard links), and the others would keep the old content",
			info.Nlink)
	}
	dir := filepath.Dir(path)
	file, err := os.CreateTemp(dir, ".zmqauth-*") // with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // it has another name once all went well
	if err := errors.Join(refill(file, old, info, data), file.Close()); err != nil {
		return err
	}
	// Whoever has changed the old file since then would lose that, if only a mode.
	if now, err := StampOf(path); err != nil || now != read {
		return ErrChanged
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return err
	}
	return syncDirectory(dir)
}

func status(file *os.File) (*unix.Stat_t, error) {
	var info unix.Stat_t
	_, err := retry(func() (int, error) { return 0, unix.Fstat(int(file.Fd()), &info) })
	return &info, err
}

// refill writes the data and then gives the file what the old one has. The mode comes last: until
// then the file is for its owner alone.
func refill(file, old *os.File, info *unix.Stat_t, data []byte) error {
	if _, err := file.Write(data); err != nil {
		return err
	}
	if err := keepOwner(file, info); err != nil {
		return err
	}
	if err := keepAttributes(file, old); err != nil {
		return err
	}
	mode := uint32(info.Mode) & modeBits
	if err := unix.Fchmod(int(file.Fd()), mode); err != nil {
		return notKept(fmt.Sprintf("mode (%04o)", mode), err)
	}
	// Some file systems ignore what they do not support.
	now, err := status(file)
	if err != nil {
		return err
	}
	if now.Mode != info.Mode || now.Uid != info.Uid || now.Gid != info.Gid {
		return fmt.Errorf("its owner, group and mode cannot be kept: %d, %d and %04o became "+
			"%d, %d and %04o", info.Uid, info.Gid, mode,
			now.Uid, now.Gid, uint32(now.Mode)&modeBits)
	}
	return file.Sync()
}

// keepOwner gives a new file to the group and the user of another. The group comes first, because
// the owner of a file may change only that.
func keepOwner(file *os.File, info *unix.Stat_t) error {
	now, err := status(file)
	if err != nil {
		return err
	}
	if now.Gid != info.Gid {
		if err := file.Chown(-1, int(info.Gid)); err != nil {
			return notKept(fmt.Sprintf("group (%d)", info.Gid), err)
		}
	}
	if now.Uid != info.Uid {
		if err := file.Chown(int(info.Uid), -1); err != nil {
			return notKept(fmt.Sprintf("owner (user %d)", info.Uid), err)
		}
	}
	return nil
}

// notKept is the error about what a new file cannot have.
func notKept(what string, err error) error {
	return fmt.Errorf("its %s cannot be kept: %w", what, Bare(err))
}
