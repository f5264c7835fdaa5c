package follow

import (
	"os"
	"path/filepath"
	"strings"
)

// maxLinks limits how many symbolic links a path may lead over. Systems allow 40.
const maxLinks = 40

// step is a name on the way to what a path leads to. When the name changes its meaning, the path
// may lead elsewhere.
type step struct {
	dir  string // without symbolic links
	name string // in it
}

// way returns the steps that a path leads over: each symbolic link, wherever it is in the path, and
// the name at the end. real is the path without symbolic links. If something on the way does not
// exist, its name is the last step, and real is "".
//
// A directory that is renamed with all that is in it, far above the end, is no step. Watching all
// directories up to the root would cost more than the sweep, which finds that too.
func way(path string) (steps []step, real string) {
	dir, rest := split(path)
	for links := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		if name == ".." {
			dir = filepath.Join(dir, name)
			continue
		}
		here := step{dir, name}
		full := filepath.Join(dir, name)
		info, err := os.Lstat(full)
		switch {
		case err != nil:
			return append(steps, here), ""
		case info.Mode()&os.ModeSymlink == 0:
			if len(rest) == 0 {
				steps = append(steps, here)
			}
			dir = full
			continue
		}
		steps = append(steps, here)
		target, err := os.Readlink(full)
		if links++; err != nil || links > maxLinks {
			return steps, ""
		}
		start, names := split(target)
		if filepath.IsAbs(target) {
			dir = start
		}
		rest = append(names, rest...)
	}
	return steps, dir
}

// split returns where a path begins, and its names.
func split(path string) (start string, names []string) {
	start = "."
	if filepath.IsAbs(path) {
		volume := filepath.VolumeName(path)
		start = volume + string(filepath.Separator)
		path = path[len(volume):]
	}
	for name := range strings.SplitSeq(filepath.ToSlash(path), "/") {
		if name != "" && name != "." {
			names = append(names, name)
		}
	}
	return start, names
}
