package sshtunnel

import (
	"fmt"
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

// expandHome replaces ~ at the beginning of a path with the home directory, and ~NAME with that of
// another user.
func expandHome(path, home string) (string, error) {
	rest, ok := strings.CutPrefix(path, "~")
	if !ok {
		return path, nil
	}
	name, rest, _ := strings.Cut(rest, "/")
	if name != "" {
		other, err := user.Lookup(name)
		if err != nil {
			return "", fmt.Errorf("%q: there is no user %q", path, name)
		}
		home = other.HomeDir
	}
	return filepath.Join(home, rest), nil
}
