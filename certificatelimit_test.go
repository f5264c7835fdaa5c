package zmqauth

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/certfile"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// newLimitedStore is newCertificateStore for a directory with a limit of its own. It returns the
// error that following the directory gives.
func newLimitedStore(t *testing.T, limit certfile.Limit,
	names ...string) (s *certificateStore, have map[string]*Certificate, err error) {
	t.Helper()
	s, have = newCertificateStore(t, names...)
	must.OK(t, s.a.ConfigureCurveKeys("d"))
	directory := newCertificateDirectory(s.a, s.dir)
	directory.limit = limit
	return s, have, s.follow(directory)
}

var (
	fiveFiles = certfile.Limit{Files: 5, Bytes: certfile.Bounds.Bytes}
	fiveNames = []string{"a.key", "b.key", "c.key", "d.key", "e.key"}
)

// TestHugeDirectory: a directory that holds more than the limit is an error that names it and
// changes nothing.
func TestHugeDirectory(t *testing.T) {
	for name, test := range map[string]struct {
		limit certfile.Limit
		want  string
	}{
		"too many":  {certfile.Limit{Files: 4, Bytes: certfile.Bounds.Bytes}, "more than 4 certificates"},
		"too large": {certfile.Limit{Files: 5, Bytes: 1000}, "certificates of more than 1000 bytes"},
	} {
		s, have, err := newLimitedStore(t, test.limit, fiveNames...)
		if err == nil ||
			!strings.HasPrefix(err.Error(), "zmqauth: "+s.dir+": "+test.want+" in one directory; ") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := countCertificates(s.dir, test.limit); err == nil ||
			!strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: reading it once: %v", name, err)
		}
		if s.accepts(have["a.key"]) || s.a.Stats().BrokenEntries != 0 {
			t.Errorf("%s: a call that failed has changed something: %+v", name, s.a.Stats())
		}
		// The follower of newCertificateStore may not have ended yet.
		if follows := s.a.watcher.Stats().Directories; follows > 1 {
			t.Errorf("%s: %d follows", name, follows)
		}
	}
	// Secret keys, directories and hidden files do not count.
	s, have, err := newLimitedStore(t, fiveFiles, fiveNames...)
	must.OK(t, err)
	for i := range 5 {
		must.OK(t, os.Mkdir(s.path("directory"+strconv.Itoa(i)), 0o755))
		must.OK(t, os.WriteFile(s.path(fmt.Sprintf(".hidden%d", i)), nil, 0o644))
		must.OK(t, os.WriteFile(s.path(fmt.Sprintf("a%d.key_secret", i)), nil, 0o600))
	}
	if count, err := countCertificates(s.dir, fiveFiles); err != nil || count != 5 ||
		!s.accepts(have["e.key"]) {
		t.Errorf("%d certificates, %v", count, err)
	}
}

// countCertificates reads a directory once.
func countCertificates(dir string, limit certfile.Limit) (count int, err error) {
	for _, err := range certfile.ReadAll(dir, limit, func(int) {}) {
		if err != nil {
			return count, err
		}
		count++
	}
	return count, nil
}

// TestDirectoryGrowsHuge: a certificate that there is no room for is left out, and the log says so.
// What is in force stays. As soon as there is room again, what was left out comes in by itself.
func TestDirectoryGrowsHuge(t *testing.T) {
	s, have, err := newLimitedStore(t, fiveFiles, fiveNames...)
	must.OK(t, err)
	stays := func() {
		t.Helper()
		for _, name := range fiveNames[1:] {
			if !s.accepts(have[name]) {
				t.Errorf("%s is out of force", name)
			}
		}
	}
	said := func(count int) {
		t.Helper()
		const want = "a directory is full"
		testpeer.Eventually(t, "the log says so", func() bool {
			return strings.Count(s.said(), want) == count
		})
		line := s.said()[strings.LastIndex(s.said(), want):]
		if !strings.Contains(line, s.dir+": more than 5 certificates") {
			t.Errorf("the log does not say how: %s", line)
		}
	}
	sixth, seventh := s.write("0.key"), s.write("z.key")
	said(1)
	stays()
	if s.accepts(sixth) || s.accepts(seventh) || !s.accepts(have["a.key"]) {
		t.Error("there was no room for them")
	}
	// A change of a file that has room is followed.
	mended := newCertificate(t)
	must.OK(t, os.WriteFile(s.path("a.key"), text(t, mended), 0o644))
	s.within("a file that changes", mended, true)
	// With room for one of the two, there is still one too many.
	must.OK(t, os.Remove(s.path("a.key")))
	testpeer.Eventually(t, "one of the two gets in", func() bool {
		return s.accepts(sixth) != s.accepts(seventh)
	})
	said(2)
	stays()
	must.OK(t, os.Remove(s.path("b.key")))
	s.within("one that had no room", sixth, true)
	s.within("the other", seventh, true)
	if count := s.a.Stats().BrokenEntries; count != 2 {
		t.Errorf("BrokenEntries = %d", count)
	}
}

// TestDirectoryGrowsLarge: the same holds for few certificates that are large.
func TestDirectoryGrowsLarge(t *testing.T) {
	large := func(c *Certificate) []byte {
		more := *c
		more.Metadata = map[string]string{"Long": strings.Repeat("x", 4000)}
		return text(t, &more)
	}
	size := int64(len(text(t, newCertificate(t))))
	limit := certfile.Limit{Files: certfile.Bounds.Files, Bytes: 5*size + 4100}
	s, have, err := newLimitedStore(t, limit, fiveNames[:3]...)
	must.OK(t, err)
	full := func(count int) {
		t.Helper()
		testpeer.Eventually(t, "the log says so", func() bool {
			return strings.Count(s.said(), "a directory is full") == count
		})
	}
	must.OK(t, os.WriteFile(s.path("a.key"), large(have["a.key"]), 0o644)) // fits
	dan := newCertificate(t)
	s.within("a file beside it", s.write("x.key"), true)
	// There is no room for a larger certificate: the last good content of the file stays.
	must.OK(t, os.WriteFile(s.path("b.key"), large(dan), 0o644))
	full(1)
	if s.accepts(dan) || !s.accepts(have["b.key"]) {
		t.Errorf("in force: the new one %v, the old one %v", s.accepts(dan), s.accepts(have["b.key"]))
	}
	must.OK(t, os.WriteFile(s.path("a.key"), text(t, have["a.key"]), 0o644)) // room
	s.within("what has become too large before", dan, true)
	s.within("what that file held before", have["b.key"], false)
	if !s.accepts(have["a.key"]) || !s.accepts(have["c.key"]) {
		t.Error("the others are out of force")
	}
}
