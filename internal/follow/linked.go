package follow

import (
	"errors"
	"log/slog"
	"time"

	"github.com/zmqauth/zmqauth/internal/files"
)

// pollShare bounds what looking at links without events takes: a quarter of the time.
const pollShare = 4

// watchLinks watches what all links of the target lead over. It looks for that again, because a
// name on the way may lead elsewhere now.
func (d *Directory) watchLinks() {
	links := d.target.Links()
	places := make([]*place, 0, len(links))
	for name := range links {
		places = append(places, d.link(name))
	}
	d.watch(places)
}

// watchMovedLinks does that for those links of which there was an event.
func (d *Directory) watchMovedLinks(c Changes) {
	var places []*place
	for name := range c.Names {
		if p := d.linked[name]; p != nil && p.moved.Load() {
			places = append(places, p)
		}
	}
	d.watch(places)
}

// link returns the place of a link.
func (d *Directory) link(name string) *place {
	p := d.linked[name]
	if p == nil {
		p = &place{path: files.Below(d.path, name), owner: d, link: name, exact: true}
		d.linked[name] = p
	}
	return p
}

// watch watches what links lead over: by name, as for a File, and not all that happens in those
// directories. Anybody may write in one of them.
func (d *Directory) watch(links []*place) {
	for _, p := range links {
		_, _ = p.look() // the sweep compares with this
	}
	d.tieLinks(links)
}

// tieLinks is watch without a look.
func (d *Directory) tieLinks(links []*place) {
	if len(links) == 0 {
		return
	}
	d.watcher.tieAll(links)
	for _, p := range links {
		if p.fault() == nil {
			delete(d.unwatched, p.link)
		} else {
			d.unwatched[p.link] = p
			d.reportLink(p)
		}
	}
}

// reportLink logs that a link cannot be watched, unless it soon will be.
func (d *Directory) reportLink(p *place) {
	fault := p.fault()
	if d.reportedLink || errors.Is(fault, ErrClosed) || errors.Is(fault, errNoisy) ||
		errors.Is(fault, errReplaced) || files.IsGone(fault) {
		return
	}
	d.reportedLink = true
	d.watcher.say(func(log *slog.Logger) {
		log.Warn("zmqauth: what a symbolic link leads to cannot be watched, "+
			"it is looked at from time to time instead", "link", p.path, "error", fault)
	})
}

// confirmLinks has the links read again that lead to something else than before they were read.
// Something on their way may have no events. From now on the sweep compares with what was read.
func (d *Directory) confirmLinks(c Changes) {
	links := d.target.Links()
	confirm := func(p *place) {
		if p.differs() {
			p.mayHaveMoved(false)
		}
		p.took(links[p.link])
	}
	if c.Links {
		for _, p := range d.linked {
			confirm(p)
		}
		return
	}
	for name := range c.Names {
		if p := d.linked[name]; p != nil {
			confirm(p)
		}
	}
}

// newLinks watches the links that the target has found by the last Refresh, and returns their
// names. It forgets those that are links no more.
func (d *Directory) newLinks(c Changes) (names map[string]struct{}) {
	var found []*place
	names = make(map[string]struct{})
	links := d.target.Links()
	compare := func(name string) {
		_, link := links[name]
		switch p := d.linked[name]; {
		case link && p == nil:
			found = append(found, d.link(name))
			names[name] = struct{}{}
		case !link && p != nil:
			d.unlink(p)
		}
	}
	for name := range c.Names {
		compare(name)
	}
	if c.All || c.Links {
		for name := range links {
			compare(name)
		}
		for name := range d.linked {
			compare(name)
		}
	}
	d.watch(found)
	return names
}

// unlink forgets a link.
func (d *Directory) unlink(p *place) {
	delete(d.linked, p.link)
	delete(d.unwatched, p.link)
	d.watcher.mu.Lock()
	defer d.watcher.mu.Unlock()
	d.watcher.untie(p)
}

// pollLinks marks the links whose target has changed, of those not all of whose changes have an
// event.
func (d *Directory) pollLinks() {
	begun := time.Now()
	if len(d.unwatched) == 0 || begun.Before(d.repoll) {
		return
	}
	changed := make(map[string]struct{})
	var again []*place
	for name, p := range d.unwatched {
		differs := p.changed()
		if differs {
			changed[name] = struct{}{}
		}
		if differs || p.due() {
			again = append(again, p)
		}
	}
	d.tieLinks(again)
	d.mark(Changes{Names: changed})
	d.repoll = begun.Add(pollShare * time.Since(begun))
}
