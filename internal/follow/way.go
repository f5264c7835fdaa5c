package follow

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/zmqauth/zmqauth/internal/files"
)

// maxLinks limits how many symbolic links a path may lead over. Systems allow 40.
const maxLinks = 40

// step is a name on the way to what a path leads to. When the name changes its meaning, the path
// may lead elsewhere.
type step struct {
	dir  string // without symbolic links
	name string // in it
}

// survey is what the file system was like when some paths were looked at. A name that many of them
// lead over, as links in a Directory do, is looked at once.
type survey struct {
	unwatchable func(dir string) error
	names       map[string]waypoint
	spots       map[string]spot
}

// waypoint is a name on the way of a path.
type waypoint struct {
	link   bool
	target string // of a link
	err    error
}

func (w *Watcher) newSurvey() *survey {
	return &survey{
		unwatchable: w.unwatchable,
		names:       make(map[string]waypoint),
		spots:       make(map[string]spot),
	}
}

// lookUp returns what there is at a path. shared says that other paths may lead over it.
func (s *survey) lookUp(path string, shared bool) waypoint {
	found, known := s.names[path]
	if known {
		return found
	}
	info, err := os.Lstat(path)
	found.err = err
	if err == nil && info.Mode()&os.ModeSymlink != 0 {
		found.link = true
		found.target, found.err = os.Readlink(path)
	}
	if shared {
		s.names[path] = found
	}
	return found
}

// spot looks at a directory that is about to be watched.
func (s *survey) spot(at step) spot {
	found, known := s.spots[at.dir]
	if !known {
		found.stamp, found.err = files.StampOf(at.dir)
		if found.err == nil {
			found.err = s.unwatchable(at.dir)
		}
		s.spots[at.dir] = found
	}
	found.tie = at
	return found
}

// way returns the steps that a path leads over: each symbolic link, wherever it is in the path, and
// the name at the end. real is the path without symbolic links. If something on the way does not
// exist, its name is the last step, and real is "".
//
// A directory that is renamed with all that is in it, far above the end, is no step. Watching all
// directories up to the root would cost more than the sweep, which finds that too.
func (s *survey) way(path string) (steps []step, real string) {
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
		found := s.lookUp(full, len(rest) > 0)
		switch {
		case found.err != nil:
			return append(steps, here), ""
		case !found.link:
			if len(rest) == 0 {
				steps = append(steps, here)
			}
			dir = full
			continue
		}
		steps = append(steps, here)
		if links++; links > maxLinks {
			return steps, ""
		}
		start, names := split(found.target)
		if filepath.IsAbs(found.target) {
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
