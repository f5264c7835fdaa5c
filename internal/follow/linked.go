package follow

import (
	"errors"
	"log/slog"
	"maps"
	"slices"
)

// linkedNames returns the names of the linked directories, sorted. A linked directory is one on the
// way to the target of a symbolic link in a Directory.
func (d *Directory) linkedNames() []string { return slices.Sorted(maps.Keys(d.linked)) }

// watchLinked watches the linked directories. It looks for all of them again, because a name may
// lead to another directory now.
func (d *Directory) watchLinked() {
	names := d.target.LinkedDirectories()
	linked := make(map[string]*place, len(names))
	for _, name := range names {
		p := d.linked[name]
		if p == nil {
			p = &place{path: name, owner: d, whole: true}
		}
		linked[name] = p
	}
	w := d.watcher
	w.mu.Lock()
	before := d.linked
	d.linked = linked
	w.mu.Unlock()
	for name, p := range linked {
		_, _ = p.look() // the sweep compares with this
		w.tie(p)
		if fault := p.contentFault; fault != nil && !d.reported && !errors.Is(fault, ErrClosed) {
			d.reported = true
			w.say(func(log *slog.Logger) {
				log.Warn("zmqauth: a directory that symbolic links lead to cannot be watched, "+
					"it is scanned from time to time instead", "directory", name, "error", fault)
			})
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, p := range before {
		if linked[name] == nil {
			w.untie(p)
		}
	}
}

// hasUnwatchedLinks tells whether there is a linked directory not all of whose changes have an
// event.
func (d *Directory) hasUnwatchedLinks() bool {
	for _, p := range d.linked {
		if p.fault() != nil {
			return true
		}
	}
	return false
}

// unwatchedLinksChanged tells whether something may have changed in those directories.
func (d *Directory) unwatchedLinksChanged() bool {
	for _, p := range d.linked {
		if p.contentFault != nil || p.wayFault != nil && (p.due() || p.differs()) {
			return true
		}
	}
	return false
}
