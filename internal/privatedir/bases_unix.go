//go:build unix

package privatedir

import "os"

// otherBases returns the directories to try after $TMPDIR. "" is one that is not set.
func otherBases() []string { return []string{os.Getenv("XDG_RUNTIME_DIR"), "/tmp"} }
