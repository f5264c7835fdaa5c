package zmqauth

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// TestDirectorySymlinkSwap mounts secrets as Kubernetes does: the files are links through ..data, a
// link that is replaced.
func TestDirectorySymlinkSwap(t *testing.T) {
	s, _ := newCertificateStore(t)
	version := func(name string) *Certificate {
		c := newCertificate(t)
		must.OK(t, os.Mkdir(s.path(name), 0o755))
		must.OK(t, c.SavePublic(filepath.Join(s.path(name), "ann.key")))
		must.OK(t, os.Symlink(name, s.path("..data_tmp")))
		must.OK(t, os.Rename(s.path("..data_tmp"), s.path("..data")))
		return c
	}
	one := version("..1")
	must.OK(t, os.Symlink("..data/ann.key", s.path("ann.key")))
	s.within("a link", one, true)
	two := version("..2")
	must.OK(t, os.RemoveAll(s.path("..1")))
	s.within("after the swap", two, true)
	s.within("what was there before", one, false)
	three := version("..3")
	s.within("after another swap", three, true)
	s.within("what was there before", two, false)
	must.OK(t, os.Remove(filepath.Join(s.path("..3"), "ann.key")))
	s.within("the link leads nowhere", three, false)
}

// TestDirectoryForeignLinks: a change of the file that a link leads to is followed, wherever it is.
func TestDirectoryForeignLinks(t *testing.T) {
	s, _ := newCertificateStore(t)
	foreign := filepath.Join(t.TempDir(), "ann")
	one := newCertificate(t)
	must.OK(t, one.SavePublic(foreign))
	must.OK(t, os.Symlink(foreign, s.path("ann.key")))
	s.within("a link", one, true)
	two := newCertificate(t)
	must.OK(t, os.WriteFile(foreign, text(t, two), 0o644))
	s.within("its target, overwritten", two, true)
	must.OK(t, os.Remove(foreign))
	s.within("its target, removed", two, false)
	must.OK(t, one.SavePublic(foreign))
	s.within("its target, made again", one, true)

	// The target's directory goes away and comes back, and is replaced by another.
	dir := filepath.Dir(foreign)
	must.OK(t, os.RemoveAll(dir))
	s.within("its target's directory, removed", one, false)
	must.OK(t, os.Mkdir(dir, 0o755))
	must.OK(t, two.SavePublic(foreign))
	s.within("its target's directory, made again", two, true)
	must.OK(t, os.WriteFile(foreign, text(t, one), 0o644))
	s.within("its target, overwritten there", one, true)

	// A link to a file of the same directory.
	dan, fay := s.write("dan"), newCertificate(t)
	must.OK(t, os.Symlink("dan", s.path("also dan")))
	s.within("a file and a link to it", dan, true)
	must.OK(t, os.WriteFile(s.path("dan"), text(t, fay), 0o644))
	s.within("the file, overwritten", fay, true)
	s.within("what it held, by the link too", dan, false)

	// A chain of links, of which the middle one is replaced.
	other := filepath.Join(t.TempDir(), "other")
	must.OK(t, two.SavePublic(other))
	must.OK(t, os.Remove(foreign))
	must.OK(t, os.Symlink(other, foreign))
	s.within("behind another link", two, true)
	must.OK(t, os.WriteFile(other, text(t, one), 0o644))
	s.within("and what that leads to, overwritten", one, true)

	// A link through a directory that is itself a link, which is replaced.
	base := t.TempDir()
	for name, c := range map[string]*Certificate{"v1": one, "v2": two} {
		must.OK(t, os.Mkdir(filepath.Join(base, name), 0o755))
		must.OK(t, c.SavePublic(filepath.Join(base, name, "ann.key")))
	}
	must.OK(t, os.Symlink("v1", filepath.Join(base, "current")))
	must.OK(t, os.Remove(s.path("ann.key")))
	must.OK(t, os.Symlink(filepath.Join(base, "current", "ann.key"), s.path("ann.key")))
	s.within("through a linked directory", one, true)
	must.OK(t, os.Symlink("v2", filepath.Join(base, "new")))
	must.OK(t, os.Rename(filepath.Join(base, "new"), filepath.Join(base, "current")))
	s.within("through the one that it leads to now", two, true)
	s.within("and no longer the other", one, false)
}

// TestDirectoryLinksUpwards: a .. in a link's target means the directory above the one that the way
// leads to. Where that goes over another link, it is not the directory that the path spells.
func TestDirectoryLinksUpwards(t *testing.T) {
	for name, test := range map[string]struct{ dir, link, target string }{
		"the directory is a link":  {"clients", "srv/clients/bob.key", "../people/bob.key"},
		"the way goes over a link": {"own", "own/bob.key", "../clients/../people/bob.key"},
	} {
		t.Run(name, func(t *testing.T) {
			base := t.TempDir() + "/"
			for _, dir := range []string{"srv/clients", "srv/people", "own", "people"} {
				must.OK(t, os.MkdirAll(base+dir, 0o755))
			}
			must.OK(t, os.Symlink("srv/clients", base+"clients"))
			must.OK(t, newCertificate(t).SavePublic(base+"people/bob.key"))
			one, two := newCertificate(t), newCertificate(t)
			must.OK(t, one.SavePublic(base+"srv/people/bob.key"))
			must.OK(t, os.Symlink(test.target, base+test.link))
			s := &certificateStore{t: t, dir: base + test.dir, log: new(logbuffer.Buffer)}
			s.a = newAuthenticator(t, Config{Logger: s.log.Logger()})
			must.OK(t, s.a.ConfigureCurve("d", s.dir))
			if !s.accepts(one) {
				t.Fatal("out of force at first")
			}
			must.OK(t, os.WriteFile(base+"srv/people/bob.key", text(t, two), 0o644))
			s.within("overwritten", two, true)
			must.OK(t, os.Remove(base+"srv/people/bob.key"))
			s.within("removed", two, false)
			must.OK(t, one.SavePublic(base+"srv/people/bob.key"))
			s.within("made again", one, true)
		})
	}
}

// TestLoadCertificatesUpwards: the files are read from the directory that is listed.
func TestLoadCertificatesUpwards(t *testing.T) {
	base := t.TempDir() + "/"
	must.OK(t, os.MkdirAll(base+"srv/v1", 0o755))
	must.OK(t, os.Symlink("srv/v1", base+"current"))
	right, wrong := newCertificate(t), newCertificate(t)
	must.OK(t, right.SavePublic(base+"srv/bob.key"))
	must.OK(t, wrong.SavePublic(base+"bob.key"))
	certs, err := LoadCertificates(base + "current/..")
	must.OK(t, err)
	if len(certs) != 1 || certs[right.Public] == nil {
		t.Errorf("got %d, the right one: %v", len(certs), certs[right.Public] != nil)
	}
}

// TestDirectoryItself: the directory is removed and made again, moved away, and replaced.
func TestDirectoryItself(t *testing.T) {
	s, have := newCertificateStore(t, "ann.key")
	ann := have["ann.key"]
	must.OK(t, os.RemoveAll(s.dir))
	s.within("with its directory", ann, false)
	must.OK(t, os.Mkdir(s.dir, 0o755))
	bob := s.write("bob.key")
	s.within("in the directory made again", bob, true)
	eve := s.write("eve.key")
	s.within("and followed again", eve, true)

	must.OK(t, os.Rename(s.dir, s.dir+".old"))
	s.within("moved away", bob, false)
	must.OK(t, os.Rename(s.dir+".old", s.dir))
	s.within("moved back", bob, true)
	dan := s.write("dan.key")
	s.within("and followed again", dan, true)

	// Replaced by another directory in two steps, as fast as a program can.
	next := s.dir + ".next"
	must.OK(t, os.Mkdir(next, 0o755))
	must.OK(t, bob.SavePublic(filepath.Join(next, "bob.key")))
	fay := newCertificate(t)
	must.OK(t, fay.SavePublic(filepath.Join(next, "fay.key")))
	must.OK(t, errors.Join(os.Rename(s.dir, s.dir+".old"), os.Rename(next, s.dir)))
	testpeer.Eventually(t, "the new directory is in force", func() bool {
		if !s.accepts(bob) {
			t.Fatal("a key that is in both is out of force")
		}
		return s.accepts(fay) && !s.accepts(dan)
	})
	gus := s.write("gus.key")
	s.within("and followed", gus, true)
}

// TestDirectoryBehindALink: the path of the directory is a link, which is replaced.
func TestDirectoryBehindALink(t *testing.T) {
	base := t.TempDir()
	version := func(name string) *Certificate {
		dir := filepath.Join(base, name)
		must.OK(t, os.Mkdir(dir, 0o755))
		c := newCertificate(t)
		must.OK(t, c.SavePublic(filepath.Join(dir, "ann.key")))
		must.OK(t, os.Symlink(name, filepath.Join(base, "tmp")))
		must.OK(t, os.Rename(filepath.Join(base, "tmp"), filepath.Join(base, "current")))
		return c
	}
	one := version("1")
	s := &certificateStore{t: t, dir: filepath.Join(base, "current"), log: new(logbuffer.Buffer)}
	s.a = newAuthenticator(t, Config{Logger: s.log.Logger()})
	must.OK(t, s.a.ConfigureCurve("d", s.dir))
	two := version("2")
	s.within("behind the new link", two, true)
	s.within("behind the old one", one, false)
	s.within("a file added", s.write("bob.key"), true)
}

// TestDirectoryByTwoPaths: two domains may follow one directory by two paths, although inotify has
// one watch for both.
func TestDirectoryByTwoPaths(t *testing.T) {
	s, have := newCertificateStore(t, "ann.key")
	alias := s.dir + ".alias"
	must.OK(t, os.Symlink(s.dir, alias))
	must.OK(t, s.a.ConfigureCurve("e", alias))
	accepts := func(domain string, c *Certificate) bool {
		status, _ := ask(t, s.a, zapRequest(domain, "", "CURVE", string(c.Public[:])))
		return status == "200"
	}
	bob := s.write("bob.key")
	must.OK(t, os.Remove(s.path("ann.key")))
	for _, domain := range []string{"d", "e"} {
		testpeer.Eventually(t, "domain "+domain+" follows", func() bool {
			return accepts(domain, bob) && !accepts(domain, have["ann.key"])
		})
	}
	must.OK(t, s.a.ConfigureCurveKeys("d")) // the first no longer follows it
	eve := s.write("eve.key")
	testpeer.Eventually(t, "the other follows still", func() bool { return accepts("e", eve) })
}
