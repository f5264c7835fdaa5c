package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode"

	"github.com/creack/pty"
	"github.com/pebbe/zmq4"
	"golang.org/x/sys/unix"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// terminal is a program that runs on a pseudo-terminal.
type terminal struct {
	t    testing.TB
	cmd  *exec.Cmd
	user *os.File // the end where the test types and reads
	tty  *os.File // the end of the program

	mu     sync.Mutex
	screen strings.Builder
	closed chan struct{}
}

// onTerminal runs the program with all of its input and output on a terminal.
func onTerminal(t testing.TB, dir string, args ...string) *terminal {
	t.Helper()
	user, tty, err := pty.Open()
	must.OK(t, err)
	term := &terminal{
		t:      t,
		cmd:    exec.Command(binary, args...),
		user:   user,
		tty:    tty,
		closed: make(chan struct{}),
	}
	term.cmd.Dir = dir
	term.cmd.Stdin, term.cmd.Stdout, term.cmd.Stderr = tty, tty, tty
	term.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	must.OK(t, term.cmd.Start())
	go func() {
		defer close(term.closed)
		_, _ = io.Copy(term, user)
	}()
	t.Cleanup(func() {
		_ = term.cmd.Process.Kill()
		_, _ = tty.Close(), user.Close()
		<-term.closed
	})
	return term
}

// Write keeps what the program writes.
func (t *terminal) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.screen.Write(p)
}

func (t *terminal) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.screen.String()
}

// answer waits for a prompt and until the terminal does not echo, and then types text.
func (t *terminal) answer(prompt, text string) {
	t.t.Helper()
	testpeer.Eventually(t.t, "it asks "+prompt, func() bool {
		return strings.HasSuffix(t.text(), prompt) && !t.echoes()
	})
	_, err := t.user.WriteString(text)
	must.OK(t.t, err)
}

// waitFor waits until the program has written a text.
func (t *terminal) waitFor(text string) {
	t.t.Helper()
	testpeer.Eventually(t.t, "it writes "+text, func() bool {
		return strings.Contains(t.text(), text)
	})
}

// echoes tells whether the terminal shows what is typed.
func (t *terminal) echoes() bool {
	t.t.Helper()
	state, err := unix.IoctlGetTermios(int(t.tty.Fd()), unix.TCGETS)
	must.OK(t.t, err)
	return state.Lflag&unix.ECHO != 0
}

// exit waits for the end and checks the exit code.
func (t *terminal) exit(want int) {
	t.t.Helper()
	done := make(chan error, 1)
	go func() { done <- t.cmd.Wait() }()
	select {
	case err := <-done:
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.t.Fatal(err)
		}
		if got := t.cmd.ProcessState.ExitCode(); got != want {
			t.t.Errorf("exit code %d, want %d:\n%s", got, want, t.text())
		}
	case <-time.After(patience):
		t.t.Fatalf("it does not end:\n%s", t.text())
	}
	if !t.echoes() {
		t.t.Error("the terminal is left without echo")
	}
}

func TestPasswdOnTerminal(t *testing.T) {
	const secret = "correct horse"
	t.Run("asks twice", func(t *testing.T) {
		dir := t.TempDir()
		term := onTerminal(t, dir, "passwd", "users", "ann")
		term.answer("Password of ann: ", secret+"\n")
		term.answer("Again: ", secret+"\n")
		term.exit(0)
		if strings.Contains(term.text(), secret) {
			t.Errorf("the terminal shows the password: %q", term.text())
		}
		command := exec.Command(binary, "check", "--config", "policy.zpl", "--mechanism", "plain",
			"--domain", "a", "--address", "1.1.1.1", "--username", "ann")
		command.Dir = dir
		command.Stdin = strings.NewReader(secret)
		policy := []byte("domain = a\n    plain = users\n")
		must.OK(t, os.WriteFile(filepath.Join(dir, "policy.zpl"), policy, 0o600))
		if out, err := command.CombinedOutput(); err != nil {
			t.Errorf("the password is another: %v\n%s", err, out)
		}
	})
	for name, test := range map[string]struct {
		answers []string
		says    string
	}{
		"two different ones": {[]string{secret + "\n", "battery staple\n"}, "not the same"},
		"nothing":            {[]string{"\n", "\n"}, "1 to 255 bytes"},
		"an interrupt":       {[]string{secret + "\x03"}, "interrupted"},
		"a late interrupt":   {[]string{secret + "\n", "\x03"}, "interrupted"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			term := onTerminal(t, dir, "passwd", "users", "ann")
			for i, answer := range test.answers {
				term.answer([]string{"Password of ann: ", "Again: "}[i], answer)
			}
			term.exit(1)
			term.waitFor(test.says)
			if strings.Contains(term.text(), secret) {
				t.Errorf("the terminal shows the password: %q", term.text())
			}
			if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
				t.Errorf("it leaves %v behind, %v", entries, err)
			}
		})
	}
}

// TestColours: problems are red on a terminal, unless NO_COLOR is set or the terminal is dumb.
func TestColours(t *testing.T) {
	dir := t.TempDir()
	must.OK(t, os.WriteFile(filepath.Join(dir, "broken.key"), nil, 0o600))
	for name, test := range map[string]struct {
		env  []string
		want bool
	}{
		"a terminal":      {[]string{"TERM=xterm", "NO_COLOR="}, true},
		"NO_COLOR":        {[]string{"TERM=xterm", "NO_COLOR=1"}, false},
		"a dumb terminal": {[]string{"TERM=dumb", "NO_COLOR="}, false},
	} {
		t.Run(name, func(t *testing.T) {
			for _, env := range test.env {
				variable, value, _ := strings.Cut(env, "=")
				t.Setenv(variable, value)
			}
			term := onTerminal(t, dir, "list", ".")
			term.exit(1)
			term.waitFor("no certificate")
			if got := strings.Contains(term.text(), "\x1b[31mno certificate"); got != test.want {
				t.Errorf("red: %v\n%q", got, term.text())
			}
		})
	}
}

// TestProbeColours: only mechanisms that let a stranger in are red.
func TestProbeColours(t *testing.T) {
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")
	server := testzmq.NewSocket(t, testzmq.NewContext(t), zmq4.ROUTER)
	term := onTerminal(t, t.TempDir(), "probe", bindLocal(t, server))
	term.exit(1)
	term.waitFor("a stranger gets in")
	text := term.text()
	if !strings.Contains(text, "\x1b[31maccepted\x1b[0m") || strings.Count(text, "\x1b[31m") != 1 {
		t.Errorf("%q", text)
	}
}

// TestHostileNames: the names of files, keys and users cannot control a terminal.
func TestHostileNames(t *testing.T) {
	dir := t.TempDir()
	must.OK(t, os.WriteFile(filepath.Join(dir, "\x1b]0;title\x07\n.key"), nil, 0o600))
	users := []byte("\x1b[2J=x\n\x1b[2J\n")
	must.OK(t, os.WriteFile(filepath.Join(dir, "hostile"), users, 0o600))
	for _, args := range [][]string{
		{"passwd", "--list", "hostile"},
		{"passwd", "--list", "hostile", "--json"},
		{"check", "--config", "x", "--mechanism", "curve", "--domain", "a", "--address", "1.1.1.1",
			"--key", "\x1b[2J"},
		{"list", "."},
		{"show", "\x1b]0;title\x07"},
		{"passwd", "users", "\x1b[2J"},
		{"keygen", "\x1b[2J", "--dir", "nowhere"},
		{"\x1b[2J"},
	} {
		command := exec.Command(binary, args...)
		command.Dir = dir
		out, err := command.CombinedOutput()
		if err == nil || strings.ContainsAny(string(out), "\x1b\x07") {
			t.Errorf("%q: %v, %q", args, err, out)
		}
	}
}

// TestHostileMetadata: the metadata of a certificate cannot control a terminal, not even as JSON,
// which has all of it nevertheless.
func TestHostileMetadata(t *testing.T) {
	dir := t.TempDir()
	const hostile = "a\u009b2J\u202eb\U000e0001c" // CSI without an escape, right to left, a tag
	run := func(args ...string) []byte {
		command := exec.Command(binary, args...)
		command.Dir = dir
		out, err := command.Output()
		must.OK(t, err)
		return out
	}
	certificate := "metadata\n    Role = \"" + hostile + "\"\n" +
		"curve\n    public-key = \"rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7\"\n"
	must.OK(t, os.WriteFile(filepath.Join(dir, "a.key"), []byte(certificate), 0o600))
	isControl := func(c rune) bool { return c != '\n' && !unicode.IsPrint(c) }
	for _, args := range [][]string{
		{"show", "a.key"}, {"show", "a.key", "--json"}, {"list", "."}, {"list", ".", "--json"},
	} {
		if out := string(run(args...)); strings.ContainsFunc(out, isControl) {
			t.Errorf("%q: %q", args, out)
		}
	}
	var shown certificateInfo
	must.OK(t, json.Unmarshal(run("show", "a.key", "--json"), &shown))
	if shown.Metadata["Role"] != hostile {
		t.Errorf("%q", shown.Metadata["Role"])
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(jsonWriter{&log}, nil)).Info("refused", "user", hostile)
	var line map[string]string
	err := json.Unmarshal(log.Bytes(), &line)
	if err != nil || line["user"] != hostile ||
		strings.ContainsAny(log.String(), "\u009b\u202e\U000e0001") {
		t.Errorf("the log: %v, %q", err, log.String())
	}
}

// TestPasswdAtOnce: no change is lost when many processes change a file at the same time.
func TestPasswdAtOnce(t *testing.T) {
	dir := t.TempDir()
	const users = 20
	var work sync.WaitGroup
	for i := range users {
		work.Go(func() {
			command := exec.Command(binary, "passwd", "users", fmt.Sprintf("user%d", i))
			command.Dir = dir
			command.Stdin = strings.NewReader("secret\n")
			if out, err := command.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	work.Wait()
	data, err := os.ReadFile(filepath.Join(dir, "users"))
	must.OK(t, err)
	for i := range users {
		if lineOf(data, fmt.Sprintf("user%d", i)) == 0 {
			t.Errorf("user%d is lost", i)
		}
	}
	if lines := strings.Count(string(data), "\n"); lines != users {
		t.Errorf("%d lines", lines)
	}
}
