package follow

import (
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/zmqauth/zmqauth/internal/files"
)

// check finds out whether the path still leads to the directory that is watched, and does what is
// left to do. It returns the time until the next check.
func (d *Directory) check() time.Duration {
	d.mu.Lock()
	lost := d.lost
	d.mu.Unlock()
	moved := d.own.due()
	before := d.own.seen.stamp // nobody else writes it
	stamp, err := d.own.look()
	if err == nil && d.unreadable != nil {
		d.unreadable = list(d.path)
	}
	d.health.set(errOr(err, d.unreadable))
	switch {
	case files.IsGone(err):
		return d.vanish(moved)
	case err != nil:
		// The content is unknown. The previous content stays in force, and the directory is
		// scanned as soon as that is possible.
		d.setLost(true)
		if moved {
			d.watcher.tie(d.own)
		}
		return d.wait(rest)
	case d.gone:
		d.watcher.say(func(log *slog.Logger) {
			log.Info("zmqauth: a directory is back", "directory", d.path)
		})
		lost, d.gone = true, false
	}
	d.missing = time.Time{}
	switch {
	case lost || moved || !stamp.SameFile(before):
		return d.rewatch(lost)
	case d.own.contentFault != nil && !time.Now().Before(d.rescan):
		return d.scan(Changes{All: true})
	}
	d.finish()
	if d.own.contentFault != nil {
		return min(d.wait(rest), time.Until(d.rescan))
	}
	return d.wait(rest)
}

// vanish counts how long the path has been missing.
func (d *Directory) vanish(moved bool) time.Duration {
	now, first := time.Now(), d.missing.IsZero()
	if first {
		d.missing = now
	}
	// It is watched so that it is heard of when it comes back. It may do so before that is done: then
	// there was no event of what happened in it until now.
	if (first || moved) && d.watcher.tie(d.own) {
		d.setLost(true)
	}
	left := missingPeriod - now.Sub(d.missing)
	if left <= 0 && !d.gone {
		d.gone = true
		d.watcher.say(func(log *slog.Logger) {
			log.Warn("zmqauth: a directory is gone, "+
				"and what was in it is out of force until it comes back", "directory", d.path)
		})
		d.scan(Changes{All: true})
	}
	d.finish()
	if !d.gone {
		return min(left, d.wait(rest))
	}
	return d.wait(rest)
}

// wait shortens the time until the next check if there is something that no event tells of.
func (d *Directory) wait(most time.Duration) time.Duration {
	if d.again.any() || d.unreadable != nil || d.own.fault() != nil || len(d.unwatched) > 0 {
		return min(most, checkInterval)
	}
	return most
}

// rewatch watches the path again. If changes may have been missed, it then scans, in this order so
// that none is missed. It returns the time until the next check.
func (d *Directory) rewatch(lost bool) time.Duration {
	fresh := d.watcher.tie(d.own)
	fault := d.own.contentFault
	if errors.Is(fault, ErrClosed) {
		return rest
	}
	d.setLost(false)
	if fault != nil && !d.reported {
		d.watcher.say(func(log *slog.Logger) {
			log.Warn("zmqauth: a directory cannot be watched, "+
				"it is scanned from time to time instead", "directory", d.path, "error", fault)
		})
	}
	d.reported = fault != nil
	if !fresh && !lost && fault == nil {
		d.finish()
		return d.wait(rest)
	}
	return d.scan(Changes{All: true, Links: true})
}

// scan has the target check all files. It returns the time until the next check.
func (d *Directory) scan(c Changes) time.Duration {
	begun := time.Now()
	d.mark(c)
	d.apply()
	took := time.Since(begun)
	d.rescan = begun.Add(took + max(rescanInterval, took)) // scans take half of the time at most
	if d.own.contentFault != nil && len(d.again.Names) > 0 {
		return secondLook // as after a burst, which this has taken the place of
	}
	return d.wait(rest)
}

// finish has the target check what it has not finished, and what links lead to where that cannot be
// watched.
func (d *Directory) finish() {
	d.pollLinks()
	d.apply()
}

// apply gives the pending changes to the target.
func (d *Directory) apply() {
	d.mu.Lock()
	c := d.pending
	d.pending = Changes{}
	d.mu.Unlock()
	c.Merge(d.again)
	c.Merge(d.target.Unfinished())
	d.again = Changes{}
	if !c.any() {
		return
	}
	if c.Links { // before the files are read, so that no change is missed
		d.watchLinks()
	} else {
		d.watchMovedLinks(c)
	}
	if c.All {
		if d.unreadable = list(d.path); !files.IsGone(d.unreadable) {
			d.health.set(d.unreadable)
		} else {
			d.unreadable = nil // check looks after that
		}
	}
	d.target.Refresh(c)
	if found := d.newLinks(c); len(found) > 0 {
		d.target.Refresh(Changes{Names: found}) // changes before there was a watch had no event
	}
	d.confirmLinks(c)
	d.again = d.target.Unfinished()
}

// list returns why the files in a directory cannot be listed.
func list(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return files.Bare(err)
	}
	return dir.Close()
}

func errOr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}
