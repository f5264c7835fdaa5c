package files

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// The tags of the entries of an access control list (linux/posix_acl.h).
const (
	tagOwner    = 0x01
	tagOwnGroup = 0x04
	tagOthers   = 0x20

	nobodyInParticular = 0xffffffff // the id of entries that need none
)

type aclEntry struct {
	tag, mode uint16
	id        uint32
}

// aclOf encodes a list in which the owner may read and write, the group may do nothing, and a user
// may read and write.
func aclOf(user uint32) []byte {
	return encodeList([]aclEntry{
		{tagOwner, 6, nobodyInParticular}, {tagUser, 6, user}, {tagOwnGroup, 0, nobodyInParticular},
		{tagMask, 6, nobodyInParticular}, {tagOthers, 0, nobodyInParticular},
	})
}

func encodeList(entries []aclEntry) []byte {
	out := binary.LittleEndian.AppendUint32(nil, listVersion)
	for _, entry := range entries {
		out = binary.LittleEndian.AppendUint16(out, entry.tag)
		out = binary.LittleEndian.AppendUint16(out, entry.mode)
		out = binary.LittleEndian.AppendUint32(out, entry.id)
	}
	return out
}

// setAttribute sets an attribute, and skips the test where that is not possible. In a container
// that can make no namespaces, not even root may set labels.
func setAttribute(t *testing.T, path, name string, value []byte) {
	t.Helper()
	err := unix.Setxattr(path, name, value, 0)
	for word, reason := range map[string]error{"xattr": unix.ENOTSUP, "namespaces": unix.EPERM} {
		if errors.Is(err, reason) {
			testpeer.Without(t, word, err)
			t.Skipf("%s cannot be set here: %v", name, err)
		}
	}
	must.OK(t, err)
}

func attribute(t *testing.T, path, name string) []byte {
	t.Helper()
	buffer := make([]byte, 1<<10)
	n, err := unix.Getxattr(path, name, buffer)
	if errors.Is(err, unix.ENODATA) {
		return nil
	}
	must.OK(t, err)
	return buffer[:n]
}

// TestReplaceKeepsAccessList: a user who may read the file by its access control list may go on,
// and its group, which may not, still may not.
func TestReplaceKeepsAccessList(t *testing.T) {
	path := write(t, 1)
	setAttribute(t, path, accessList, aclOf(1000))
	before := statusOf(t, path)
	must.OK(t, replace(t, path))
	if got := attribute(t, path, accessList); !bytes.Equal(got, aclOf(1000)) {
		t.Errorf("%x", got)
	}
	if after := statusOf(t, path); after.Mode != before.Mode || after.Mode&0o777 != 0o660 {
		t.Errorf("%04o became %04o", before.Mode, after.Mode)
	}
	expectContent(t, path, "new")
}

// TestReplaceTakesNoDefaultList: what the directory gives to its new files is not what the old file
// had.
func TestReplaceTakesNoDefaultList(t *testing.T) {
	path := write(t, 1)
	setAttribute(t, filepath.Dir(path), "system.posix_acl_default", aclOf(1001))
	must.OK(t, os.Chmod(path, 0o640))
	must.OK(t, replace(t, path))
	if got := attribute(t, path, accessList); got != nil {
		t.Errorf("without a list before: %x", got)
	}
	if after := statusOf(t, path); after.Mode&0o777 != 0o640 {
		t.Errorf("mode %04o", after.Mode)
	}
	setAttribute(t, path, accessList, aclOf(1000))
	must.OK(t, replace(t, path))
	if got := attribute(t, path, accessList); !bytes.Equal(got, aclOf(1000)) {
		t.Errorf("with a list before: %x", got)
	}
}

// TestReplaceKeepsAttributes: labels stay, and signatures of the old content do not.
func TestReplaceKeepsAttributes(t *testing.T) {
	path := write(t, 1)
	kept := []string{"user.zmqauth", "security.zmqauth", "trusted.zmqauth"}
	if os.Getuid() != 0 {
		kept = kept[:1]
	}
	for _, name := range kept {
		setAttribute(t, path, name, []byte("value of "+name))
	}
	setAttribute(t, path, "user.empty", nil)
	if os.Getuid() == 0 {
		// The capability to bind low ports, version 2.
		setAttribute(t, path, "security.capability",
			append([]byte{0, 0, 0, 2, 0, 4, 0, 0}, make([]byte, 12)...))
	}
	must.OK(t, replace(t, path))
	for _, name := range kept {
		if got := string(attribute(t, path, name)); got != "value of "+name {
			t.Errorf("%s: %q", name, got)
		}
	}
	if got := attribute(t, path, "user.empty"); got == nil || len(got) != 0 {
		t.Errorf("user.empty: %v", got)
	}
	if got := attribute(t, path, "security.capability"); got != nil {
		t.Errorf("security.capability: %x", got)
	}
}

// TestReplaceSaysWhichAttribute: a label that this user may not set is an error that names it.
func TestReplaceSaysWhichAttribute(t *testing.T) {
	const pathVariable = "ZMQAUTH_TEST_FILE"
	path := os.Getenv(pathVariable)
	if path == "" {
		if path = write(t, 1); os.Getuid() != 0 {
			testpeer.Without(t, "root", unix.EPERM)
			t.Skip("only root can set labels")
		}
		setAttribute(t, path, "security.zmqauth", []byte("label"))
		t.Setenv(pathVariable, path)
	}
	if !asOther(t) {
		return
	}
	before, err := StampOf(path)
	must.OK(t, err)
	err = replace(t, path)
	if err == nil ||
		err.Error() != `its attribute "security.zmqauth" cannot be kept: operation not permitted` {
		t.Errorf("%v", err)
	}
	if after, err := StampOf(path); err != nil || after != before {
		t.Errorf("the file has changed: %v", err)
	}
	expectContent(t, path, "x")
}
