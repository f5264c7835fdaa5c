package docs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
	"github.com/zmqauth/zmqauth/zapproxy"
)

// language says how the program of a language is run. Its command gets the directory with the
// program, and runs there.
type language struct {
	heading, info string
	build         []string // nil: nothing to build
	run           []string
	install       string
}

// small are the languages whose bindings go test runs.
var small = []language{
	{"Python", "python", nil, []string{"/usr/bin/python3", "server.py"}, "python3-zmq"},
	{"C", "c", []string{"cc", "-Wall", "-Werror", "-o", "server", "server.c", "-lzmq",
		"-lpthread"}, []string{"./server"}, "gcc libzmq3-dev"},
	{"C++ with cppzmq", "cpp", []string{"c++", "-Wall", "-Werror", "-o", "server", "server.cpp",
		"-lzmq", "-lpthread"}, []string{"./server"}, "g++ cppzmq-dev"},
	{"Ruby", "ruby", nil, []string{"ruby", "server.rb"}, "ruby-ffi-rzmq"},
	{"PHP", "php", nil, []string{"php", "server.php"}, "php-zmq"},
	{"Perl", "perl", nil, []string{"perl", "server.pl"}, "libzmq-ffi-perl"},
}

// walkLanguages runs the programs of small, and passes over the others: make languages runs those.
func walkLanguages(t *testing.T, r *reader) {
	page := *r.page
	for _, l := range small {
		t.Run(l.heading, func(t *testing.T) {
			if _, err := exec.LookPath(l.run[0]); err != nil && !strings.HasPrefix(l.run[0], ".") {
				testpeer.Without(t, l.info, err) // Debian testing has no php-zmq
				t.Skipf("%v: install %s", err, l.install)
			}
			l.walk(t, &page)
		})
	}
	r.next = len(r.page.blocks)
}

// TestLanguagesHaveAProgram: nothing on the page is left out: each block is one of small or of big,
// or a fragment of Go.
func TestLanguagesHaveAProgram(t *testing.T) {
	known := make(map[string]bool)
	for _, l := range append(small, big...) {
		known[l.heading+" "+l.info] = true
	}
	for _, b := range readPage(t, "docs/languages.md").blocks {
		if !b.isFragment() && !known[b.heading+" "+b.info] {
			t.Errorf("line %d: nothing runs this block", b.line)
		}
		delete(known, b.heading+" "+b.info)
	}
	for name := range known {
		t.Errorf("the page has no program for %s", name)
	}
}

// big are the languages whose compilers are large: make languages runs them.
var big = []language{
	{"Java", "java", []string{"javac", "-cp", "/usr/share/java/jzmq.jar", "Server.java"},
		[]string{"java", "-Djava.library.path=/usr/lib/jni:/usr/lib/x86_64-linux-gnu/jni:" +
			"/usr/lib/aarch64-linux-gnu/jni", "-cp", "/usr/share/java/jzmq.jar:.", "Server"},
		"default-jdk-headless libzmq-java"},
	{"Rust", "rust", []string{"sh", "-c", cargo}, []string{"target/debug/server"},
		"cargo librust-zmq-dev"},
	{"Haskell", "haskell", []string{"ghc", "-threaded", "server.hs"}, []string{"./server"},
		"ghc libghc-zeromq4-haskell-dev"},
}

// cargo builds a program with Debian's crates alone.
const cargo = `mkdir -p .cargo
cat > .cargo/config.toml <<END
[source.crates-io]
replace-with = "debian"
[source.debian]
directory = "/usr/share/cargo/registry"
END
cat > Cargo.toml <<END
[package]
name = "server"
version = "0.1.0"
edition = "2021"
[[bin]]
name = "server"
path = "server.rs"
[dependencies]
zmq = "0.9"
END
cargo build --offline`

// walk runs the program of the page as a server whose clients a service decides about. The service
// goes and comes.
func (l language) walk(t *testing.T, page *page) {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "lang") // the path of a socket is short
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, os.RemoveAll(dir)) })
	link, at := "ipc://"+dir+"/zap/zap.sock", fmt.Sprint("tcp://127.0.0.1:", testpeer.FreePort(t))
	l.write(t, page, dir, link, at)
	if l.build != nil {
		build := exec.Command(testpeer.Program(t, l.install, l.build[0]), l.build[1:]...)
		build.Dir = dir
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	program := l.run[0]
	if !strings.Contains(program, "/") {
		program = testpeer.Program(t, l.install, program)
	}
	server := exec.Command(program, l.run[1:]...)
	var log logbuffer.Buffer
	server.Dir, server.Stdout, server.Stderr = dir, &log, &log
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must.OK(t, server.Start())
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()
	defer func() {
		_ = server.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("the program said: %s", &log)
		}
	}()

	auth, err := zmqauth.New(nil, &zmqauth.Config{Logger: slog.New(slog.DiscardHandler)})
	must.OK(t, err)
	defer auth.Close()
	must.OK(t, auth.ConfigurePlain("orders", map[string]string{"ann": "a password"}))
	for range 2 { // the second time after it was away
		ctx, stop := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- zapproxy.Serve(ctx, auth, link) }()
		testpeer.Eventually(t, l.heading+": the client is let in", func() bool {
			select {
			case err := <-ended:
				ended <- err
				t.Fatalf("the program has ended: %v\n%s", err, &log)
			default:
			}
			return connectPlain(t, at, "a password", 500*time.Millisecond) == nil
		})
		if err := connectPlain(t, at, "a guess", 20*time.Second); !errors.Is(err, zmqauth.ErrDenied) {
			t.Errorf("with a wrong password: %v", err)
		}
		stop()
		must.OK(t, <-served)
		if connectPlain(t, at, "a password", 300*time.Millisecond) == nil {
			t.Error("let in, without the service")
		}
	}
}

// programName is a name between backquotes, with a capital perhaps.
var programName = regexp.MustCompile(`[Ss]erver\.[a-z]+`)

// write writes the program of the page, with other endpoints.
func (l language) write(t *testing.T, page *page, dir, link, at string) {
	t.Helper()
	for _, b := range page.blocks {
		if b.heading == l.heading && b.info == l.info {
			name := programName.FindString(b.intro)
			text := strings.Replace(b.text, "ipc:///run/zmqauth-serve/zap/zap.sock", link, 1)
			text = strings.Replace(text, "tcp://127.0.0.1:5555", at, 1)
			must.OK(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
			return
		}
	}
	t.Fatalf("no block of %s below %s", l.info, l.heading)
}

func connectPlain(t *testing.T, at, password string, patience time.Duration) error {
	t.Helper()
	s := testzmq.NewSocket(t, testzmq.NewContext(t), zmq4.DEALER)
	defer s.Close()
	must.OK(t, zmqauth.PlainClient(s, "ann", password))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return zmqauth.Connect(ctx, s, at)
}
