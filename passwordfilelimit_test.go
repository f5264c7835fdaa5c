package zmqauth

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/passhash"
	"github.com/zmqauth/zmqauth/internal/passwd"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// TestPasswordFileOfGarbage: a file that is something else altogether costs little, and is reported
// once.
func TestPasswordFileOfGarbage(t *testing.T) {
	const lines = 100_000
	garbage := strings.Repeat("garbage\n", lines)
	s := newPasswordStore(t, garbage+"ann=secret\n"+garbage)
	if !s.accepts("ann", "secret") {
		t.Error("the one good line is not in force")
	}
	if broken := s.a.Stats().BrokenEntries; broken != 2*lines {
		t.Errorf("BrokenEntries = %d", broken)
	}
	said := s.said()
	if count := strings.Count(said, "level=WARN"); count != passwd.MaxBroken+1 {
		t.Errorf("%d warnings in the log", count)
	}
	rest := fmt.Sprintf("%s:%d: this line and %d more after it are broken, too", s.path,
		passwd.MaxBroken+1, 2*lines-passwd.MaxBroken-1)
	if !strings.Contains(said, rest) {
		t.Errorf("the log does not say %q", rest)
	}
	// As it changes, nothing is said twice.
	s.overwrite(garbage + "bob=secret\n" + garbage)
	s.within("the change", "bob", "secret", true)
	if broken := s.a.Stats().BrokenEntries; broken != 2*lines {
		t.Errorf("BrokenEntries = %d", broken)
	}
}

// TestHugePasswordFile: too large a file is an error that changes nothing. Where a followed file
// becomes too large, its last good content stays in force.
func TestHugePasswordFile(t *testing.T) {
	const want = ": larger than 67108864 bytes"
	s := newPasswordStore(t, "ann=secret\n")
	s.overwrite("bob=x\n")
	must.OK(t, os.Truncate(s.path, passhash.MaxFileSize+1)) // a sparse file
	a := newAuthenticator(t, Config{})
	must.OK(t, a.ConfigurePlain("d", map[string]string{"eve": "x"}))
	if err := a.ConfigurePlainFile("d", s.path); err == nil || err.Error() != "zmqauth: "+s.path+want {
		t.Errorf("%v", err)
	}
	if status, _ := ask(t, a, plainRequest("d", "eve", "x")); status != "200" {
		t.Error("a call that failed has changed something")
	}
	testpeer.Eventually(t, "the log says so", func() bool {
		return strings.Contains(s.said(), s.path+want)
	})
	if !s.accepts("ann", "secret") || s.accepts("bob", "x") {
		t.Error("the last good content is not in force")
	}
	s.overwrite("ann=mended\n")
	s.within("mended", "ann", "mended", true)
}
