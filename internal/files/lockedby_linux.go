package files

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// lockedBy says who holds the lock of a file: "process 4711 (zmqauth)".
func lockedBy(path string) string {
	const unknown = "another process"
	var info unix.Stat_t
	if err := unix.Lstat(path, &info); err != nil {
		return unknown
	}
	device := uint64(info.Dev)
	file := fmt.Sprintf("%02x:%02x:%d", unix.Major(device), unix.Minor(device), info.Ino)
	table, err := os.ReadFile("/proc/locks")
	if err != nil {
		return unknown
	}
	for line := range strings.Lines(string(table)) {
		// 1: FLOCK  ADVISORY  WRITE 4711 fe:00:131 0 EOF (proc_locks(5)); -> is one who waits
		fields := strings.Fields(line)
		if len(fields) < 6 || fields[1] != "FLOCK" || fields[5] != file {
			continue
		}
		name, err := os.ReadFile("/proc/" + fields[4] + "/comm")
		if err != nil {
			return "process " + fields[4]
		}
		return fmt.Sprintf("process %s (%q)", fields[4], bytes.TrimSpace(name))
	}
	return unknown
}
