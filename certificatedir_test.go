package zmqauth

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzap"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// certificateStore is a directory of certificates that an authenticator follows.
type certificateStore struct {
	t   *testing.T
	dir string
	a   *Authenticator
	log *logbuffer.Buffer
}

// newCertificateStore makes a directory with a new certificate in each of the named files.
func newCertificateStore(
	t *testing.T, names ...string,
) (*certificateStore, map[string]*Certificate) {
	t.Helper()
	s := &certificateStore{t: t, dir: filepath.Join(t.TempDir(), "keys"), log: new(logbuffer.Buffer)}
	must.OK(t, os.Mkdir(s.dir, 0o755))
	certificates := make(map[string]*Certificate)
	for _, name := range names {
		certificates[name] = s.write(name)
	}
	s.a = newAuthenticator(t, Config{Logger: s.log.Logger()})
	must.OK(t, s.a.ConfigureCurve("d", s.dir))
	return s, certificates
}

// follow puts the keys of a directory in force that has not been loaded yet.
func (s *certificateStore) follow(directory *certificateDirectory) error {
	setup, err := s.a.followCertificates(directory)
	if err != nil {
		return err
	}
	s.a.configureCurve("d", setup)
	setup.directory.Start()
	return nil
}

// said waits until all reports have been made and returns the log.
func (s *certificateStore) said() string {
	s.t.Helper()
	waitForReports(s.t, s.a)
	return s.log.String()
}

func (s *certificateStore) path(name string) string { return filepath.Join(s.dir, name) }

// write writes a new certificate to a new file.
func (s *certificateStore) write(name string) *Certificate {
	s.t.Helper()
	c := newCertificate(s.t)
	must.OK(s.t, c.SavePublic(s.path(name)))
	return c
}

func (s *certificateStore) accepts(c *Certificate) bool {
	s.t.Helper()
	status, _ := ask(s.t, s.a, zapRequest("d", "127.0.0.1", "CURVE", string(c.Public[:])))
	return status == "200"
}

// within waits until the key is in force, or out of force. docs/design.md promises a second. A
// loaded machine gets more here, and BenchmarkDirectoryChange shows the time.
func (s *certificateStore) within(what string, c *Certificate, accepted bool) {
	s.t.Helper()
	testpeer.Eventually(s.t, what, func() bool { return s.accepts(c) == accepted })
}

// text is the certificate as a public file holds it.
func text(t *testing.T, c *Certificate) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "c.key")
	must.OK(t, c.SavePublic(file))
	data, err := os.ReadFile(file)
	must.OK(t, err)
	return data
}

func TestDirectoryFollowsItsFiles(t *testing.T) {
	s, have := newCertificateStore(t, "ann.key", "bob.key")
	ann, bob := have["ann.key"], have["bob.key"]
	if !s.accepts(ann) || !s.accepts(bob) || s.accepts(newCertificate(t)) {
		t.Fatal("the directory as it was configured does not hold")
	}

	eve := s.write("eve.key")
	s.within("a new file is in force", eve, true)

	dan := newCertificate(t)
	must.OK(t, os.WriteFile(s.path("eve.key"), text(t, dan), 0o644))
	s.within("a file overwritten in place", dan, true)
	s.within("what it held before", eve, false)

	fay := newCertificate(t)
	temporary := filepath.Join(t.TempDir(), "fay")
	must.OK(t, fay.SavePublic(temporary))
	must.OK(t, os.Rename(temporary, s.path("eve.key")))
	s.within("a file renamed over another", fay, true)
	s.within("what that held before", dan, false)

	must.OK(t, os.Rename(s.path("eve.key"), s.path("fay.key")))
	gus := s.write("gus.key")
	s.within("a later change", gus, true)
	if !s.accepts(fay) {
		t.Error("a file that was renamed is out of force")
	}

	must.OK(t, os.Rename(s.path("fay.key"), s.path(".fay.key")))
	s.within("a file renamed to one that does not count", fay, false)
	must.OK(t, os.Rename(s.path(".fay.key"), s.path("fay.key")))
	s.within("and back", fay, true)

	must.OK(t, os.Remove(s.path("bob.key")))
	s.within("a removed file", bob, false)
	must.OK(t, os.Rename(s.path("fay.key"), filepath.Join(t.TempDir(), "elsewhere")))
	s.within("a file moved away", fay, false)
	if !s.accepts(ann) || !s.accepts(gus) {
		t.Error("files that nobody touched are out of force")
	}
}

// TestDirectoryMetadata: a certificate's metadata goes with it.
func TestDirectoryMetadata(t *testing.T) {
	s, _ := newCertificateStore(t)
	ann := newCertificate(t)
	write := func(role string) {
		t.Helper()
		ann.Metadata = map[string]string{"Role": role}
		must.OK(t, os.WriteFile(s.path("ann.key"), text(t, ann), 0o644))
	}
	role := func() string {
		reply := s.a.HandleZAPMessage(t.Context(), zapRequest("d", "", "CURVE", string(ann.Public[:])))
		return testzap.ParseMetadata(t, reply[5])["Role"]
	}
	for _, want := range []string{"reader", "operator"} {
		write(want)
		testpeer.Eventually(t, "the role is "+want, func() bool { return role() == want })
	}
}

func TestDirectoryWithBrokenFiles(t *testing.T) {
	s, have := newCertificateStore(t, "ann.key", "bob.key")
	ann, bob := have["ann.key"], have["bob.key"]
	good, err := os.ReadFile(s.path("ann.key"))
	must.OK(t, err)

	// Broken in many ways, a good file keeps its last good content, and others come and go.
	for i, broken := range [][]byte{
		nil, good[:len(good)/2], []byte("nonsense"), []byte("curve\n    public-key = \"short\"\n"),
		{0, 1, 2},
	} {
		must.OK(t, os.WriteFile(s.path("ann.key"), broken, 0o644))
		marker := s.write(fmt.Sprintf("marker%d.key", i))
		s.within("a file beside a broken one", marker, true)
		if !s.accepts(ann) || !s.accepts(bob) {
			t.Errorf("broken in way %d: ann %v, bob %v", i, s.accepts(ann), s.accepts(bob))
		}
	}
	// Three of the ways are one fault: there is no certificate. It is reported once.
	if count := strings.Count(s.said(), "its last good content stays in force"); count != 3 {
		t.Errorf("%d reports of the broken file", count)
	}
	if broken := s.a.Stats().BrokenEntries; broken != 3 {
		t.Errorf("BrokenEntries = %d", broken)
	}
	if !strings.Contains(s.said(), s.path("ann.key")+":2:") {
		t.Errorf("no report names file and line:\n%s", s.said())
	}
	// Nothing more is said of it while others change.
	before := strings.Count(s.said(), "ann.key")
	s.within("another change", s.write("later.key"), true)
	if after := strings.Count(s.said(), "ann.key"); after != before {
		t.Errorf("%d further reports", after-before)
	}
	// Mended, with another key: the old one is out.
	mended := newCertificate(t)
	must.OK(t, os.WriteFile(s.path("ann.key"), text(t, mended), 0o644))
	s.within("the mended file", mended, true)
	s.within("its last good content", ann, false)
	// Broken again and then removed: out.
	must.OK(t, os.WriteFile(s.path("ann.key"), []byte("nonsense"), 0o644))
	s.within("a marker", s.write("marker.key"), true)
	must.OK(t, os.Remove(s.path("ann.key")))
	s.within("a broken file that is removed", mended, false)
}

// TestDirectoryBrokenFromTheStart: the good files are in force at once, the broken one as soon as
// it is mended.
func TestDirectoryBrokenFromTheStart(t *testing.T) {
	dir, good := t.TempDir(), newCertificate(t)
	must.OK(t, good.SavePublic(filepath.Join(dir, "good.key")))
	writeFile(t, filepath.Join(dir, "bad.key"), "metadata\n    x = \"unclosed\n", 0o644)
	s := &certificateStore{t: t, dir: dir, log: new(logbuffer.Buffer)}
	s.a = newAuthenticator(t, Config{Logger: s.log.Logger()})
	must.OK(t, s.a.ConfigureCurve("d", dir))
	if !s.accepts(good) || s.a.Stats().BrokenEntries != 1 ||
		!strings.Contains(s.said(), "bad.key:2:") {
		t.Errorf("accepted %v, %+v, log %s", s.accepts(good), s.a.Stats(), s.said())
	}
	mended := newCertificate(t)
	must.OK(t, os.WriteFile(filepath.Join(dir, "bad.key"), text(t, mended), 0o644))
	s.within("the mended file", mended, true)
}

// TestDirectorySharedKey: two files with one key are one entry. It stays as long as either file
// does.
func TestDirectorySharedKey(t *testing.T) {
	s, have := newCertificateStore(t, "b.key")
	c := have["b.key"]
	role := func() string {
		reply := s.a.HandleZAPMessage(t.Context(), zapRequest("d", "", "CURVE", string(c.Public[:])))
		return testzap.ParseMetadata(t, reply[5])["Role"]
	}
	first := *c
	first.Metadata = map[string]string{"Role": "first by name"}
	must.OK(t, first.SavePublic(s.path("a.key")))
	testpeer.Eventually(t, "the first file by name counts", func() bool {
		return role() == "first by name"
	})
	must.OK(t, os.Remove(s.path("a.key")))
	testpeer.Eventually(t, "then the other", func() bool { return role() == "" })
	if !s.accepts(c) {
		t.Error("out of force with one of its files still there")
	}
	must.OK(t, os.Remove(s.path("b.key")))
	s.within("out with the last file", c, false)
}

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

// TestDirectoryReadsWhatChanged: a file that is added or removed does not have the other files read
// again.
func TestDirectoryReadsWhatChanged(t *testing.T) {
	files := 100_000
	if testing.Short() {
		files = 2000
	}
	dir := t.TempDir()
	writeManyCertificates(t, dir, files)
	first, err := LoadCertificate(filepath.Join(dir, "client000000.key"))
	must.OK(t, err)
	s := &certificateStore{t: t, dir: dir, log: new(logbuffer.Buffer)}
	s.a = newAuthenticator(t, Config{Logger: s.log.Logger()})
	directory := newCertificateDirectory(s.a, dir)
	must.OK(t, s.follow(directory))
	if reads := directory.reads.Load(); reads != int64(files) {
		t.Errorf("%d reads to load %d files", reads, files)
	}
	begun := time.Now()
	s.within("an added file", s.write("added.key"), true)
	must.OK(t, os.Remove(filepath.Join(dir, "client000000.key")))
	s.within("a removed file", first, false)
	if took := time.Since(begun); took > 2*time.Second {
		t.Errorf("both took %v", took)
	}
	// SavePublic writes, links and removes a file: a few events for one name.
	if reads := directory.reads.Load() - int64(files); reads < 1 || reads > 6 {
		t.Errorf("%d reads for two changes", reads)
	}
	// A scan of the whole directory, as after a change of its mode, reads the files that differ.
	before := directory.reads.Load()
	must.OK(t, os.Chmod(dir, 0o700))
	s.within("a file added during a scan", s.write("scanned.key"), true)
	if reads := directory.reads.Load() - before; reads < 1 || reads > 4 {
		t.Errorf("%d reads by a scan after one change", reads)
	}
}

// TestDirectoryIsUnfollowed: another setup for the domain ends the following, and so does Close. A
// path that is no directory changes nothing.
func TestDirectoryIsUnfollowed(t *testing.T) {
	s, have := newCertificateStore(t, "ann.key")
	follows := func() int { return s.a.watcher.Stats().Directories }
	if err := s.a.ConfigureCurve("d", s.path("ann.key")); err == nil {
		t.Error("a file is no directory: no error")
	}
	if err := s.a.ConfigureCurve("d", s.dir+"/none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
	if !s.accepts(have["ann.key"]) || follows() != 1 {
		t.Errorf("a failed call has changed something: %d follows", follows())
	}
	must.OK(t, s.a.ConfigureCurve("e", s.dir))
	must.OK(t, s.a.ConfigureCurveKeys("d"))
	testpeer.Eventually(t, "one is left", func() bool { return follows() == 1 })
	bob := s.write("bob.key")
	testpeer.Eventually(t, "the other domain still follows", func() bool {
		status, _ := ask(t, s.a, zapRequest("e", "", "CURVE", string(bob.Public[:])))
		return status == "200"
	})
	if s.accepts(bob) {
		t.Error("a domain still follows a directory that it no longer uses")
	}
	must.OK(t, s.a.Close())
	testpeer.Eventually(t, "none is left", func() bool { return follows() == 0 })
	if err := s.a.ConfigureCurve("d", s.dir); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestValidityAtEachDecision(t *testing.T) {
	s, _ := newCertificateStore(t)
	now := time.Now()
	for name, test := range map[string]struct {
		notBefore, notAfter time.Duration // from now, 0: none
		reason              string
	}{
		"valid":         {-time.Hour, time.Hour, ReasonAccepted},
		"expired":       {-2 * time.Hour, -time.Hour, ReasonKeyExpired},
		"not yet valid": {time.Hour, 2 * time.Hour, ReasonKeyNotYetValid},
		"no end":        {-time.Hour, 0, ReasonAccepted},
		"no beginning":  {0, time.Hour, ReasonAccepted},
		"long expired":  {0, -time.Hour, ReasonKeyExpired},
		"from later on": {time.Hour, 0, ReasonKeyNotYetValid},
	} {
		c := newCertificate(t)
		c.Metadata = map[string]string{}
		if test.notBefore != 0 {
			c.Metadata["not-before"] = now.Add(test.notBefore).Format(time.RFC3339)
		}
		if test.notAfter != 0 {
			c.Metadata["not-after"] = now.Add(test.notAfter).Format(time.RFC3339)
		}
		entry := s.a.newCurveEntry(c)
		reason := entry.invalid(now)
		if reason == "" {
			reason = ReasonAccepted
		}
		if reason != test.reason {
			t.Errorf("%s: %s, want %s", name, reason, test.reason)
		}
	}
	// The dates count at each decision: an accepted key is refused once its time is over.
	c := newCertificate(t)
	c.Metadata = map[string]string{"not-after": now.Add(2 * time.Second).Format(time.RFC3339)}
	must.OK(t, c.SavePublic(s.path("short.key")))
	s.within("a valid key", c, true)
	s.within("its end", c, false)
}

// TestNoSecretKeysInLogs: wherever a secret key is, no log line, error or formatted value shows it.
func TestNoSecretKeysInLogs(t *testing.T) {
	s, _ := newCertificateStore(t)
	var said []string
	var secrets []SecretKey
	add := func(name string, mode os.FileMode, mangle func(string) string) {
		c := newCertificate(t)
		secrets = append(secrets, *c.Secret)
		must.OK(t, c.SaveSecret(s.path(name)))
		data, err := os.ReadFile(s.path(name))
		must.OK(t, err)
		must.OK(t, os.WriteFile(s.path(name), []byte(mangle(string(data))), mode))
		must.OK(t, os.Chmod(s.path(name), mode))
		loaded, err := LoadCertificate(s.path(name))
		said = append(said, fmt.Sprintf("%v %+v %#v %s", loaded, loaded, loaded, err))
		certificates, err := LoadCertificates(s.dir)
		said = append(said, fmt.Sprintf("%v %+v", certificates, err))
		s.a.log.Debug("loaded", "certificate", loaded, "all", certificates, "error", err)
	}
	same := func(text string) string { return text }
	add("ann.key_secret", 0o600, same)
	add("bob.key", 0o600, same) // a secret file with a public one's name
	add("eve.key", 0o644, same) // and one that others can read
	add("dan.key", 0o600, func(text string) string { return text[:len(text)-9] })
	add("fay.key", 0o600, func(text string) string { return strings.ReplaceAll(text, "=", "") })
	add("gus.key", 0o600, func(text string) string {
		return strings.ReplaceAll(text, "secret-key", "secret key")
	})
	add("hal.key", 0o600, func(text string) string { return strings.ReplaceAll(text, "\n", "") })
	add("ida.key", 0o600, func(text string) string {
		return strings.ReplaceAll(text, "public-key", "unknown-key")
	})
	must.OK(t, s.a.ConfigureCurve("e", s.dir))
	s.within("everything has been read", s.write("last.key"), true)
	said = append(said, s.said())
	for i, secret := range secrets {
		for _, text := range said {
			for _, form := range []string{
				secret.Z85(), secret.Z85()[:20], fmt.Sprintf("%x", secret[:]), fmt.Sprint(secret[:]),
			} {
				if strings.Contains(text, form) {
					t.Errorf("secret %d shows in %s", i, text)
				}
			}
		}
	}
	if !strings.Contains(s.said(), "chmod o-rwx") {
		t.Error("the log does not say how to mend the readable file")
	}
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

// TestDirectoryRename: a key whose file is renamed is never out of force.
func TestDirectoryRename(t *testing.T) {
	s, _ := newCertificateStore(t)
	for i := range 20 {
		name := fmt.Sprintf("%02d", i)
		c := s.write(name + ".new.key")
		s.within("a new file", c, true)
		must.OK(t, os.Rename(s.path(name+".new.key"), s.path(name+".key")))
		marker := s.write(name + ".marker.key")
		testpeer.Eventually(t, "a later file is in force", func() bool {
			if !s.accepts(c) {
				t.Fatal("a renamed file is out of force")
			}
			return s.accepts(marker)
		})
	}
}

// TestDirectoryClosedAtOnce: nothing is left of a directory with links whose authenticator is
// closed as soon as it is configured.
func TestDirectoryClosedAtOnce(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	for i := range 10 {
		file := filepath.Join(elsewhere, fmt.Sprintf("%d.key", i))
		must.OK(t, newCertificate(t).SavePublic(file))
		must.OK(t, os.Symlink(file, filepath.Join(dir, fmt.Sprintf("%d.key", i))))
	}
	ctx := testzmq.NewContext(t)
	goroutines, descriptors := runtime.NumGoroutine(), testpeer.Descriptors()
	for range 20 {
		a, err := New(ctx, &Config{Logger: quiet()})
		must.OK(t, err)
		must.OK(t, a.ConfigureCurve("d", dir))
		must.OK(t, a.Close())
	}
	testpeer.Eventually(t, "no goroutine is left", func() bool {
		return runtime.NumGoroutine() <= goroutines
	})
	testpeer.Eventually(t, "no descriptor is left", func() bool {
		return testpeer.Descriptors() <= descriptors
	})
}
