package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/passhash"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// passwdWith runs the command passwd with a password on stdin.
func passwdWith(t *testing.T, password string, args ...string) error {
	t.Helper()
	command := exec.Command(binary, append([]string{"passwd"}, args...)...)
	command.Stdin = strings.NewReader(password)
	out, err := command.CombinedOutput()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if err != nil {
		t.Logf("%s", out)
	}
	return err
}

// TestPasswdBcryptIsHtpasswds: htpasswd accepts the bcrypt hashes of passwd.
func TestPasswdBcryptIsHtpasswds(t *testing.T) {
	htpasswd := testpeer.Program(t, "apache2-utils", "htpasswd")
	users := filepath.Join(t.TempDir(), "users")
	must.OK(t, passwdWith(t, "correct horse", users, "ann", "--hash", "bcrypt", "--cost", "10"))
	for password, right := range map[string]bool{"correct horse": true, "Correct horse": false} {
		out, err := exec.Command(htpasswd, "-vb", users, "ann", password).CombinedOutput()
		if (err == nil) != right {
			t.Errorf("%q: %v\n%s", password, err, out)
		}
	}
}

// TestPasswdVerifyTakesTheSameTime: who asks for unknown users does not learn that from the time.
func TestPasswdVerifyTakesTheSameTime(t *testing.T) {
	users := filepath.Join(t.TempDir(), "users")
	must.OK(t, passwdWith(t, "correct horse", users, "ann", "--cost", "16"))
	took := func(user string) time.Duration {
		var best time.Duration
		for i := range 3 {
			start := time.Now()
			if passwdWith(t, "wrong", users, user, "--verify") == nil {
				t.Fatal("a wrong password is right")
			}
			if d := time.Since(start); i == 0 || d < best {
				best = d
			}
		}
		return best
	}
	known, unknown := took("ann"), took("bob")
	if unknown < known/2 || known < unknown/2 {
		t.Errorf("a known user takes %v, an unknown one %v", known, unknown)
	}
}

// TestPasswdRefusesSlowHashes: a server would give up.
func TestPasswdRefusesSlowHashes(t *testing.T) {
	if err := checkTime(serverTime); err != nil {
		t.Error(err)
	}
	err := checkTime(serverTime + time.Second)
	const want = "the hash takes 11s here, and a server gives it 10s: lower --cost"
	if err == nil || err.Error() != want {
		t.Error(err)
	}
}

// TestPasswdRefusesWhatServersRefuse: a change after which a server would not use the file, or not
// know the user, changes nothing.
func TestPasswdRefusesWhatServersRefuse(t *testing.T) {
	users := filepath.Join(t.TempDir(), "users")
	must.OK(t, os.WriteFile(users, nil, 0o600))
	must.OK(t, os.Truncate(users, passhash.MaxFileSize-10)) // a sparse file
	if err := passwdWith(t, "correct horse", users, "ann"); err == nil {
		t.Error("a file that is too large for a server")
	}
	info, err := os.Stat(users)
	if err != nil || info.Size() != passhash.MaxFileSize-10 {
		t.Errorf("%d bytes, %v", info.Size(), err)
	}
	if err := checkInForce([]byte("ann:$2y$broken\n"), "ann"); err == nil {
		t.Error("a broken line")
	}
	must.OK(t, checkInForce([]byte("ann=x\n"), "ann"))
	if err := checkUser("\ufeffann"); err == nil {
		t.Error("a byte order mark, which would begin the file")
	}
}
