//go:build unix

package privatedir

import "os"

// otherBases are the directories to try after $TMPDIR; "": not set.
func otherBases() []string { return []string{os.Getenv("XDG_RUNTIME_DIR"), "/tmp"} }
