package zmqauth

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

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
