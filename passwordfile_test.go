package zmqauth

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// passwordStore is a password file that an authenticator follows.
type passwordStore struct {
	t    *testing.T
	path string
	a    *Authenticator
	log  *logbuffer.Buffer
}

func newPasswordStore(t *testing.T, content string) *passwordStore {
	t.Helper()
	s := &passwordStore{
		t: t, path: filepath.Join(t.TempDir(), "passwords"), log: new(logbuffer.Buffer),
	}
	s.overwrite(content)
	s.a = newAuthenticator(t, Config{Logger: s.log.Logger()})
	must.OK(t, s.a.ConfigurePlainFile("d", s.path))
	return s
}

// said waits until all reports have been made and returns the log.
func (s *passwordStore) said() string {
	s.t.Helper()
	waitForReports(s.t, s.a)
	return s.log.String()
}

// overwrite writes in place, as a shell's > does.
func (s *passwordStore) overwrite(content string) {
	s.t.Helper()
	must.OK(s.t, os.WriteFile(s.path, []byte(content), 0o600))
}

// replace renames a new file over the old one, as editors do.
func (s *passwordStore) replace(content string) {
	s.t.Helper()
	must.OK(s.t, os.WriteFile(s.path+".new", []byte(content), 0o600))
	must.OK(s.t, os.Rename(s.path+".new", s.path))
}

// users are those in force.
func (s *passwordStore) users() *credentialSet {
	return s.a.policy.Load().plain["d"].credentials.set()
}

func (s *passwordStore) accepts(name, password string) bool {
	s.t.Helper()
	status, _ := ask(s.t, s.a, plainRequest("d", name, password))
	return status == "200"
}

func (s *passwordStore) within(what, name, password string, accepted bool) {
	s.t.Helper()
	testpeer.Eventually(s.t, what, func() bool { return s.accepts(name, password) == accepted })
}

func TestPasswordFile(t *testing.T) {
	argon, err := HashPassword("argon")
	must.OK(t, err)
	s := newPasswordStore(t, strings.Join([]string{
		"# who may come in",
		"ann=secret",
		"bob=with = and : in it\r",
		"",
		"eve:" + cheapBcrypt(t, "$2y$", "bcrypt"),
		"fay=" + cheapBcrypt(t, "$2b$", "bcrypt"),
		"gus:" + argon,
		"hal=" + argon,
		strings.TrimSpace(htpasswdFile(t, "ida", "by htpasswd")),
		" ian = blanks ",
		"ann=the last line counts",
		"jim=$1$",
		"joe=no newline at the end",
	}, "\n"))
	for _, test := range []struct {
		name, password string
		accepted       bool
	}{
		{"ann", "the last line counts", true}, {"ann", "secret", false},
		{"bob", "with = and : in it", true}, {"bob", "with = and : in it\r", false},
		{"eve", "bcrypt", true}, {"eve", "argon", false}, {"fay", "bcrypt", true},
		{"gus", "argon", true}, {"hal", "argon", true}, {"hal", argon, false},
		{"ida", "by htpasswd", true}, {"ida", "by hand", false},
		{" ian ", " blanks ", true}, {"ian", "blanks", false},
		{"jim", "$1$", true},
		{"joe", "no newline at the end", true},
		{"# who may come in", "", false}, {"", "", false},
	} {
		if got := s.accepts(test.name, test.password); got != test.accepted {
			t.Errorf("%q with %q: %v", test.name, test.password, got)
		}
	}
	if s.a.Stats().BrokenEntries != 0 {
		t.Errorf("broken entries in a good file: %s", s.said())
	}
}

// TestPasswordFileBrokenLines: broken lines are left out and reported. The other lines are in
// force.
func TestPasswordFileBrokenLines(t *testing.T) {
	const hidden = "hunter2"
	s := newPasswordStore(t, strings.Join([]string{
		"ann=secret",
		hidden,                                  // 2: no separator
		"=" + hidden,                            // 3: no name
		"bob=",                                  // 4: no password
		"eve:" + hidden,                         // 5: clear after a colon
		"fay:$2y$10$" + hidden,                  // 6: a broken hash
		"gus=$argon2id$" + hidden,               // 7: after = too
		"hal=" + strings.Repeat(hidden, 40),     // 8: too long for PLAIN
		"ida=" + strings.Repeat(hidden, 200),    // 9: too long for a line
		"jo\x00e=" + hidden,                     // 10: NUL in the name
		"kim:$2y$31$" + strings.Repeat("a", 53), // 11: too costly
		"last=secret",
	}, "\n"))
	if !s.accepts("ann", "secret") || !s.accepts("last", "secret") {
		t.Error("a broken line hides good ones")
	}
	for _, name := range []string{"", "bob", "eve", "fay", "gus", hidden, "kim"} {
		for _, password := range []string{"", hidden, "$2y$10$" + hidden, "$argon2id$" + hidden} {
			if s.accepts(name, password) {
				t.Errorf("%q with %q gets in", name, password)
			}
		}
	}
	for line := 2; line <= 11; line++ {
		if !strings.Contains(s.said(), fmt.Sprintf("%s:%d: ", s.path, line)) {
			t.Errorf("line %d is not reported", line)
		}
	}
	if broken := s.a.Stats().BrokenEntries; broken != 10 {
		t.Errorf("BrokenEntries = %d, want 10", broken)
	}
	if strings.Contains(s.said(), hidden) || strings.Contains(s.said(), "secret") {
		t.Errorf("the log shows a password:\n%s", s.said())
	}
	// After a change, only faults that are new are reported.
	s.replace("ann=secret\n" + hidden + "\nnew line without\n")
	s.within("the change is in force", "last", "secret", false)
	if broken := s.a.Stats().BrokenEntries; broken != 11 {
		t.Errorf("BrokenEntries = %d, want 11", broken)
	}
}

func TestPasswordFileModes(t *testing.T) {
	const password = "hunter2"
	hash := "ann:" + cheapBcrypt(t, "$2y$", password) + "\n"
	for _, test := range []struct {
		content string
		mode    os.FileMode
		advice  string // of the error, "": none
	}{
		{"ann=" + password + "\n", 0o600, ""},
		{"ann=" + password + "\n", 0o400, ""},
		{"ann=" + password + "\n", 0o640, ""},
		{"ann=" + password + "\n", 0o660, ""},
		{"ann=" + password + "\n", 0o604, "chmod o-rwx"},
		{"ann=" + password + "\n", 0o601, "chmod o-rwx"},
		{"ann=" + password + "\n", 0o602, "chmod o-w"},
		{"eve " + password + "\n", 0o644, "chmod o-rwx"},    // whatever it is, it may be a password
		{"eve=$" + password + "$!\n", 0o644, "chmod o-rwx"}, // so may what only looks like a hash
		{"eve:{" + password + "}9\n", 0o644, "chmod o-rwx"},
		{"eve={PLAIN}" + password + "\n", 0o644, "chmod o-rwx"},
		{"eve={SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n", 0o644, ""},
		{hash, 0o644, ""},
		{hash, 0o640, ""},
		{hash, 0o660, ""},
		{hash, 0o602, "chmod o-w"},
		{"", 0o644, ""},
		{"", 0o666, "chmod o-w"},
	} {
		path := filepath.Join(t.TempDir(), "passwords")
		must.OK(t, os.WriteFile(path, []byte(test.content), 0o600))
		must.OK(t, os.Chmod(path, test.mode))
		a := newAuthenticator(t, Config{})
		err := a.ConfigurePlainFile("d", path)
		var fileErr *FileError
		if (err == nil) != (test.advice == "") ||
			err != nil && !errors.As(err, &fileErr) ||
			err != nil && !strings.Contains(err.Error(), test.advice+" "+path) {
			t.Errorf("%.8q with mode %o: %v", test.content, test.mode, err)
		}
		if err != nil && strings.Contains(err.Error(), password) {
			t.Errorf("the error shows a password: %v", err)
		}
	}
}

func TestPasswordFileErrors(t *testing.T) {
	s := newPasswordStore(t, "ann=secret\n")
	dir := t.TempDir()
	for name, path := range map[string]string{
		"none": dir + "/none", "a directory": dir, "no name": "",
	} {
		if err := s.a.ConfigurePlainFile("d", path); err == nil ||
			!strings.HasPrefix(err.Error(), "zmqauth: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !s.accepts("ann", "secret") {
		t.Error("a failed call has changed what was in force")
	}
	must.OK(t, s.a.Close())
	if err := s.a.ConfigurePlainFile("d", s.path); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
