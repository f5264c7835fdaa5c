package files

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// The attribute accessList (linux/posix_acl_xattr.h): a version of four bytes, then entries of a
// tag, the permissions and an id, in two, two and four bytes. All are little-endian.
const (
	listVersion = 2
	listHead    = 4
	entrySize   = 8

	tagUser  = 0x02 // a user who is named
	tagGroup = 0x08 // a group that is named
	tagMask  = 0x10 // limits both

	listWrite, listRead = 0o2, 0o4 // permissions
)

// checkList is the rule of trust for the access control list of the file of s (acl(5)). The list
// may give a permission to root, to this user, to root's group and to this user's own, and to
// nobody else; that of reading to the file's group besides. The list's entries for the file's
// owner, its group and others are in the mode, which has been checked. The group bits of the mode
// are the list's mask: where they do not have a permission, the list gives it to nobody, and needs
// no look.
func (s Stamp) checkList(path string, permission uint16) error {
	list, err := sized(func(buffer []byte) (int, error) {
		return retry(func() (int, error) { return unix.Getxattr(path, accessList, buffer) })
	})
	if err == unix.ENODATA || err == unix.ENOTSUP {
		err, list = nil, nil
	}
	if err != nil {
		return fmt.Errorf("its access control list: %w", err)
	}
	// The list is that of the path. A change of the list shows in the stamp.
	if now, err := StampOf(path); err != nil || now != s {
		return ErrChanged
	}
	return s.judgeList(list, path, permission)
}

func (s Stamp) judgeList(list []byte, path string, permission uint16) error {
	if len(list) == 0 {
		return nil
	}
	if len(list)%entrySize != listHead || binary.LittleEndian.Uint32(list) != listVersion {
		return errors.New("its access control list is of a kind that is not understood")
	}
	entries := list[listHead:]
	mask := permission
	for at := 0; at < len(entries); at += entrySize {
		if binary.LittleEndian.Uint16(entries[at:]) == tagMask {
			mask &= binary.LittleEndian.Uint16(entries[at+2:])
		}
	}
	for at := 0; at < len(entries); at += entrySize {
		tag := binary.LittleEndian.Uint16(entries[at:])
		given := binary.LittleEndian.Uint16(entries[at+2:]) & mask
		id := binary.LittleEndian.Uint32(entries[at+4:])
		if given == 0 || id == 0 {
			continue
		}
		switch {
		case tag == tagUser && id != uint32(os.Geteuid()):
			return listFault(path, "user", id, permission)
		case tag == tagGroup && id != uint32(os.Getegid()) &&
			(permission == listWrite || id != s.gid):
			return listFault(path, "group", id, permission)
		}
	}
	return nil
}

// listFault says who can do what, and which command mends it.
func listFault(path, kind string, id uint32, permission uint16) error {
	what := "write it"
	if permission == listRead {
		what = "read it, and it holds a secret"
	}
	return fmt.Errorf("its access control list lets %s %d %s: setfacl -x %c:%d %s",
		kind, id, what, kind[0], id, path)
}
