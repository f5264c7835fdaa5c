package files

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zmqauth/zmqauth/internal/must"
)

// listCases are entries of access control lists, and what is wrong with them.
var listCases = map[string]struct {
	mask    uint16
	entries []aclEntry
	written string // a part of the error of Check; "": it is trusted
	read    string // of CheckSecret, where Check has none
}{
	"a user writes": {6, []aclEntry{{tagUser, 6, 4242}},
		"user 4242 write it: setfacl -x u:4242 ", ""},
	"a group writes": {6, []aclEntry{{tagGroup, 2, 4242}},
		"group 4242 write it: setfacl -x g:4242 ", ""},
	"a user reads": {4, []aclEntry{{tagUser, 4, 4242}}, "",
		"user 4242 read it, and it holds a secret: setfacl -x u:4242 "},
	"a group reads":            {4, []aclEntry{{tagGroup, 4, 4242}}, "", "group 4242 read it"},
	"one of two":               {6, []aclEntry{{tagUser, 6, 0}, {tagUser, 4, 4242}}, "", "user 4242"},
	"root":                     {6, []aclEntry{{tagUser, 6, 0}, {tagGroup, 6, 0}}, "", ""},
	"this user":                {6, []aclEntry{{tagUser, 6, uint32(os.Geteuid())}}, "", ""},
	"this user's group":        {6, []aclEntry{{tagGroup, 6, uint32(os.Getegid())}}, "", ""},
	"the mask forbids writing": {4, []aclEntry{{tagUser, 6, 4242}}, "", "user 4242 read it"},
	"the mask forbids all":     {0, []aclEntry{{tagUser, 6, 4242}}, "", ""},
	"a user gets nothing":      {6, []aclEntry{{tagUser, 0, 4242}}, "", ""},
}

// withList gives a file an access control list, in which its own group may do nothing.
func withList(t *testing.T, path string, owner, mask uint16, named []aclEntry) {
	t.Helper()
	entries := []aclEntry{{tagOwner, owner, nobodyInParticular}}
	for _, tag := range []uint16{tagUser, tagOwnGroup, tagGroup} {
		if tag == tagOwnGroup {
			entries = append(entries, aclEntry{tagOwnGroup, 0, nobodyInParticular})
		}
		for _, entry := range named {
			if entry.tag == tag {
				entries = append(entries, entry)
			}
		}
	}
	entries = append(entries, aclEntry{tagMask, mask, nobodyInParticular},
		aclEntry{tagOthers, 0, nobodyInParticular})
	setAttribute(t, path, accessList, encodeList(entries))
}

// TestCheckList: an access control list gives nobody what the mode may not give.
func TestCheckList(t *testing.T) {
	for name, test := range listCases {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			must.OK(t, os.WriteFile(path, nil, 0o600))
			withList(t, path, 6, test.mask, test.entries)
			stamp, err := StampOf(path)
			must.OK(t, err)
			secret := test.read
			if test.written != "" {
				secret = test.written
			}
			says(t, "Check", stamp.Check(path), test.written, path)
			says(t, "CheckSecret", stamp.CheckSecret(path), secret, path)
		})
	}
}

func says(t *testing.T, what string, err error, want, path string) {
	t.Helper()
	if want == "" && err != nil || want != "" && (err == nil ||
		!strings.Contains(err.Error(), want) || !strings.HasSuffix(err.Error(), path)) {
		t.Errorf("%s: %v, want %q", what, err, want)
	}
}

// TestCheckListOfDirectories: whoever can write a directory by an access control list can rename
// what is in it, unless the sticky bit is set.
func TestCheckListOfDirectories(t *testing.T) {
	for name, test := range listCases {
		t.Run(name, func(t *testing.T) {
			dir, err := filepath.EvalSymlinks(t.TempDir())
			must.OK(t, err)
			withList(t, dir, 7, test.mask, test.entries)
			says(t, "CheckDirectory", CheckDirectory(dir), test.written, dir)
			info, err := os.Stat(dir)
			must.OK(t, err)
			must.OK(t, os.Chmod(dir, info.Mode()|fs.ModeSticky))
			must.OK(t, CheckDirectory(dir))
		})
	}
}

// TestCheckListOfAnother: the file's own group may read a secret by name, too. It may not write.
func TestCheckListOfAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	must.OK(t, os.WriteFile(path, nil, 0o600))
	list := encodeList([]aclEntry{{tagGroup, 6, 4242}, {tagMask, 6, nobodyInParticular}})
	stamp := Stamp{gid: 4242}
	must.OK(t, stamp.judgeList(list, path, listRead))
	if err := stamp.judgeList(list, path, listWrite); err == nil {
		t.Error("its group can write it")
	}
	for _, bad := range [][]byte{list[:7], list[:len(list)-1], {1, 0, 0, 0}, {2}} {
		if err := stamp.judgeList(bad, path, listRead); err == nil {
			t.Errorf("%x is understood", bad)
		}
	}
}

// TestCheckLooksWhereItMust: lists cost no call where the mode says that they give nothing. A file
// that is another one by now is not judged by its list.
func TestCheckLooksWhereItMust(t *testing.T) {
	const nowhere = "/nowhere/at/all"
	me := Stamp{uid: uint32(os.Geteuid()), gid: uint32(os.Getegid())}
	for mode, check := range map[fs.FileMode]func(Stamp) error{
		0o600: func(s Stamp) error { return s.CheckSecret(nowhere) },
		0o610: func(s Stamp) error { return s.CheckSecret(nowhere) },
		0o644: func(s Stamp) error { return s.Check(nowhere) },
	} {
		s := me
		s.mode = mode
		if err := check(s); err != nil {
			t.Errorf("%04o: it has looked: %v", mode, err)
		}
	}
	path := filepath.Join(t.TempDir(), "file")
	must.OK(t, os.WriteFile(path, nil, 0o600))
	must.OK(t, os.Chmod(path, 0o660))
	stamp, err := StampOf(path)
	must.OK(t, err)
	must.OK(t, stamp.CheckSecret(path))
	must.OK(t, os.Rename(path, path+"-moved"))
	must.OK(t, os.WriteFile(path, nil, 0o600))
	if err := stamp.Check(path); err != ErrChanged {
		t.Errorf("another file: %v", err)
	}
	must.OK(t, os.Remove(path))
	if err := stamp.CheckSecret(path); err == nil {
		t.Error("a file that is gone")
	}
}

// TestCheckListSaysAll: the whole error, for a file whose mode would be trusted.
func TestCheckListSaysAll(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	must.OK(t, os.WriteFile(path, nil, 0o600))
	setAttribute(t, path, accessList, aclOf(4242))
	var info unix.Stat_t
	must.OK(t, unix.Stat(path, &info))
	if info.Mode&0o777 != 0o660 {
		t.Fatalf("mode %o: the group bits are not the mask", info.Mode)
	}
	stamp, err := StampOf(path)
	must.OK(t, err)
	want := fmt.Sprintf("its access control list lets user 4242 write it: setfacl -x u:4242 %s", path)
	if err := stamp.Check(path); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}
