package zmqauth

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// foreignID is the id of a user, and of a group, that is neither root's nor that of the tests.
const foreignID = 4242

// trustCases tell whether a file or a directory is to be trusted.
var trustCases = map[string]struct {
	uid, gid int         // -1: the test's own
	mode     fs.FileMode // of a file; whoever can read a directory may also enter it
	fault    string      // a part of the error; "": it is trusted
	secret   string      // the same, where it holds a secret
}{
	"the owner's alone":       {-1, -1, 0o600, "", ""},
	"read-only":               {-1, -1, 0o400, "", ""},
	"the own group reads":     {-1, -1, 0o640, "", ""},
	"the own group writes":    {-1, -1, 0o660, "", ""},
	"another group reads":     {-1, foreignID, 0o640, "", ""},
	"root's, for a group":     {-1, foreignID, 0o440, "", ""},
	"another group writes":    {-1, foreignID, 0o660, "group 4242 can write it", "group 4242 can"},
	"another group, all read": {-1, foreignID, 0o664, "chmod g-w PATH", "chmod g-w PATH"},
	"another user's":          {foreignID, -1, 0o600, "user 4242 owns it", "user 4242 owns it"},
	"another user's, to read": {foreignID, -1, 0o444, "chown UID PATH", "chown UID PATH"},
	"others read":             {-1, -1, 0o644, "", "(mode 0644): chmod o-rwx PATH"},
	"others read, group not":  {-1, -1, 0o604, "", "(mode 0604): chmod o-rwx PATH"},
	"others write":            {-1, -1, 0o602, "(mode 0602): chmod o-w PATH", "chmod o-w PATH"},
	"everybody writes":        {-1, -1, 0o666, "(mode 0666): chmod o-w PATH", "chmod o-w PATH"},
}

// TestTrust: one rule holds for every kind of file that is in force.
func TestTrust(t *testing.T) {
	kinds := map[string]struct {
		secret bool
		line   int // the line of the secret, where the error names it
		// make makes a file that is good, and load reads it.
		make func(t *testing.T, dir string) (path string)
		load func(t *testing.T, path string) error
	}{
		"a public certificate": {false, 0, makePublic, loadOne},
		"a secret certificate": {true, 0, makeSecret, loadOne},
		"a certificate in a directory": {false, 0, makePublic, func(_ *testing.T, path string) error {
			return second(LoadCertificates(filepath.Dir(path)))
		}},
		"a secret one in a directory": {true, 0, func(t *testing.T, dir string) string {
			path := filepath.Join(dir, "ann.key")
			must.OK(t, os.Rename(makeSecret(t, dir), path))
			return path
		}, func(_ *testing.T, path string) error {
			return second(LoadCertificates(filepath.Dir(path)))
		}},
		"a directory": {false, 0, makeDirectory, func(_ *testing.T, path string) error {
			return second(LoadCertificates(path))
		}},
		"a directory to follow": {false, 0, makeDirectory, func(t *testing.T, path string) error {
			return newAuthenticator(t, Config{}).ConfigureCurve("d", path)
		}},
		"a password file of hashes": {false, 0, func(t *testing.T, dir string) string {
			hash := cheapBcrypt(t, "$2y$", "x")
			return writeFile(t, filepath.Join(dir, "passwords"), "# no user\nann:"+hash+"\n", 0o600)
		}, configureFile},
		"a password file": {true, 3, func(t *testing.T, dir string) string {
			text := "# no user\nann:" + cheapBcrypt(t, "$2y$", "x") + "\nbob=x\neve=y\n"
			return writeFile(t, filepath.Join(dir, "passwords"), text, 0o600)
		}, configureFile},
		"a policy": {false, 0, func(t *testing.T, dir string) string {
			return writeFile(t, filepath.Join(dir, "policy.zpl"), "domain = a\n", 0o600)
		}, func(_ *testing.T, path string) error { return second(LoadPolicy(path)) }},
	}
	for kindName, kind := range kinds {
		for name, test := range trustCases {
			t.Run(kindName+"/"+name, func(t *testing.T) {
				path := kind.make(t, t.TempDir())
				mode, location, want := test.mode, path, test.fault
				if info, err := os.Stat(path); err == nil && info.IsDir() {
					mode |= test.mode >> 2 & 0o111
				}
				if kind.secret {
					want = test.secret
				}
				if test.fault == "" && kind.line != 0 {
					location = fmt.Sprintf("%s:%d: a password in clear", path, kind.line)
				}
				testpeer.GiveAway(t, path, test.uid, test.gid)
				must.OK(t, os.Chmod(path, mode))
				err := kind.load(t, path)
				if want == "" {
					must.OK(t, err)
					return
				}
				want = strings.NewReplacer(
					"UID", fmt.Sprint(os.Getuid()), "PATH", path,
					fmt.Sprintf("mode %04o", test.mode), fmt.Sprintf("mode %04o", mode),
				).Replace(want)
				if err == nil || !strings.HasPrefix(err.Error(), "zmqauth: "+location+": ") ||
					!strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %s", err, want)
				}
			})
		}
	}
}

func makePublic(t *testing.T, dir string) string {
	writePublic(t, filepath.Join(dir, "ann.key"), nil)
	return filepath.Join(dir, "ann.key")
}

func makeSecret(t *testing.T, dir string) string {
	must.OK(t, newCertificate(t).SaveSecret(filepath.Join(dir, "ann.key_secret")))
	return filepath.Join(dir, "ann.key_secret")
}

func makeDirectory(t *testing.T, dir string) string {
	path := makeDir(t, filepath.Join(dir, "keys"))
	makePublic(t, path)
	return path
}

func loadOne(_ *testing.T, path string) error { return second(LoadCertificate(path)) }

func configureFile(t *testing.T, path string) error {
	return newAuthenticator(t, Config{}).ConfigurePlainFile("d", path)
}

// TestDirectoryThatCannotBeTrusted: such a directory is an error that changes nothing.
func TestDirectoryThatCannotBeTrusted(t *testing.T) {
	s, have := newCertificateStore(t, "ann.key")
	open := makeDirectory(t, t.TempDir())
	must.OK(t, os.Chmod(open, 0o777))
	want := "zmqauth: " + open + ": others can write it (mode 0777): chmod o-w " + open
	if err := s.a.ConfigureCurve("d", open); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if !s.accepts(have["ann.key"]) || s.a.Stats().BrokenEntries != 0 {
		t.Errorf("a call that failed has changed something: %+v", s.a.Stats())
	}
	s.within("what was followed is followed", s.write("bob.key"), true)
}

// TestDirectoryLosesTrust: what is in force stays. Nothing new comes into force until the directory
// is mended.
func TestDirectoryLosesTrust(t *testing.T) {
	const written = "others can write it (mode 0777): chmod o-w "
	for name, test := range map[string]struct {
		spoil, mend func(t *testing.T, dir string)
		want        string
	}{
		"others can write it":          {chmodTo(0o777), chmodTo(0o755), written},
		"all can write it, but sticky": {chmodTo(0o777 | fs.ModeSticky), chmodTo(0o755), written},
		"another group can write it": {func(t *testing.T, dir string) {
			testpeer.GiveAway(t, dir, -1, foreignID)
			must.OK(t, os.Chmod(dir, 0o775))
		}, chmodTo(0o755), "group 4242 can write it"},
		"another user's": {func(t *testing.T, dir string) { testpeer.GiveAway(t, dir, foreignID, -1) },
			func(t *testing.T, dir string) { testpeer.GiveAway(t, dir, os.Getuid(), -1) },
			"user 4242 owns it"},
		"replaced by another": {func(t *testing.T, dir string) {
			must.OK(t, os.Rename(dir, dir+".good"))
			must.OK(t, os.Mkdir(dir, 0o755))
			must.OK(t, os.Chmod(dir, 0o777))
		}, func(t *testing.T, dir string) {
			must.OK(t, os.Rename(dir, dir+".bad"))
			must.OK(t, os.Rename(dir+".good", dir))
			for _, name := range directoryNames(t, dir+".bad") {
				must.OK(t, os.Rename(filepath.Join(dir+".bad", name), filepath.Join(dir, name)))
			}
			_ = os.Remove(filepath.Join(dir, "ann.key"))
		}, written},
	} {
		t.Run(name, func(t *testing.T) {
			s, have := newCertificateStore(t, "ann.key", "bob.key")
			ann, bob := have["ann.key"], have["bob.key"]
			test.spoil(t, s.dir)
			testpeer.Eventually(t, "the log says so", func() bool {
				return strings.Contains(s.said(), test.want)
			})

			// Another directory shows when the follower has had the time to see these changes.
			eve := s.write("eve.key")
			_ = os.Remove(s.path("ann.key"))
			dan := newCertificate(t)
			must.OK(t, os.WriteFile(s.path("bob.key"), text(t, dan), 0o644))
			beside := makeDirectory(t, t.TempDir())
			must.OK(t, s.a.ConfigureCurve("beside", beside))
			for i := range 3 {
				marker := zapRequest("beside", "", "CURVE",
					string(addKey(t, beside, fmt.Sprintf("marker%d.key", i))))
				eventuallyAsk(t, "the directory beside it is followed", s.a, marker, "200")
				if !s.accepts(ann) || !s.accepts(bob) || s.accepts(eve) || s.accepts(dan) {
					t.Fatalf("in force: ann %v, bob %v, eve %v, dan %v",
						s.accepts(ann), s.accepts(bob), s.accepts(eve), s.accepts(dan))
				}
			}
			said := s.said()
			if count := strings.Count(said, "level=ERROR"); count != 1 || s.a.Stats().BrokenEntries != 1 {
				t.Errorf("reported %d times, %d broken entries:\n%s",
					count, s.a.Stats().BrokenEntries, said)
			}
			if !strings.Contains(said, "a directory cannot be used, what was in force stays") ||
				!strings.Contains(said, "zmqauth: "+s.dir+": ") {
				t.Errorf("the log does not say which: %s", said)
			}

			test.mend(t, s.dir)
			s.within("mended, a new file", eve, true)
			s.within("what has been written", dan, true)
			s.within("what that file held before", bob, false)
			s.within("what has been removed", ann, false)
			s.within("a later file", s.write("fay.key"), true)
			test.spoil(t, s.dir)
			testpeer.Eventually(t, "it is reported once more", func() bool {
				return strings.Count(s.said(), "level=ERROR") == 2
			})
		})
	}
}

func chmodTo(mode fs.FileMode) func(*testing.T, string) {
	return func(t *testing.T, dir string) { must.OK(t, os.Chmod(dir, mode)) }
}

func addKey(t *testing.T, dir, name string) []byte {
	key := writePublic(t, filepath.Join(dir, name), nil)
	return key[:]
}

// TestFollowedFileLosesTrust: the last good content of the file stays in force.
func TestFollowedFileLosesTrust(t *testing.T) {
	for name, test := range map[string]struct {
		spoil, mend func(t *testing.T, path string)
		want        string
	}{
		"others can write it": {chmodTo(0o622), chmodTo(0o600),
			"others can write it (mode 0622): chmod o-w "},
		"another group can write it": {func(t *testing.T, path string) {
			testpeer.GiveAway(t, path, -1, foreignID)
			must.OK(t, os.Chmod(path, 0o660))
		}, chmodTo(0o640), "group 4242 can write it"},
		"another user's": {func(t *testing.T, path string) { testpeer.GiveAway(t, path, foreignID, -1) },
			func(t *testing.T, path string) { testpeer.GiveAway(t, path, os.Getuid(), -1) },
			"user 4242 owns it"},
	} {
		t.Run("certificate/"+name, func(t *testing.T) {
			s, have := newCertificateStore(t, "ann.key")
			dan := newCertificate(t)
			test.spoil(t, s.path("ann.key"))
			must.OK(t, os.WriteFile(s.path("ann.key"), text(t, dan), 0o644))
			testpeer.Eventually(t, "the log says so", func() bool {
				return strings.Contains(s.said(), test.want)
			})
			s.within("a file beside it", s.write("bob.key"), true)
			if !s.accepts(have["ann.key"]) || s.accepts(dan) {
				t.Error("the last good content is not in force")
			}
			test.mend(t, s.path("ann.key"))
			s.within("mended", dan, true)
		})
		t.Run("password file/"+name, func(t *testing.T) {
			s := newPasswordStore(t, "ann=one\n")
			test.spoil(t, s.path)
			must.OK(t, os.WriteFile(s.path, []byte("ann=two\n"), 0o600))
			testpeer.Eventually(t, "the log says so", func() bool {
				return strings.Contains(s.said(), test.want)
			})
			if !s.accepts("ann", "one") || s.accepts("ann", "two") {
				t.Error("the last good content is not in force")
			}
			test.mend(t, s.path)
			s.within("mended", "ann", "two", true)
		})
	}
}
