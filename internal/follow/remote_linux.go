package follow

import (
	"errors"

	"golang.org/x/sys/unix"
)

// errNoEvents says that inotify does not tell of all changes.
var errNoEvents = errors.New("its file system does not tell of what others change")

// withoutEvents are the types of file systems whose files change without an event: other machines
// or a server in user space change them. Those of proc are made when they are read. See statfs(2)
// and linux/magic.h.
var withoutEvents = map[uint32]struct{}{
	unix.NFS_SUPER_MAGIC:   {},
	unix.SMB_SUPER_MAGIC:   {},
	unix.CIFS_SUPER_MAGIC:  {},
	unix.SMB2_SUPER_MAGIC:  {},
	unix.V9FS_MAGIC:        {},
	unix.FUSE_SUPER_MAGIC:  {},
	unix.CEPH_SUPER_MAGIC:  {},
	unix.AFS_SUPER_MAGIC:   {},
	unix.AFS_FS_MAGIC:      {},
	unix.CODA_SUPER_MAGIC:  {},
	unix.NCP_SUPER_MAGIC:   {},
	unix.OCFS2_SUPER_MAGIC: {},
	unix.PROC_SUPER_MAGIC:  {},
	0x0bd00bd0:             {}, // Lustre
	0x01161970:             {}, // GFS2
	0x47504653:             {}, // GPFS
	0x19830326:             {}, // BeeGFS
	0x786f4256:             {}, // VirtualBox's shared folders
	0xbacbacbc:             {}, // VMware's
}

// unwatchable returns why a watch of the directory would miss changes. It is nil if it would not.
func unwatchable(dir string) error {
	var info unix.Statfs_t
	if err := unix.Statfs(dir, &info); err != nil {
		return err
	}
	if _, listed := withoutEvents[uint32(info.Type)]; listed {
		return errNoEvents
	}
	return nil
}
