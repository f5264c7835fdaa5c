package sshtunnel

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
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

// sshd is OpenSSH's server on a loopback port, with keys and a configuration of its own. As root it runs in a mount
// namespace with users and a PAM of its own, so that passwords can be tested and no account of the machine is touched; else it
// lets in the user who runs the tests, by key alone.
type sshd struct {
	dir     string // keys, configuration, authorized_keys
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

// namespaced tells whether sshd can have users of its own.
var namespaced = sync.OnceValue(func() bool {
	return os.Getuid() == 0 && exec.Command("unshare", "--mount", "mount", "-t", "tmpfs", "none", "/run").Run() == nil
})

// needPasswords ends a test for which sshd must have users of its own.
func needPasswords(t testing.TB) {
	t.Helper()
	if !namespaced() {
		if os.Getenv("CI") != "" {
			t.Fatal("sshd cannot have users of its own: root and the right to mount (CAP_SYS_ADMIN) are needed; CI must have them")
		}
		t.Skip("sshd cannot have users of its own: root and the right to mount (CAP_SYS_ADMIN) are needed")
	}
}

// newSSHD starts a server that logs in whoever has the key made by newKey(t, dir/"user"). Lines are added to its configuration
// before the others, where the first of a kind counts.
func newSSHD(t testing.TB, lines ...string) *sshd {
	t.Helper()
	local, _ := localUser()
	s := &sshd{dir: t.TempDir(), user: local, log: &logBuffer{}}
	if namespaced() {
		s.user = "root"
	}
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

// configure writes all of sshd's files but the port, which is on its command line.
func (s *sshd) configure(t testing.TB, lines []string) {
	t.Helper()
	config := strings.Join(append(slices.Clone(lines),
		"HostKey "+s.hostKey, "PidFile none", "AuthorizedKeysFile "+filepath.Join(s.dir, "authorized_keys"), "StrictModes no",
		"PermitRootLogin yes", "UsePAM no", "PasswordAuthentication no", "KbdInteractiveAuthentication no",
		"UseDNS no", "LogLevel VERBOSE", "MaxStartups 200", "ListenAddress 127.0.0.1", ""), "\n")
	// From 9.8 on sshd makes addresses wait that have failed to log in, as these tests do.
	path := filepath.Join(s.dir, "sshd_config")
	write(t, path, "PerSourcePenalties no\n"+config)
	if s.sshdCommand(t, "-t", "-f", path).Run() != nil {
		write(t, path, config)
	}
	for name, text := range map[string]string{
		"passwd":   "root:x:0:0::/:/bin/sh\nsshd:x:102:65534::/run/sshd:/usr/sbin/nologin\n",
		"shadow":   "root:" + hashedWith(t, thePassword) + ":19000::::::\n",
		"nsswitch": "passwd: files\nshadow: files\ngroup: files\nhosts: files\n",
	} {
		write(t, filepath.Join(s.dir, name), text)
	}
	must(t, os.MkdirAll(filepath.Join(s.dir, "pam.d"), 0o755))
	write(t, filepath.Join(s.dir, "pam.d", "sshd"),
		"auth required pam_unix.so nodelay\naccount required pam_permit.so\nsession required pam_permit.so\n")
}

// hashedWith is a password as /etc/shadow has it.
func hashedWith(t testing.TB, password string) string {
	t.Helper()
	if !namespaced() {
		return "*"
	}
	out, err := exec.Command(testpeer.Program(t, "openssl", "openssl"), "passwd", "-6", password).Output()
	must(t, err)
	return strings.TrimSpace(string(out))
}

// inNamespace gives the machine another face for the command that follows it: $0 is the directory with the files.
const inNamespace = `set -e
mount -t tmpfs none /run && mkdir -p /run/sshd
for file in passwd shadow; do mount --bind "$0/$file" /etc/$file; done
mount --bind "$0/nsswitch" /etc/nsswitch.conf
mount --bind "$0/pam.d" /etc/pam.d
`

// underLifeline runs what "$@" is until its standard input ends.
const underLifeline = `"$@" & echo "pid $!" >&2; exec 2>/dev/null; read _ || :; kill $! 2>/dev/null; wait`

func (s *sshd) sshdCommand(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	program := testpeer.Program(t, install, "sshd", "/usr/sbin/sshd") // sshd wants to be called by its whole path
	args = append([]string{program}, args...)
	if namespaced() {
		return exec.Command("unshare", append([]string{"--mount", "sh", "-c", inNamespace + `"$@"`, s.dir}, args...)...)
	}
	if os.Getuid() == 0 { // where sshd insists on it
		must(t, os.MkdirAll("/run/sshd", 0o755))
	}
	return exec.Command(args[0], args[1:]...)
}

// start returns when sshd listens.
func (s *sshd) start(t testing.TB) error {
	t.Helper()
	command := s.sshdCommand(t, "-D", "-e", "-f", filepath.Join(s.dir, "sshd_config"), "-p", strconv.Itoa(s.port))
	if namespaced() {
		for i, arg := range command.Args {
			if strings.HasPrefix(arg, inNamespace) {
				command.Args[i] = inNamespace + underLifeline
			}
		}
	} else {
		command = exec.Command("sh", append([]string{"-c", underLifeline, s.dir}, command.Args...)...)
	}
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
			go func() { _, _ = io.Copy(s.log, said) }() // what has come already is not missed: nobody looks for it
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
	if s.pid != 0 && syscall.Kill(s.pid, syscall.SIGSTOP) == nil { // no new ones from now on
		for _, pid := range append(descendants(s.pid), s.pid) {
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
