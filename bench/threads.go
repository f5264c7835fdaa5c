package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// timeOfThreads returns the processor time that the threads of a process have used whose names
// begin with a prefix. Those that have ended do not count.
func timeOfThreads(pid int, prefix string) (total time.Duration, err error) {
	threads := fmt.Sprintf("/proc/%d/task", pid)
	entries, err := os.ReadDir(threads)
	if err != nil {
		return 0, err
	}
	for _, entry := range entries {
		name, err := os.ReadFile(filepath.Join(threads, entry.Name(), "comm"))
		if err != nil || !strings.HasPrefix(string(name), prefix) {
			continue // a thread may have ended
		}
		text, err := os.ReadFile(filepath.Join(threads, entry.Name(), "schedstat"))
		if err != nil {
			return 0, err
		}
		var nanoseconds int64
		if _, err := fmt.Sscan(string(text), &nanoseconds); err != nil {
			return 0, fmt.Errorf("schedstat: %w", err)
		}
		total += time.Duration(nanoseconds)
	}
	return total, nil
}
