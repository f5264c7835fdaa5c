package docs

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// walk is a reader's, from an empty folder with a guide alone: its commands and files are used as
// they stand there, but for ports that are taken. The module comes from a proxy that has this
// checkout as the latest version.
type walk struct {
	t     *testing.T
	dir   string
	env   []string
	ports map[string]string // the port for each that the guide has
}

// newWalk makes the folder. ports are those of the guide.
func newWalk(t *testing.T, ports ...string) *walk {
	t.Helper()
	home := t.TempDir()
	w := &walk{t: t, dir: filepath.Join(home, "folder"), ports: make(map[string]string)}
	must.OK(t, os.Mkdir(w.dir, 0o700))
	for _, port := range ports {
		w.ports[port] = freePort(t, port)
	}
	w.env = append(os.Environ(), moduleEnvironment(t)...)
	w.env = append(w.env, "GOBIN="+filepath.Join(home, "bin"),
		"PATH="+filepath.Join(home, "bin")+":"+os.Getenv("PATH"))
	return w
}

// freePort is the port itself, or another one where that is taken.
func freePort(t testing.TB, port string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		return strconv.Itoa(testpeer.FreePort(t))
	}
	must.OK(t, listener.Close())
	return port
}

var portNumber = regexp.MustCompile(`\b[0-9]{4}\b`)

// here is a text of the guide with the ports of this walk.
func (w *walk) here(text string) string {
	return portNumber.ReplaceAllStringFunc(text, func(port string) string {
		if other, ok := w.ports[port]; ok {
			return other
		}
		return port
	})
}

func (w *walk) command(script string) *exec.Cmd {
	command := exec.Command("sh", "-e", "-c", w.here(script))
	command.Dir, command.Env = w.dir, w.env
	return command
}

// run runs commands and returns what they print on standard output. Each of the answers is a line
// that they read.
func (w *walk) run(script string, answers ...string) string {
	w.t.Helper()
	out, said, err := w.try(script, answers...)
	if err != nil {
		w.t.Fatalf("%v\n%s\n%s%s", err, script, out, said)
	}
	return out
}

// try is run for commands that may fail. said is what they print on standard error.
func (w *walk) try(script string, answers ...string) (out, said string, err error) {
	command := w.command(script)
	if len(answers) > 0 {
		command.Stdin = strings.NewReader(strings.Join(answers, "\n") + "\n")
	}
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	err = command.Run()
	return stdout.String(), stderr.String(), err
}

// prints runs commands and compares what they print on standard output.
func (w *walk) prints(script, want string, answers ...string) {
	w.t.Helper()
	if out := w.run(script, answers...); out != want {
		w.t.Errorf("%s prints %q, want %q", script, out, want)
	}
}

// refused runs commands of which the last is a client's, which the server refuses.
func (w *walk) refused(script string, answers ...string) {
	w.t.Helper()
	const denied = "access denied (status 400)" // as the guides say
	if out, said, err := w.try(script, answers...); err == nil || !strings.Contains(said, denied) {
		w.t.Errorf("%v, want %q\n%s\n%s%s", err, denied, script, out, said)
	}
}

// running is what start has started.
type running struct {
	log     logbuffer.Buffer // what it prints
	command *exec.Cmd
}

// start runs commands beside the test and ends them with it.
func (w *walk) start(script string) *running {
	w.t.Helper()
	r := &running{command: w.command(script)}
	r.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // go run has a child
	r.command.Stdout, r.command.Stderr = &r.log, &r.log
	must.OK(w.t, r.command.Start())
	w.t.Cleanup(func() {
		r.signal(syscall.SIGKILL)
		_ = r.command.Wait()
		if w.t.Failed() {
			w.t.Logf("%s said: %s", strings.TrimSpace(script), &r.log)
		}
	})
	return r
}

// signal reaches all the processes. They may have ended.
func (r *running) signal(signal syscall.Signal) { _ = syscall.Kill(-r.command.Process.Pid, signal) }

// write makes a file of the guide, with its directory.
func (w *walk) write(name, text string) {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	must.OK(w.t, os.MkdirAll(filepath.Dir(path), 0o700))
	must.OK(w.t, os.WriteFile(path, []byte(w.here(text)), 0o600))
}

// awaitPort waits until somebody listens on a port of the guide.
func (w *walk) awaitPort(port string) {
	w.t.Helper()
	testpeer.Eventually(w.t, "somebody listens on port "+port, func() bool {
		conn, err := net.Dial("tcp", "localhost:"+w.ports[port])
		if err != nil {
			return false
		}
		_ = conn.Close()
		return true
	})
}
