package follow

import (
	"log/slog"
	"maps"
	"os"
	"slices"
)

// linkedDirectory is a directory that symbolic links of a Directory lead over.
type linkedDirectory struct {
	info os.FileInfo // nil: there is none by that name
	real string
	lost bool // it cannot be watched: what is in it is looked at from time to time
}

// linkedNames are the names of the linked directories that are watched, in order.
func (d *Directory) linkedNames() []string {
	d.watcher.mu.Lock()
	defer d.watcher.mu.Unlock()
	return slices.Sorted(maps.Keys(d.linked))
}

// watchLinked watches the linked directories, all of them anew: a name may lead to another
// directory than before.
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
				log.Warn("zmqauth: a directory that symbolic links lead to cannot be watched, it is scanned "+
					"from time to time instead", "directory", name, "error", err)
			})
		}
	}
}

// checkLinked looks at what no event tells: whether symbolic links lead over other directories by
// now, under the same names, whether events have been lost, and what could not be finished.
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

// leadsOver tells whether symbolic links lead over a real path. The caller holds the watcher's
// mutex.
func (d *Directory) leadsOver(real string) bool {
	for _, other := range d.linked {
		if other.real == real {
			return true
		}
	}
	return false
}

// identify is what tells a directory from another of the same name, nil where there is none.
func identify(name string) os.FileInfo {
	info, err := os.Stat(name)
	if err != nil {
		return nil
	}
	return info
}

// sameDirectory tells whether two looks at a name have met the same directory. The times tell it
// from one that has got the same inode.
func sameDirectory(before, now os.FileInfo) bool {
	if before == nil || now == nil {
		return before == nil && now == nil
	}
	return os.SameFile(before, now) && before.ModTime().Equal(now.ModTime())
}
