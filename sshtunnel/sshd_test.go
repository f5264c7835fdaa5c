package sshtunnel

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// sshd is OpenSSH's server on a loopback port, with keys, a configuration and a PAM of its own. It lets in the user who runs
// the tests, and none of the machine's files or accounts matter to it.
type sshd struct {
	dir     string // keys, configuration, authorized_keys, password
	port    int
	user    string
	hostKey string // the file of the private key; the public one is beside it
	log     *logBuffer

	command  *exec.Cmd // nil: not running
	lifeline *os.File  // sshd ends when this is closed, which the end of this process does too
	pid      int
}

// thePassword is that of sshd's user, where there are passwords.
const thePassword = "correct horse"

const install = "openssh-server openssh-client"

// privatePAM is the library that gives sshd a PAM of its own, compiled once for all tests that need it.
var privatePAM struct {
	once    sync.Once
	library string // "": not compiled
	err     error
}

func compilePAM() (library string, err error) {
	privatePAM.once.Do(func() {
		var dir string
		if dir, privatePAM.err = os.MkdirTemp("", "pam"); privatePAM.err != nil {
			return
		}
		privatePAM.library = filepath.Join(dir, "pam.so")
		out, err := exec.Command("gcc", "-shared", "-fPIC", "-o", privatePAM.library, "testdata/pam.c").CombinedOutput()
		if err != nil {
			privatePAM.err = fmt.Errorf("gcc: %w\n%s", err, out)
		}
	})
	return privatePAM.library, privatePAM.err
}

func TestMain(m *testing.M) {
	// What the runtime opens at the first connection is not something that the first test leaves behind.
	if listener, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		_ = listener.Close()
	}
	status := m.Run()
	if privatePAM.library != "" {
		_ = os.RemoveAll(filepath.Dir(privatePAM.library))
	}
	os.Exit(status)
}

// newSSHD starts a server that logs in whoever has the key made by newKey(t, dir/"user"). Lines are added to its configuration
// before the others, where the first of a kind counts.
func newSSHD(t testing.TB, lines ...string) *sshd {
	t.Helper()
	local, _ := localUser()
	s := &sshd{dir: t.TempDir(), user: local, log: &logBuffer{}}
	s.hostKey = newKey(t, filepath.Join(s.dir, "host"))
	newKey(t, filepath.Join(s.dir, "user"))
	must(t, os.Rename(filepath.Join(s.dir, "user.pub"), filepath.Join(s.dir, "authorized_keys")))
	s.configure(t, lines)
	var err error
	for range 5 { // somebody else may take the port before sshd does
		s.port = freePort(t)
		if err = s.start(t); err == nil {
			break
		}
	}
	must(t, err)
	t.Cleanup(func() {
		s.stop(t)
		if t.Failed() {
			t.Logf("sshd said:\n%s", s.log)
		}
	})
	return s
}

// key is the private key of the user who is let in.
func (s *sshd) key() string { return filepath.Join(s.dir, "user") }

// configure writes all of sshd's files; the port is on its command line.
func (s *sshd) configure(t testing.TB, lines []string) {
	t.Helper()
	config := strings.Join(append(slices.Clone(lines),
		"HostKey "+s.hostKey, "PidFile none", "AuthorizedKeysFile "+filepath.Join(s.dir, "authorized_keys"), "StrictModes no",
		"PermitRootLogin yes", "UsePAM yes", "PasswordAuthentication no", "KbdInteractiveAuthentication no",
		"UseDNS no", "LogLevel VERBOSE", "MaxStartups 200", "ListenAddress 127.0.0.1", ""), "\n")
	password := filepath.Join(s.dir, "password")
	write(t, password, thePassword)
	check := filepath.Join(s.dir, "check")
	write(t, check, "#!/bin/sh\n[ \"$(tr -d '\\000')\" = \"$(cat "+password+")\" ]\n")
	must(t, os.Chmod(check, 0o700))
	must(t, os.MkdirAll(filepath.Join(s.dir, "pam"), 0o700))
	write(t, filepath.Join(s.dir, "pam", "sshd"), "auth required pam_exec.so expose_authtok quiet "+check+
		"\nauth required pam_permit.so\naccount required pam_permit.so\nsession required pam_permit.so\n")
	if os.Getuid() == 0 { // where sshd insists on it
		must(t, os.MkdirAll("/run/sshd", 0o755))
	}
	// From 9.8 on sshd makes addresses wait that have failed to log in, as these tests do.
	path := filepath.Join(s.dir, "sshd_config")
	write(t, path, "PerSourcePenalties no\n"+config)
	if exec.Command(s.program(t), "-t", "-f", path).Run() != nil {
		write(t, path, config)
	}
}

// program is sshd's whole path, by which it wants to be called.
func (s *sshd) program(t testing.TB) string {
	t.Helper()
	return testpeer.Program(t, install, "sshd", "/usr/sbin/sshd")
}

// underLifeline runs what "$@" is until its standard input ends.
const underLifeline = `"$@" & echo "pid $!" >&2; exec 2>/dev/null; read _; kill $! 2>/dev/null; wait`

// start returns when sshd listens.
func (s *sshd) start(t testing.TB) error {
	t.Helper()
	library, err := compilePAM()
	if err != nil {
		testpeer.Missing(t, err.Error(), "gcc libc6-dev")
	}
	command := exec.Command("sh", "-c", underLifeline, "sshd", s.program(t), "-D", "-e", "-f", filepath.Join(s.dir, "sshd_config"),
		"-p", strconv.Itoa(s.port))
	command.Env = append(os.Environ(), "LD_PRELOAD="+library, "TEST_PAM="+filepath.Join(s.dir, "pam"))
	read, write, err := os.Pipe()
	must(t, err)
	defer read.Close()
	command.Stdin = read
	said, err := command.StderrPipe()
	must(t, err)
	must(t, command.Start())
	s.command, s.lifeline = command, write
	lines := bufio.NewScanner(said)
	for lines.Scan() {
		fmt.Fprintln(s.log, lines.Text())
		if pid, ok := strings.CutPrefix(lines.Text(), "pid "); ok {
			s.pid, err = strconv.Atoi(pid)
			must(t, err)
		}
		if strings.HasPrefix(lines.Text(), "Server listening on") {
			go func() {
				for lines.Scan() {
					fmt.Fprintln(s.log, lines.Text())
				}
			}()
			return nil
		}
	}
	s.stop(t)
	return fmt.Errorf("sshd does not start: %s", s.log)
}

// stop kills sshd and all its connections, as a crash of the machine would, and returns when they are gone.
func (s *sshd) stop(t testing.TB) {
	t.Helper()
	if s.command == nil {
		return
	}
	if s.pid != 0 {
		stopped := map[int]bool{}
		for found := true; found; { // until none of them can start another one
			found = false
			for _, pid := range append(descendants(s.pid), s.pid) {
				if !stopped[pid] {
					found, stopped[pid] = true, true
					_ = syscall.Kill(pid, syscall.SIGSTOP)
				}
			}
		}
		for pid := range stopped {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	must(t, s.lifeline.Close())
	_ = s.command.Wait() // the status of a process that has been killed
	s.command, s.pid = nil, 0
}

// descendants are the processes that pid has started, and those that they have.
func descendants(pid int) []int {
	children := map[int][]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, stat := range stats {
		text, err := os.ReadFile(stat)
		if err != nil {
			continue // gone
		}
		child, _ := strconv.Atoi(filepath.Base(filepath.Dir(stat)))
		fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:]) // state, parent
		parent, _ := strconv.Atoi(string(fields[1]))
		children[parent] = append(children[parent], child)
	}
	var all []int
	for queue := []int{pid}; len(queue) > 0; queue = queue[1:] {
		all = append(all, children[queue[0]]...)
		queue = append(queue, children[queue[0]]...)
	}
	return all
}

// knownHosts is a file with the server's key.
func (s *sshd) knownHosts(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "known_hosts")
	write(t, path, s.knownLine(t))
	return path
}

// name is the server's in known_hosts.
func (s *sshd) name() string { return fmt.Sprintf("[127.0.0.1]:%d", s.port) }

func (s *sshd) knownLine(t testing.TB) string {
	t.Helper()
	return s.name() + " " + readText(t, s.hostKey+".pub")
}

// logged makes sure that sshd has logged the text so many times, and not more. It may take a while to come through.
func (s *sshd) logged(t testing.TB, text string, times int) {
	t.Helper()
	testpeer.Eventually(t, fmt.Sprintf("sshd logs %q %d times", text, times), func() bool { return strings.Count(s.log.String(), text) >= times })
	if got := strings.Count(s.log.String(), text); got != times {
		t.Errorf("sshd has logged %q %d times, want %d", text, got, times)
	}
}

// config logs in to the server with its user's key.
func (s *sshd) config(t testing.TB) Config {
	t.Helper()
	return Config{
		Host: "127.0.0.1", Port: s.port, User: s.user, KeyFile: s.key(), KnownHosts: s.knownHosts(t), ConfigFile: "none",
		Agent: "none", Logger: testLogger(t),
	}
}

// newKey makes a key with ssh-keygen, and returns the private key's path.
func newKey(t testing.TB, path string, args ...string) string {
	t.Helper()
	keygen(t, append([]string{"-q", "-N", "", "-C", "test", "-f", path}, args...)...)
	return path
}

func keygen(t testing.TB, args ...string) {
	t.Helper()
	if !slices.Contains(args, "-t") && slices.Contains(args, "-N") && !slices.Contains(args, "-p") {
		args = append(args, "-t", "ed25519")
	}
	if out, err := exec.Command(testpeer.Program(t, install, "ssh-keygen"), args...).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen %q: %v\n%s", args, err, out)
	}
}

func freePort(t testing.TB) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, listener.Close())
	return listener.Addr().(*net.TCPAddr).Port
}
