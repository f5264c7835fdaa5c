package sshtunnel

import (
	"os"
	"os/user"
	"path/filepath"
	"strings"
)

// localUser returns the user that this program runs as, and the home directory. They are "" if they
// are unknown.
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

// expandHome replaces a leading ~/ with the home directory.
func expandHome(path, home string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		return filepath.Join(home, rest)
	}
	return path
}
