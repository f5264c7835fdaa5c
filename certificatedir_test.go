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
func text(t testing.TB, c *Certificate) []byte {
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
