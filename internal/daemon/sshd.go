//go:build unix

package daemon

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/zmqauth/zmqauth/internal/logbuffer"
)

// SSHD is OpenSSH's server on a loopback port, with keys, a configuration and a PAM of its own. It
// lets in only the user who runs this process. It ignores the machine's SSH files and passwords.
type SSHD struct {
	Dir     string // keys, configuration, authorized_keys, password
	Port    int
	User    string
	HostKey string // the file of the private key; the public one has the suffix .pub
	Log     *logbuffer.Buffer

	pam     string   // the library made by CompilePAM
	process *Process // nil: not running
}

// Password is the user's password, for servers whose configuration allows passwords.
const Password = "correct horse"

//go:embed pam/pam.c
var pamSource []byte

// CompilePAM compiles the library that gives sshd a PAM of its own.
func CompilePAM(library string) error {
	gcc, err := Find("gcc")
	if err != nil {
		return err
	}
	compile := exec.Command(gcc, "-shared", "-fPIC", "-o", library, "-x", "c", "-")
	compile.Stdin = bytes.NewReader(pamSource)
	if out, err := compile.CombinedOutput(); err != nil {
		return fmt.Errorf("gcc: %w\n%s", err, out)
	}
	return nil
}

// StartSSHD starts a server that accepts the key UserKey. It writes the server's files to
// directory. CompilePAM has made the library pam. The lines come first in the configuration, so
// they override the defaults: sshd uses the first value that it finds.
func StartSSHD(directory, pam string, lines ...string) (*SSHD, error) {
	s := &SSHD{
		Dir:     directory,
		HostKey: filepath.Join(directory, "host"),
		Log:     &logbuffer.Buffer{},
		pam:     pam,
	}
	local, err := user.Current()
	if err != nil {
		return nil, err
	}
	s.User = local.Username
	if err := errors.Join(NewKey(s.HostKey), NewKey(s.UserKey())); err != nil {
		return nil, err
	}
	if err := os.Rename(s.UserKey()+".pub", filepath.Join(s.Dir, "authorized_keys")); err != nil {
		return nil, err
	}
	if err := s.configure(lines); err != nil {
		return nil, err
	}
	for range portAttempts {
		if s.Port, err = FreePort(); err == nil {
			err = s.Start()
		}
		if err == nil {
			return s, nil
		}
	}
	return nil, err
}

// NewKey makes a key with ssh-keygen and the arguments args. Its type is Ed25519 unless args have
// another one.
func NewKey(path string, args ...string) error {
	if !slices.Contains(args, "-t") {
		args = append(args, "-t", "ed25519")
	}
	program, err := Find("ssh-keygen")
	if err != nil {
		return err
	}
	args = append([]string{"-q", "-N", "", "-C", "test", "-f", path}, args...)
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ssh-keygen %q: %w\n%s", args, err, out)
	}
	return nil
}

// UserKey is the file of the user's private key.
func (s *SSHD) UserKey() string { return filepath.Join(s.Dir, "user") }

// program returns the absolute path of sshd, which must be started by it.
func (s *SSHD) program() (string, error) { return Find("sshd", "/usr/sbin/sshd") }

// configure writes all files of sshd. The port is not in them: it is on the command line.
func (s *SSHD) configure(lines []string) error {
	program, err := s.program()
	if err != nil {
		return err
	}
	if err := s.configurePAM(); err != nil {
		return err
	}
	if os.Getuid() == 0 { // sshd does not start as root without this directory
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			return err
		}
	}
	config := strings.Join(append(slices.Clone(lines),
		"HostKey "+s.HostKey,
		"PidFile none",
		"AuthorizedKeysFile "+filepath.Join(s.Dir, "authorized_keys"),
		"StrictModes no",
		"PermitRootLogin yes",
		"UsePAM yes",
		"PasswordAuthentication no",
		"KbdInteractiveAuthentication no",
		"UseDNS no",
		"LogLevel VERBOSE",
		"MaxStartups 200",
		"ListenAddress 127.0.0.1",
		""), "\n")
	// Since version 9.8 sshd delays addresses from which logins have failed, as they do in tests.
	// Older versions do not know the option that turns this off.
	path := filepath.Join(s.Dir, "sshd_config")
	if err := os.WriteFile(path, []byte("PerSourcePenalties no\n"+config), 0o600); err != nil {
		return err
	}
	if exec.Command(program, "-t", "-f", path).Run() == nil {
		return nil
	}
	return os.WriteFile(path, []byte(config), 0o600)
}

// configurePAM writes the password and the PAM configuration that checks it.
func (s *SSHD) configurePAM() error {
	password, check := filepath.Join(s.Dir, "password"), filepath.Join(s.Dir, "check")
	pam := filepath.Join(s.Dir, "pam")
	script := "#!/bin/sh\n[ \"$(tr -d '\\000')\" = \"$(cat " + password + ")\" ]\n"
	rules := "auth required pam_exec.so expose_authtok quiet " + check + "\n" +
		"auth required pam_permit.so\n" +
		"account required pam_permit.so\n" +
		"session required pam_permit.so\n"
	return errors.Join(
		os.WriteFile(password, []byte(Password), 0o600),
		os.WriteFile(check, []byte(script), 0o700),
		os.MkdirAll(pam, 0o700),
		os.WriteFile(filepath.Join(pam, "sshd"), []byte(rules), 0o600),
	)
}

// Start starts the server on its port, again after Stop, and returns when it listens.
func (s *SSHD) Start() error {
	program, err := s.program()
	if err != nil {
		return err
	}
	before := len(s.Log.String())
	environment := []string{"LD_PRELOAD=" + s.pam, "TEST_PAM=" + filepath.Join(s.Dir, "pam")}
	s.process, err = Start(s.Log, environment,
		program, "-D", "-e", "-f", filepath.Join(s.Dir, "sshd_config"), "-p", strconv.Itoa(s.Port))
	if err != nil {
		return err
	}
	err = s.process.Await(func() bool {
		return strings.Contains(s.Log.String()[before:], "Server listening on ")
	})
	if err != nil {
		s.process = nil
	}
	return err
}

// Stop kills the server and all its connections, as a crash of the machine would, and returns when
// they are gone.
func (s *SSHD) Stop() error {
	if s.process == nil {
		return nil
	}
	stopped := map[int]bool{}
	for found := true; found; { // until every process is stopped and none can start another
		found = false
		for _, pid := range append(s.Sessions(), s.process.PID) {
			if !stopped[pid] {
				found, stopped[pid] = true, true
				_ = syscall.Kill(pid, syscall.SIGSTOP)
				awaitHalt(pid)
			}
		}
	}
	for pid := range stopped {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	err := s.process.Stop()
	s.process = nil
	return err
}

// Sessions returns the ids of all processes that descend from the running server.
func (s *SSHD) Sessions() []int {
	children := map[int][]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, stat := range stats {
		child, _ := strconv.Atoi(filepath.Base(filepath.Dir(stat)))
		if _, parent, err := processState(child); err == nil {
			children[parent] = append(children[parent], child)
		}
	}
	var all []int
	for queue := []int{s.process.PID}; len(queue) > 0; queue = queue[1:] {
		all = append(all, children[queue[0]]...)
		queue = append(queue, children[queue[0]]...)
	}
	return all
}

// awaitHalt returns when a process that has got SIGSTOP has stopped or is gone. The signal does not
// take effect at once: the process may be starting another one.
func awaitHalt(pid int) {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if state, _, err := processState(pid); err != nil || strings.Contains("TtZX", state) {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// processState returns the state of a process (proc(5)) and its parent. It is an error if the
// process is gone.
func processState(pid int) (state string, parent int, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", 0, err
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	parent, err = strconv.Atoi(fields[1])
	return fields[0], parent, err
}

// Name is the name of the server in known_hosts.
func (s *SSHD) Name() string { return fmt.Sprintf("[127.0.0.1]:%d", s.Port) }

// KnownHosts writes a known_hosts file with the server's key.
func (s *SSHD) KnownHosts(path string) error {
	key, err := os.ReadFile(s.HostKey + ".pub")
	if err != nil {
		return err
	}
	return os.WriteFile(path, []byte(s.Name()+" "+string(key)), 0o600)
}

// Forward starts OpenSSH's client with -L. The client listens at the path socket and forwards
// connections through the server to address.
func (s *SSHD) Forward(socket, address string, options ...string) (*Process, error) {
	program, err := Find("ssh")
	if err != nil {
		return nil, err
	}
	known := socket + ".known_hosts"
	if err := s.KnownHosts(known); err != nil {
		return nil, err
	}
	args := append([]string{
		"-F", "none",
		"-N",
		"-i", s.UserKey(),
		"-o", "IdentitiesOnly=yes",
		"-o", "UserKnownHostsFile=" + known,
		"-p", strconv.Itoa(s.Port),
		"-L", socket + ":" + address,
	}, options...)
	p, err := Start(&logbuffer.Buffer{}, nil, program, append(args, s.User+"@127.0.0.1")...)
	if err != nil {
		return nil, err
	}
	return p, p.Await(func() bool { return accepts("unix", socket) })
}
