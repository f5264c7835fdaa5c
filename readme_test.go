package zmqauth

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/zmqauth/zmqauth/internal/testpeer"
	"golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"
)

// TestReadmeWalk is a newcomer's: from an empty folder with the README alone to a CURVE server that lets one client in. It runs
// the commands of the guide, and builds its files, as they stand there, but for the port where that is taken.
func TestReadmeWalk(t *testing.T) {
	walk := newWalk(t, "## A CURVE server in five minutes", "127.0.0.1:5555")
	commands := walk.commands(4) // prepare, serve, ask, revoke
	walk.run(commands[0])
	walk.writeFiles(2)
	walk.start(commands[1])
	testpeer.Eventually(t, "the server listens", walk.listens)
	if out := walk.run(commands[2]); out != "hello operator\n" {
		t.Errorf("the client says %q", out)
	}
	revoke := commands[3]
	if !strings.Contains(revoke, "\ngo run ./client\n") {
		t.Fatalf("the guide ends with %q", revoke)
	}
	walk.run(strings.Replace(revoke, "go run ./client\n", "", 1))
	testpeer.Eventually(t, "the client is refused, with the reason", func() bool {
		out, err := walk.command("go run ./client").CombinedOutput()
		return err != nil && strings.Contains(string(out), "access denied (status 400)")
	})
}

// TestReadmeTLS takes the walk of the guide to TLS, in the same way.
func TestReadmeTLS(t *testing.T) {
	walk := newWalk(t, "### TLS", "localhost:7000")
	walk.run("go mod init example.org/tls && go get github.com/zmqauth/zmqauth@latest && mkdir tlsserver tlsclient")
	walk.run(walk.commands(1)[0])
	walk.writeFiles(2)
	walk.start("go run ./tlsserver")
	testpeer.Eventually(t, "the server listens", walk.listens)
	if out := walk.run("go run ./tlsclient"); out != "hello ann\n" {
		t.Errorf("the client says %q", out)
	}
}

// TestReadmePeers: what the README says of other handlers is what the tests have on record.
func TestReadmePeers(t *testing.T) {
	record, err := os.ReadFile("zaptest/testdata/peers.md")
	must(t, err)
	if !strings.Contains(readmeSection(t, "## Is a ZAP handler right? `zaptest`"), string(record)) {
		t.Error("the table in the README is not zaptest/testdata/peers.md")
	}
}

// readmeSection is the text of one section of the README.
func readmeSection(t *testing.T, heading string) string {
	t.Helper()
	readme, err := os.ReadFile("README.md")
	must(t, err)
	_, section, found := strings.Cut(string(readme), "\n"+heading+"\n")
	if !found {
		t.Fatalf("the README has no section %q", heading)
	}
	level, _, _ := strings.Cut(heading, " ")
	for ; len(level) > 1; level = level[1:] {
		section, _, _ = strings.Cut(section, "\n"+level+" ")
	}
	return section
}

// readmeWalk is a guide of the README, an empty folder, and a module proxy that has this checkout as the latest version.
type readmeWalk struct {
	t       *testing.T
	guide   string
	dir     string
	env     []string
	written string // the address in the guide
	address string // that the programs use
}

func newWalk(t *testing.T, heading, address string) *readmeWalk {
	t.Helper()
	home := t.TempDir()
	goEnv := func(name string) string {
		out, err := exec.Command("go", "env", name).Output()
		must(t, err)
		return strings.TrimSpace(string(out))
	}
	downloaded := "file://" + filepath.Join(goEnv("GOMODCACHE"), "cache/download")
	w := &readmeWalk{t: t, guide: readmeSection(t, heading), dir: filepath.Join(home, "orders"), written: address, address: freeAddress(t, address)}
	must(t, os.Mkdir(w.dir, 0o700))
	w.env = append(os.Environ(),
		"GOPROXY="+checkoutProxy(t)+","+downloaded+","+goEnv("GOPROXY"),
		"GONOSUMDB=github.com/zmqauth/zmqauth", // no checksum database knows this checkout
		"GOPATH="+filepath.Join(home, "go"), "GOBIN="+filepath.Join(home, "go/bin"), "GOFLAGS=-modcacherw -trimpath",
		"PATH="+filepath.Join(home, "go/bin")+":"+os.Getenv("PATH"))
	return w
}

func (w *readmeWalk) command(script string) *exec.Cmd {
	command := exec.Command("sh", "-e", "-c", script)
	command.Dir, command.Env = w.dir, w.env
	return command
}

// run runs commands and returns what they print on standard output.
func (w *readmeWalk) run(script string) string {
	w.t.Helper()
	command := w.command(script)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		w.t.Fatalf("%v\n%s\n%s%s", err, script, out, stderr.Bytes())
	}
	return string(out)
}

// start runs commands beside the test, and ends them with it.
func (w *readmeWalk) start(script string) {
	w.t.Helper()
	command := w.command(script)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // go run has a child
	var out bytes.Buffer
	command.Stdout, command.Stderr = &out, &out
	must(w.t, command.Start())
	w.t.Cleanup(func() {
		must(w.t, syscall.Kill(-command.Process.Pid, syscall.SIGKILL))
		_ = command.Wait()
		if w.t.Failed() {
			w.t.Logf("the server said: %s", out.String())
		}
	})
}

// commands are the guide's blocks of commands.
func (w *readmeWalk) commands(want int) []string {
	w.t.Helper()
	var commands []string
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(w.guide, -1) {
		commands = append(commands, block[1])
	}
	if len(commands) != want {
		w.t.Fatalf("%d blocks of commands in the guide, want %d", len(commands), want)
	}
	return commands
}

// writeFiles writes the guide's whole programs, under the names that it gives them.
func (w *readmeWalk) writeFiles(want int) {
	w.t.Helper()
	files := regexp.MustCompile("(?s)`([a-z]+/main.go)`[^`]*?\n\n```go\n(package main\n.*?)```").FindAllStringSubmatch(w.guide, -1)
	if len(files) != want {
		w.t.Fatalf("%d programs in the guide, want %d", len(files), want)
	}
	for _, file := range files {
		must(w.t, os.WriteFile(filepath.Join(w.dir, file[1]), []byte(strings.ReplaceAll(file[2], w.written, w.address)), 0o600))
	}
}

func (w *readmeWalk) listens() bool {
	conn, err := net.Dial("tcp", w.address)
	if err == nil {
		_ = conn.Close()
	}
	return err == nil
}

// freeAddress is the address itself, or one with another port where that is taken.
func freeAddress(t *testing.T, address string) string {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		listener, err = net.Listen("tcp", "127.0.0.1:0")
	}
	must(t, err)
	must(t, listener.Close())
	host, _, err := net.SplitHostPort(address)
	must(t, err)
	_, port, err := net.SplitHostPort(listener.Addr().String())
	must(t, err)
	return net.JoinHostPort(host, port)
}

// checkoutProxy is a module proxy in a directory, with this checkout as the one version of the module.
func checkoutProxy(t *testing.T) (url string) {
	t.Helper()
	version := module.Version{Path: "github.com/zmqauth/zmqauth", Version: "v0.0.1"}
	root := t.TempDir()
	dir := filepath.Join(root, version.Path, "@v")
	must(t, os.MkdirAll(dir, 0o700))
	write := func(name string, content []byte) { must(t, os.WriteFile(filepath.Join(dir, name), content, 0o600)) }
	mod, err := os.ReadFile("go.mod")
	must(t, err)
	var archive bytes.Buffer
	must(t, modzip.CreateFromDir(&archive, version, "."))
	write("list", []byte(version.Version+"\n"))
	write(version.Version+".info", fmt.Appendf(nil, `{"Version":%q,"Time":"2026-01-01T00:00:00Z"}`, version.Version))
	write(version.Version+".mod", mod)
	write(version.Version+".zip", archive.Bytes())
	return "file://" + root
}

// readmePreamble declares what the fragments of code in the README take for granted.
const readmePreamble = `package main

import (
	"context"
	"crypto/subtle"
	"errors"
	"io"
	"log"
	"net"
	"testing"

	"github.com/pebbe/zmq4"
	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/sshtunnel"
	"github.com/zmqauth/zmqauth/stream"
	"github.com/zmqauth/zmqauth/zaptest"
)

// All of them are used, whatever the fragments are.
var (
	_ = subtle.ConstantTimeCompare
	_ = errors.New
	_ = io.ReadFull
	_ = log.Print
	_ net.Conn
	_ stream.Server
	_ sshtunnel.Config
	_ zaptest.Handler
)

func startMyHandler(t *testing.T) *zmq4.Context { return nil }

var key []byte

type account struct{ Role string }

type accounts struct{}

func (accounts) Check(ctx context.Context, name, password string) (*account, error) { return nil, nil }

func check(err error) {}

func main() {}
`

// TestReadmeFragments compiles each fragment of code in the README that is no whole program.
func TestReadmeFragments(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	must(t, err)
	source := readmePreamble
	fragments := 0
	for _, block := range regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(readme), -1) {
		if strings.HasPrefix(block[1], "package main") {
			continue
		}
		fragments++
		if strings.HasPrefix(block[1], "func ") {
			source += "\n" + block[1]
			continue
		}
		source += fmt.Sprintf("\nfunc fragment%d(ctx context.Context, t *testing.T, auth *zmqauth.Authenticator, socket *zmq4.Socket, database accounts, password string) {\n%s}\n", fragments, block[1])
	}
	if fragments < 8 {
		t.Fatalf("%d fragments found", fragments)
	}
	dir := t.TempDir()
	file, overlay := filepath.Join(dir, "main.go"), filepath.Join(dir, "overlay.json")
	must(t, os.WriteFile(file, []byte(source), 0o600))
	here, err := filepath.Abs("readmefragments/main.go") // as if it were there: within the module
	must(t, err)
	must(t, os.WriteFile(overlay, fmt.Appendf(nil, `{"Replace": {%q: %q}}`, here, file), 0o600))
	out, err := exec.Command("go", "build", "-gcflags=-e", "-overlay", overlay, "-o", os.DevNull, "./readmefragments").CombinedOutput()
	if err == nil {
		return
	}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		if !strings.HasPrefix(line, "#") && !strings.Contains(line, "declared and not used") {
			t.Error(line)
		}
	}
}
