package zmqauth

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/files"
	"github.com/zmqauth/zmqauth/internal/follow"
	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/zap"
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

// table is the table in force.
func (s *passwordStore) table() *passwordTable {
	s.a.mu.RLock()
	defer s.a.mu.RUnlock()
	return s.a.policy.plain["d"].table
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
		"jim=$1$not a hash that we know",
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
		{"jim", "$1$not a hash that we know", true},
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
		{"eve " + password + "\n", 0o644, "chmod o-rwx"}, // whatever it is, it may be a password
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
	loads, before := 0, s.table()
	for i := range 1000 {
		begun := time.Now()
		rewrite(s, version(i))
		slowest = max(slowest, time.Since(begun))
		if i%50 == 0 { // a pause in which the version comes into force
			testpeer.Eventually(t, "the version is in force", func() bool { return s.table() != before })
		}
		if now := s.table(); now != before {
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

// TestPasswordFileLikeCzmq: czmq's own zauth accepts the same users from the same file.
func TestPasswordFileLikeCzmq(t *testing.T) {
	program := testpeer.CompileCzmq(t, czmqPlain)
	lines := []string{
		"# comment=no user", "ann=secret", "bob=two words", " lead=blank before",
		"trail =blank after the name", "val= blank before the value", "end=blank after ", "eq=a=b",
		"eqs===", "hash=#no comment", "quote=\"quoted\"", "single='x'", "tab=\ta\tb", "\ttab=x",
		"utf8=grüße", "ütf8=x", "dup=first", "dup=second", "noseparator", "", "   ",
		"  # indented=comment", "CASE=x", "case=y", "digits=0123456789", "sym=!@#$%^&*()",
		"colon in value=a:b", "backslash=a\\nb", "percent=%s%n", "semi=a;b",
		"x=" + strings.Repeat("p", 200), strings.Repeat("n", 200) + "=x",
		"$=dollar", "=no name", "last=line",
	}
	if len(lines) < 30 {
		t.Fatal("too few lines")
	}
	path := filepath.Join(t.TempDir(), "passwords")
	must.OK(t, os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600))
	var tries [][2]string
	for _, line := range lines {
		name, password, _ := strings.Cut(line, "=")
		for _, try := range [][2]string{
			{name, password}, {strings.TrimSpace(name), strings.TrimSpace(password)},
			{name, password + "x"}, {name, "secret"}, {name, ""}, {"", password},
		} {
			if try[0] != "" && try[1] != "" { // czmq takes an empty frame for a missing one
				tries = append(tries, try)
			}
		}
	}
	theirs := askCzmq(t, program, path, tries)
	a := newAuthenticator(t, Config{})
	must.OK(t, a.ConfigurePlainFile("*", path))
	accepted := 0
	for i, try := range tries {
		ours, _ := ask(t, a, plainRequest("d", try[0], try[1]))
		if ours != theirs[i] {
			t.Errorf("%.20q with %.20q: %s, czmq says %s", try[0], try[1], ours, theirs[i])
		}
		if ours == "200" {
			accepted++
		}
	}
	if accepted < 25 {
		t.Errorf("only %d of %d tries accepted", accepted, len(tries))
	}
}

// askCzmq asks czmq's zauth about names and passwords, and returns its statuses.
func askCzmq(t *testing.T, program, path string, tries [][2]string) []string {
	t.Helper()
	var input bytes.Buffer
	for _, try := range tries {
		fmt.Fprintf(&input, "%s\n%s\n", try[0], try[1])
	}
	command := exec.Command(program, path)
	command.Stdin = &input
	out, err := command.Output()
	must.OK(t, err)
	statuses := strings.Fields(string(out))
	if len(statuses) != len(tries) {
		t.Fatalf("%d answers to %d questions: %q", len(statuses), len(tries), statuses)
	}
	return statuses
}

// czmqPlain runs zauth with the file it is given, and asks it about the names and passwords on
// standard input.
const czmqPlain = `
#include <czmq.h>
int main(int argc, char **argv) {
	zactor_t *auth = zactor_new(zauth, NULL);
	zstr_sendx(auth, "PLAIN", argv[1], NULL);
	zsock_wait(auth);
	zsock_t *req = zsock_new_req(">inproc://zeromq.zap.01");
	char name[1024], password[1024];
	while (fgets(name, sizeof name, stdin) && fgets(password, sizeof password, stdin)) {
		name[strcspn(name, "\n")] = password[strcspn(password, "\n")] = 0;
		zstr_sendx(req, "1.0", "1", "d", "127.0.0.1", "", "PLAIN", name, password, NULL);
		zmsg_t *reply = zmsg_recv(req);
		zmsg_first(reply);
		zmsg_next(reply);
		zframe_t *status = zmsg_next(reply);
		printf("%.*s\n", (int) zframe_size(status), (char *) zframe_data(status));
		zmsg_destroy(&reply);
	}
	zsock_destroy(&req);
	zactor_destroy(&auth);
	return 0;
}
`

// stampWithMode returns the stamp of an empty file with that mode.
func stampWithMode(t testing.TB, mode os.FileMode) files.Stamp {
	t.Helper()
	stamp, err := files.StampOf(writeFile(t, filepath.Join(t.TempDir(), "file"), "", mode))
	must.OK(t, err)
	return stamp
}

// FuzzPasswordFile: each line gives at most a user or a problem, and a problem names its line.
func FuzzPasswordFile(f *testing.F) {
	for _, seed := range []string{
		"", "ann=secret", "ann:$2y$05$abc\r\n#x\n=\n:", "a=b\nc:d\n\x00=x\n",
		"n=$argon2id$v=19$m=8,t=1,p=1$YWJjZGVmZ2g$YWJjZGVmZ2g", "x\r\r\n",
	} {
		f.Add([]byte(seed))
	}
	a := newAuthenticator(f, Config{})
	private, writable := stampWithMode(f, 0o600), stampWithMode(f, 0o602)
	f.Fuzz(func(t *testing.T, data []byte) {
		table, problems, err := parsePasswords(a, "file", data, private, maxPasswordUsers)
		must.OK(t, err)
		lines := bytes.Count(data, []byte("\n")) + 1
		if len(table.users)+len(problems) > lines {
			t.Fatalf("%d users and %d problems in %d lines", len(table.users), len(problems), lines)
		}
		for name, entry := range table.users {
			if name == "" || len(name) > zap.MaxCredential || strings.ContainsAny(name, "\x00\n=:") {
				t.Fatalf("the name %q", name)
			}
			if (entry.hash == nil) == (entry.digest.Load() == nil) {
				t.Fatalf("%q has neither a hash nor a digest, or both", name)
			}
		}
		for _, problem := range problems {
			var at *FileError
			if !errors.As(problem, &at) || at.Line < 1 || at.Line > lines {
				t.Fatalf("%v", problem)
			}
		}
		if _, _, err := parsePasswords(a, "file", data, writable, maxPasswordUsers); err == nil {
			t.Fatal("a file that others can write")
		}
	})
}
