// Package examples tests the example programs. It runs each as a reader would and compares the
// output.
package examples

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// outputs has the output of each example. Every directory here is an example and has an entry,
// except gssapi, which needs a realm and is tested where there is one.
var outputs = map[string]string{
	"grasslands": `
a client without any credentials: in, it says "hello"
a stranger with NULL: accepted
a stranger with PLAIN: cut off
a stranger with CURVE: cut off
`,
	"strawhouse": `
from 127.0.0.1: in, it says "hello"
from 127.0.0.2: refused
`,
	"woodhouse": `
ann with the right password: in, ann says "hello"
ann with a wrong password: refused
a user nobody knows: refused
`,
	"stonehouse": `
a client with any key: in, it says "hello", its key is its user id
a client that expects another server's key: not in
`,
	"ironhouse": `
a client whose certificate is in the directory: in, ann says "hello"
a client whose certificate is not there: refused
`,
	"curve-callback": `
a key that is not in the database: refused
the same key, now in the database: in, ann says "hello"
`,
	"plain-callback": `
ann with a wrong password: refused
ann with the right password: told to try again while the directory is down, ` +
		`then in, ann says "hello"
`,
	"reactor": `
ann says "hello"
decided: 400 wrong-password
decided: 200 accepted
`,
	"pollloop": `
judged: 400
judged: 200
ann says "hello"
`,
	"roles": `
ann, operator: read: done
ann, operator: write: done
bob, viewer: read: done
bob, viewer: write: not allowed
`,
	"sessions": `
ann is in, at 127.0.0.1
bob is in, at 127.0.0.1
2 sessions
ann is out, at 127.0.0.1
bob, whose connection goes on, says "still here"
`,
	"rpc-tls": `
ann calls: tea for ann
bob calls: tea for bob
a client without a certificate: refused
`,
	"magic-word": `
Ma6ik: welcome, one who knows the word
magic: the server does not like the word
`,
	"zmq-tls": `
a TLS client is let in: "ann"
"hello": "you said hello"
"still there?": "you said still there?"
`,
	"ssh-tunnel": `
first contact: the host key is unknown
through the tunnel: good morning to you
after the connection was lost: good evening to you
`,
	// The last line only: the table before it depends on whether Python is there.
	"demo": "Every outcome is the expected one.",
}

func TestExamples(t *testing.T) {
	programs := t.TempDir()
	build := exec.Command("go", "build", "-o", programs, "./...")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	directories, err := filepath.Glob("*/main.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range directories {
		name := filepath.Dir(file)
		if _, ok := outputs[name]; !ok && name != "gssapi" {
			t.Errorf("the example %s is not tested", name)
		}
	}
	for name, want := range outputs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			program := exec.CommandContext(ctx, filepath.Join(programs, name))
			program.Dir = t.TempDir()
			program.Env = append(os.Environ(), "TMPDIR="+program.Dir)
			var log strings.Builder
			program.Stderr = &log
			out, err := program.Output()
			if err != nil {
				t.Fatalf("%v\n%s%s", err, out, log.String())
			}
			got := string(out)
			right := got == strings.TrimPrefix(want, "\n")
			if name == "demo" {
				right = strings.HasSuffix(got, want+"\n")
			}
			if !right {
				t.Errorf("it prints\n%swant%s", got, want)
			}
			if left, err := os.ReadDir(program.Dir); err != nil || len(left) != 0 {
				t.Errorf("it leaves %v behind, %v", left, err)
			}
		})
	}
}
