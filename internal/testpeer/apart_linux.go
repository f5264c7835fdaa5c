package testpeer

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// Mounting runs the calling test, as Child does, in a process whose mounts nobody else sees.
func Mounting(t *testing.T) bool {
	t.Helper()
	if os.Getuid() == 0 {
		return Apart(t, &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS})
	}
	return Apart(t, NamedAs(0, syscall.CLONE_NEWNS))
}

// NamedAs returns the attributes of a process of the same user in which that user has another id.
// flags are those of further namespaces of its own, or 0.
func NamedAs(id int, flags uintptr) *syscall.SysProcAttr {
	same := func(host int) []syscall.SysProcIDMap {
		return []syscall.SysProcIDMap{{ContainerID: id, HostID: host, Size: 1}}
	}
	return &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | flags,
		UidMappings: same(os.Getuid()), GidMappings: same(os.Getgid())}
}

// Apart runs the calling test, as Child does, in a process with those attributes. It skips the test
// where there may be no such process.
func Apart(t *testing.T, own *syscall.SysProcAttr) bool {
	t.Helper()
	try := exec.Command("true")
	try.SysProcAttr = own
	// ENOSPC means that there may be no user namespaces.
	if err := try.Run(); errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) {
		Without(t, "namespaces", err)
		t.Skipf("namespaces of one's own are not allowed here: %v", err)
	}
	return Child(t, func(command *exec.Cmd) { command.SysProcAttr = own })
}
