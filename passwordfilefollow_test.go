package zmqauth

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/follow"
	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// TestPasswordFileIsFollowed: a file is followed in whatever way it changes.
func TestPasswordFileIsFollowed(t *testing.T) {
	s := newPasswordStore(t, "ann=one\n")
	s.overwrite("ann=two\n")
	s.within("overwritten in place", "ann", "two", true)
	if s.accepts("ann", "one") {
		t.Error("the old password is in force")
	}
	s.replace("ann=six\n") // as long as the one before
	s.within("replaced by a rename", "ann", "six", true)
	must.OK(t, os.Remove(s.path))
	s.within("removed", "ann", "six", false)
	testpeer.Eventually(t, "the log says so", func() bool {
		return strings.Contains(s.said(), "is gone")
	})
	s.overwrite("ann=back\n")
	s.within("made again", "ann", "back", true)

	// A file that must not be used is reported, and what was in force stays.
	must.OK(t, os.Chmod(s.path, 0o666))
	testpeer.Eventually(t, "the mode is reported", func() bool {
		return strings.Contains(s.said(), "chmod o-w")
	})
	if !s.accepts("ann", "back") {
		t.Error("a file that must not be used has changed what was in force")
	}
	must.OK(t, os.Chmod(s.path, 0o600))
	s.overwrite("ann=mended\n")
	s.within("mended", "ann", "mended", true)
}

// TestPasswordFileSymlinkSwap mounts a password file as Kubernetes does.
func TestPasswordFileSymlinkSwap(t *testing.T) {
	dir := t.TempDir()
	version := func(name, content string) {
		must.OK(t, os.Mkdir(filepath.Join(dir, name), 0o755))
		must.OK(t, os.WriteFile(filepath.Join(dir, name, "passwords"), []byte(content), 0o600))
		must.OK(t, os.Symlink(name, filepath.Join(dir, "..data_tmp")))
		must.OK(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	}
	version("..1", "ann=one\n")
	must.OK(t, os.Symlink("..data/passwords", filepath.Join(dir, "passwords")))
	s := &passwordStore{t: t, path: filepath.Join(dir, "passwords"), log: new(logbuffer.Buffer)}
	s.a = newAuthenticator(t, Config{Logger: s.log.Logger()})
	must.OK(t, s.a.ConfigurePlainFile("d", s.path))
	if !s.accepts("ann", "one") {
		t.Fatal("behind the link")
	}
	version("..2", "ann=two\n")
	s.within("after the swap", "ann", "two", true)
}

// TestPasswordFileKeepsWhatItRemembers: after a change, the passwords of users whose lines are the
// same are still remembered.
func TestPasswordFileKeepsWhatItRemembers(t *testing.T) {
	ann, bob := cheapBcrypt(t, "$2y$", "secret"), cheapBcrypt(t, "$2y$", "secret")
	s := newPasswordStore(t, "ann:"+ann+"\nbob:"+bob+"\n")
	if !s.accepts("ann", "secret") || !s.accepts("bob", "secret") {
		t.Fatal("not accepted")
	}
	s.replace("ann:" + ann + "\nbob:" + cheapBcrypt(t, "$2y$", "other") + "\nnew=x\n")
	s.within("the change", "new", "x", true)
	if !remembered(s.a, "d", "ann") || remembered(s.a, "d", "bob") {
		t.Errorf("remembered: ann %v, bob %v", remembered(s.a, "d", "ann"), remembered(s.a, "d", "bob"))
	}
	if s.accepts("bob", "secret") || !s.accepts("bob", "other") {
		t.Error("bob's change does not hold")
	}
}

// TestPasswordFileIsUnfollowed: another setup for the domain ends the following.
func TestPasswordFileIsUnfollowed(t *testing.T) {
	s := newPasswordStore(t, "ann=one\n")
	waitForReports(t, s.a)
	following := runtime.NumGoroutine()
	must.OK(t, s.a.ConfigurePlain("d", map[string]string{"bob": "x"}))
	testpeer.Eventually(t, "the goroutine has ended", func() bool {
		return runtime.NumGoroutine() < following
	})
	s.overwrite("ann=two\n")
	if s.accepts("ann", "one") || s.accepts("ann", "two") || !s.accepts("bob", "x") {
		t.Error("the file still counts")
	}
}

// TestPasswordFileRewrites rewrites a file 1,000 times under load. No half of a version is ever in
// force.
func TestPasswordFileRewrites(t *testing.T) {
	for name, rewrite := range map[string]func(*passwordStore, string){
		"in place": (*passwordStore).overwrite, "by rename": (*passwordStore).replace,
	} {
		t.Run(name, func(t *testing.T) {
			for try := 1; ; try++ {
				wrong, slowest := rewritePasswords(t, rewrite)
				if len(wrong) == 0 {
					return
				}
				// Where a writer was stopped with half a version written, that half was the file.
				if slowest < follow.ShrinkPeriod/2 || try == 5 {
					t.Fatalf("%v, the slowest rewrite took %v", wrong, slowest)
				}
				t.Logf("once more, a rewrite took %v: %v", slowest, wrong)
			}
		})
	}
}

// rewritePasswords returns the answers that are true of no version, and how long the slowest
// rewrite took.
func rewritePasswords(
	t *testing.T, rewrite func(*passwordStore, string),
) (wrong []string, slowest time.Duration) {
	version := func(i int) string {
		return fmt.Sprintf("always=secret\n%spassing%d=secret\nalways too=secret\n",
			strings.Repeat("# filling\n", 50), i%7)
	}
	s := &passwordStore{
		t: t, path: filepath.Join(t.TempDir(), "passwords"), a: newAuthenticator(t, Config{}),
	}
	s.overwrite(version(0))
	must.OK(t, s.a.ConfigurePlainFile("d", s.path))
	stop := make(chan bool)
	var mu sync.Mutex
	var askers sync.WaitGroup
	for range 2 {
		askers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				for user, want := range map[string]string{
					"always": "200", "always too": "200", "never": "400", "alway": "400",
				} {
					reply := s.a.HandleZAPMessage(t.Context(), plainRequest("d", user, "secret"))
					if got := string(reply[2]); got != want {
						mu.Lock()
						wrong = append(wrong, user+": status "+got)
						mu.Unlock()
						return
					}
				}
			}
		})
	}
	loads, before := 0, s.users()
	for i := range 1000 {
		begun := time.Now()
		rewrite(s, version(i))
		slowest = max(slowest, time.Since(begun))
		if i%50 == 0 { // a pause in which the version comes into force
			testpeer.Eventually(t, "the version is in force", func() bool { return s.users() != before })
		}
		if now := s.users(); now != before {
			loads, before = loads+1, now
		}
	}
	if loads < 20 {
		t.Errorf("only %d of the versions have been in force", loads)
	}
	s.within("the last version", "passing5", "secret", true)
	close(stop)
	askers.Wait()
	if s.accepts("passing4", "secret") {
		t.Error("a user of an older version gets in")
	}
	return wrong, slowest
}
