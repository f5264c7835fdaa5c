package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// binary is the path of the program, built as users build it. It has the race detector if the tests
// have it.
var binary string

func TestMain(m *testing.M) { os.Exit(testBinary(m)) }

func testBinary(m *testing.M) int {
	os.Setenv("GORACE", "atexit_sleep_ms=0") // saves a second for each run of the program
	dir, err := os.MkdirTemp("", "zmqauth-bin")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "zmqauth")
	args := []string{"build", "-o", binary}
	if testpeer.Race {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, ".")...).CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// TestScripts runs the scripts of testdata/script, each in a directory of its own.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("GORACE", os.Getenv("GORACE"))
			env.Setenv("PATH", filepath.Dir(binary)+string(os.PathListSeparator)+env.Getenv("PATH"))
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits": exits, "mode": mode, "await": await, "keyof": keyOf, "since": since,
			"formsof": formsOf,
		},
	})
}

// exits runs a program and checks its exit code: exits CODE PROGRAM ARGUMENT…
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits code program [argument...]")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if fmt.Sprint(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// mode checks the permissions of a file: mode 0600 FILE
func mode(ts *testscript.TestScript, neg bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := fmt.Sprintf("%04o", info.Mode().Perm()); (got == args[0]) == neg {
		ts.Fatalf("%s has mode %s", args[1], got)
	}
}

// await waits until a file exists, or with ! until it does not. A script uses it to wait for the
// socket of a program in the background.
func await(ts *testscript.TestScript, neg bool, args []string) {
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		info, err := os.Lstat(ts.MkAbs(args[0]))
		if errors.Is(err, fs.ErrNotExist) == neg && (neg || err == nil && isUp(ts, info, args[0])) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s: not within 30 s (%v)", args[0], err)
		}
	}
}

// isUp tells whether a file is complete: a socket is when it takes connections.
func isUp(ts *testscript.TestScript, info fs.FileInfo, path string) bool {
	if info.Mode().Type() != fs.ModeSocket {
		return true
	}
	conn, err := net.Dial("unix", ts.MkAbs(path))
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// keyof sets a variable to the public key of a certificate: keyof VARIABLE FILE
func keyOf(ts *testscript.TestScript, _ bool, args []string) {
	cert, err := zmqauth.LoadCertificate(ts.MkAbs(args[1]))
	ts.Check(err)
	ts.Setenv(args[0], cert.Public.String())
	if cert.Secret != nil {
		ts.Setenv(args[0]+"_SECRET", cert.Secret.Z85())
	}
}

// formsof sets the variables HEX, BASE64 and URL to other forms of the key in a variable: formsof
// VARIABLE
func formsOf(ts *testscript.TestScript, _ bool, args []string) {
	key, err := zmqauth.ParsePublicKey(ts.Getenv(args[0]))
	ts.Check(err)
	all := forms(key)
	ts.Setenv("HEX", all["hex"])
	ts.Setenv("BASE64", all["base64"])
	ts.Setenv("URL", all["URL base64 without padding"])
}

// since changes a time in a certificate: since FILE NAME TIME sets the metadata NAME.
func since(ts *testscript.TestScript, _ bool, args []string) {
	data, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	var out bytes.Buffer
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(strings.TrimSpace(line), args[1]+" ") {
			line = fmt.Sprintf("    %s = %q\n", args[1], args[2])
		}
		out.WriteString(line)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), out.Bytes(), 0o600))
}
