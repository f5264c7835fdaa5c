package follow

import (
	"log/slog"
	"maps"
	"os"
	"slices"
)

// linkedDirectory is a directory on the way to the target of a symbolic link in a Directory.
type linkedDirectory struct {
	info os.FileInfo // nil: it does not exist
	real string      // the path without symbolic links, by which it is watched
	lost bool        // it cannot be watched, and is checked from time to time instead
}

// linkedNames returns the names of the linked directories, sorted.
func (d *Directory) linkedNames() []string {
	d.watcher.mu.Lock()
	defer d.watcher.mu.Unlock()
	return slices.Sorted(maps.Keys(d.linked))
}

// watchLinked watches the linked directories. It replaces all of their watches, because a name may
// lead to another directory now.
func (d *Directory) watchLinked() {
	names := d.target.LinkedDirectories()
	d.watcher.mu.Lock()
	defer d.watcher.mu.Unlock()
	for _, other := range d.linked {
		d.watcher.remove(other.real)
	}
	clear(d.linked)
	for _, name := range names {
		info := identify(name)
		real, err := d.watcher.add(name)
		lost := err != nil && info != nil
		d.linked[name] = linkedDirectory{info, real, lost}
		if lost && !d.reported {
			d.reported = true
			d.watcher.say(func(log *slog.Logger) {
				log.Warn("zmqauth: a directory that symbolic links lead to cannot be watched, "+
					"it is scanned from time to time instead", "directory", name, "error", err)
			})
		}
	}
}

// checkLinked handles what no event reports: a linked directory that was replaced by another of the
// same name, lost events, and what the target has not finished.
func (d *Directory) checkLinked() {
	d.watcher.mu.Lock()
	known := maps.Clone(d.linked)
	d.watcher.mu.Unlock()
	var again Changes
	for name, before := range known {
		again.Links = again.Links || before.lost || !sameDirectory(before.info, identify(name))
	}
	if seen := d.watcher.overflows.Load(); seen != d.overflows {
		d.overflows, again.All = seen, true
	}
	d.mark(again)
	d.apply()
}

// isLinked tells whether a real path is that of a linked directory. The caller holds the watcher's
// mutex.
func (d *Directory) isLinked(real string) bool {
	for _, other := range d.linked {
		if other.real == real {
			return true
		}
	}
	return false
}

// identify returns what distinguishes a directory from another of the same name. It is nil if there
// is none.
func identify(name string) os.FileInfo {
	info, err := os.Stat(name)
	if err != nil {
		return nil
	}
	return info
}

// sameDirectory tells whether identify has found the same directory twice. A new directory may get
// the inode of a removed one, so that the times are compared as well.
func sameDirectory(before, now os.FileInfo) bool {
	if before == nil || now == nil {
		return before == nil && now == nil
	}
	return os.SameFile(before, now) && before.ModTime().Equal(now.ModTime())
}
