package privatedir

import (
	"bufio"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// listening listens at a path until its input ends.
const listening = `
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen(5)
print("listening", flush=True)
sys.stdin.read()
`

// TestCheckServer: a server of another user counts where the path leads through directories of that
// user and of root alone, and nobody else can write them.
func TestCheckServer(t *testing.T) {
	const service, other = 4242, 4243
	python := testpeer.Program(t, "python3", "/usr/bin/python3", "python3")
	for name, test := range map[string]struct {
		above, dir         int // who owns them
		aboveMode, dirMode fs.FileMode
		want               string
	}{
		"its own directory": {0, service, 0o755, 0o710, ""},
		"below its own":     {service, service, 0o755, 0o710, ""},
		"this user's": {os.Geteuid(), 0, 0o755, 0o777 | os.ModeSticky,
			"nor the owner"},
		"below another user's":            {other, service, 0o755, 0o710, "may not be the one"},
		"the group writes":                {0, service, 0o755, 0o770, "others can write"},
		"the group writes above":          {service, service, 0o775, 0o710, "others can write"},
		"others rename in the one above":  {0, service, 0o777, 0o710, "may not be the one"},
		"others cannot rename what it is": {0, service, 0o777 | os.ModeSticky, 0o710, ""},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			must.OK(t, os.Chmod(filepath.Dir(root), 0o755))
			above := filepath.Join(root, "run")
			dir := filepath.Join(above, "zap")
			must.OK(t, os.MkdirAll(dir, 0o755))
			testpeer.GiveAway(t, above, test.above, test.above)
			testpeer.GiveAway(t, dir, test.dir, test.dir)
			must.OK(t, errors.Join(os.Chmod(above, test.aboveMode), os.Chmod(dir, test.dirMode)))
			path := filepath.Join(dir, "s")
			cmd := exec.Command(python, "-c", listening, path)
			cmd.SysProcAttr = &syscall.SysProcAttr{
				Credential: &syscall.Credential{Uid: service, Gid: service}}
			cmd.Dir, cmd.Stderr = "/", os.Stderr
			stdin, err := cmd.StdinPipe()
			must.OK(t, err)
			stdout, err := cmd.StdoutPipe()
			must.OK(t, err)
			must.OK(t, cmd.Start())
			defer func() { must.OK(t, errors.Join(stdin.Close(), cmd.Wait())) }()
			_, err = bufio.NewReader(stdout).ReadString('\n')
			must.OK(t, err)
			conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
			must.OK(t, err)
			defer conn.Close()
			err = CheckServer(conn, path)
			if (err == nil) != (test.want == "") ||
				err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}
