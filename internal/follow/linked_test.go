//go:build unix

package follow

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// linkTree is a directory above those of a test.
type linkTree struct {
	t    *testing.T
	base string
}

func newLinkTree(t *testing.T, directories ...string) linkTree {
	t.Helper()
	tree := linkTree{t, t.TempDir()}
	for _, name := range directories {
		must.OK(t, os.MkdirAll(tree.path(name), 0o755))
	}
	return tree
}

func (l linkTree) path(name string) string { return l.base + "/" + name }

func (l linkTree) write(name, content string) {
	l.t.Helper()
	must.OK(l.t, os.WriteFile(l.path(name), []byte(content), 0o644))
}

func (l linkTree) link(name, target string) {
	l.t.Helper()
	must.OK(l.t, os.Symlink(target, l.path(name)))
}

// TestLinksAsTheKernelTakesThem: a .. behind a symbolic link means the directory above the one that
// the link leads to, and not the one that the link is in.
func TestLinksAsTheKernelTakesThem(t *testing.T) {
	for name, test := range map[string]struct{ dir, link, target string }{
		"the directory is a link":    {"current", "srv/clients/bob", "../people/bob"},
		"a link on the way":          {"base", "base/bob", "../current/../people/bob"},
		"a link to the way":          {"base", "base/bob", "../chain"},
		"both":                       {"current", "srv/clients/bob", "../../current/../people/bob"},
		".. in the directory's path": {"current/../clients", "srv/clients/bob", "../people/bob"},
		"and in its last name":       {"current/clients/..", "srv/clients/bob", "../people/bob"},
		"a trailing separator":       {"current/", "srv/clients/bob", "../people/bob"},
	} {
		t.Run(name, func(t *testing.T) {
			tree := newLinkTree(t, "base", "srv/clients/clients", "srv/people", "people", "clients")
			tree.link("current", "srv/clients")
			tree.link("chain", "current/../people/bob")
			tree.write("people/bob", "another")
			tree.write("srv/people/bob", "one")
			tree.link(test.link, test.target)
			m := follow(t, withoutSweep(t), tree.path(test.dir))
			shown := content{"bob": "one"}
			m.shows("at first", shown)
			tree.write("srv/people/bob", "two")
			m.shows("overwritten", content{"bob": "two"})
			must.OK(t, os.Remove(tree.path("srv/people/bob")))
			m.shows("removed", content{})
			tree.write("srv/people/bob", "again")
			m.shows("made again", content{"bob": "again"})
		})
	}
}

// TestSweepLooksBehindLinks: what changes behind a link without an event is found nevertheless.
func TestSweepLooksBehindLinks(t *testing.T) {
	tree := newLinkTree(t, "d", "a/b/c", "elsewhere")
	want := content{}
	for i := range 2 * sweepBatch { // more than the sweep looks at in one turn
		name := fmt.Sprint(i)
		tree.write("a/b/c/"+name, "one")
		tree.link("d/"+name, "../a/b/c/"+name)
		want[name] = "one"
	}
	m, w, _ := newMirror(t, tree.path("d"))
	m.shows("links", want)
	testpeer.Eventually(t, "they are watched", func() bool { return m.scans() > 0 })
	must.OK(t, os.Rename(tree.path("a"), tree.path("away")))
	m.shows("a directory far above is renamed", content{})
	must.OK(t, os.Rename(tree.path("away"), tree.path("a")))
	m.shows("and back", want)
	must.OK(t, os.Link(tree.path("a/b/c/7"), tree.path("elsewhere/name")))
	tree.write("elsewhere/name", "changed")
	want["7"] = "changed"
	m.shows("written by another name", want)
	if got := w.Stats(); got.Polled != 0 {
		t.Errorf("%+v", got)
	}
}

// TestLinkLedElsewhereWhileItWasRead: the sweep compares with what the target has read, although
// the link has led to something else both before and after that.
func TestLinkLedElsewhereWhileItWasRead(t *testing.T) {
	tree := newLinkTree(t, "d", "a/b")
	tree.write("a/b/bob", "one")
	tree.link("d/bob", "../a/b/bob")
	d, m := unstarted(t, withoutSweep(t), tree.path("d"))
	m.take(m.names()) // and now it is gone again
	must.OK(t, os.Rename(tree.path("a"), tree.path("away")))
	d.watchLinks()
	if p := d.linked["bob"]; p.differs() {
		t.Error("it differs from the look")
	}
	d.confirmLinks(Changes{Links: true})
	if p := d.linked["bob"]; !p.differs() {
		t.Error("it does not differ from what was read")
	}
}

// TestLinksAreSweptForThemselves: many links do not take the turns of what is configured.
func TestLinksAreSweptForThemselves(t *testing.T) {
	w := withoutSweep(t)
	path := new(place)
	w.mu.Lock()
	w.enlist(path, true)
	for i := range 3 * sweepBatch {
		w.enlist(&place{link: fmt.Sprint(i)}, true)
	}
	w.mu.Unlock()
	links := make(map[*place]int)
	for i := range 3 {
		batch, _ := w.nextBatch()
		if len(batch) != 1+sweepBatch || !slices.Contains(batch, path) {
			t.Errorf("batch %d has %d places", i, len(batch))
		}
		for _, p := range batch {
			links[p]++
		}
	}
	if len(links) != 1+3*sweepBatch {
		t.Errorf("%d places", len(links))
	}
}

// TestNoiseBehindLinks: what strangers do in a directory that a link leads to concerns nobody. If
// they do a lot, the directory is not watched for a while, and what the link leads to is looked at
// from time to time.
func TestNoiseBehindLinks(t *testing.T) {
	for name, stranger := range map[string]string{
		"another name": "spool/eve",
		"the name itself, where there is no file": "spool/none",
	} {
		t.Run(name, func(t *testing.T) {
			tree := newLinkTree(t, "d", "spool")
			tree.write("spool/bob", "one")
			tree.link("d/bob", "../spool/bob")
			tree.link("d/none", "../spool/none")
			m, w, log := newMirror(t, tree.path("d"))
			m.shows("at first", content{"bob": "one"})
			testpeer.Eventually(t, "they are watched", func() bool { return w.Stats().Parents == 2 })
			testpeer.Eventually(t, "the directory is watched no more", func() bool {
				for range eventLimit {
					tree.write(stranger, "x")
					must.OK(t, os.Remove(tree.path(stranger)))
				}
				return w.Stats().Polled == 2
			})
			time.Sleep(checkInterval) // for what is left of the events
			if strings.HasSuffix(stranger, "eve") {
				m.mu.Lock()
				for _, c := range m.received {
					if c.All {
						t.Errorf("a scan: %+v", c)
					}
				}
				m.mu.Unlock()
			}
			defer every(time.Millisecond, func() {
				_ = os.WriteFile(tree.path(stranger), nil, 0o644)
				_ = os.Remove(tree.path(stranger))
			})()
			shows := func(what, want string) {
				t.Helper()
				testpeer.Eventually(t, what, func() bool {
					m.mu.Lock()
					defer m.mu.Unlock()
					return m.files["bob"] == want
				})
			}
			tree.write("spool/bob", "another")
			shows("overwritten", "another")
			must.OK(t, os.Remove(tree.path("spool/bob")))
			shows("removed", "")
			if got := log.String(); got != "" {
				t.Errorf("the log: %s", got)
			}
		})
	}
}

// TestStrangersAreNotHeard: events of other names in a directory that links lead over do not reach
// the target.
func TestStrangersAreNotHeard(t *testing.T) {
	tree := newLinkTree(t, "d", "spool")
	tree.write("spool/bob", "one")
	tree.link("d/bob", "../spool/bob")
	m := follow(t, withoutSweep(t), tree.path("d"))
	m.shows("at first", content{"bob": "one"})
	testpeer.Eventually(t, "the links are watched", func() bool { return m.scans() > 0 })
	time.Sleep(2 * secondLook)
	before := m.scans()
	for i := range eventLimit / 10 {
		tree.write(fmt.Sprint("spool/eve", i), "x")
	}
	tree.write("spool/bob", "two")
	m.shows("overwritten", content{"bob": "two"})
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.received[before:] {
		if _, bob := c.Names["bob"]; !bob || len(c.Names) > 1 || c.Links || c.All {
			t.Errorf("the target is told: %+v", c)
		}
	}
}

// TestUnwatchedLinks: what a link leads to without events is looked at from time to time, and the
// log says so once.
func TestUnwatchedLinks(t *testing.T) {
	tree := newLinkTree(t, "d", "remote")
	tree.write("remote/bob", "one")
	tree.write("remote/eve", "one")
	tree.link("d/bob", "../remote/bob")
	tree.link("d/eve", "../remote/eve")
	w, log := withoutEventsIn(t, tree.path("remote"))
	m := follow(t, w, tree.path("d"))
	m.shows("at first", content{"bob": "one", "eve": "one"})
	testpeer.Eventually(t, "they are polled", func() bool { return w.Stats().Polled == 2 })
	tree.write("remote/bob", "another")
	m.shows("overwritten", content{"bob": "another", "eve": "one"})
	must.OK(t, os.Remove(tree.path("remote/eve")))
	m.shows("removed", content{"bob": "another"})
	m.remove("eve")
	testpeer.Eventually(t, "one is polled", func() bool { return w.Stats().Polled == 1 })
	if got := log.String(); strings.Count(got, "\n") != 1 ||
		!strings.Contains(got, "what a symbolic link leads to cannot be watched") ||
		!strings.Contains(got, filepath.Join(m.path, "")) || !strings.Contains(got, errNoEvents.Error()) {
		t.Errorf("the log: %s", got)
	}
	for _, c := range m.received {
		if c.All {
			t.Errorf("a scan: %+v", c)
		}
	}
}
