package sshtunnel

import (
	"os"
	"os/user"
	"path/filepath"
	"strings"
)

// localUser is the user that this program runs as, and its home directory; "" where they cannot be
// known.
func localUser() (name, home string) {
	home = os.Getenv("HOME")
	if current, err := user.Current(); err == nil {
		name = current.Username
		if home == "" {
			home = current.HomeDir
		}
	}
	if name == "" {
		name = os.Getenv("USER")
	}
	return name, home
}

// expandHome replaces a leading ~/ by the home directory.
func expandHome(path, home string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		return filepath.Join(home, rest)
	}
	return path
}
