//go:build linux

package main

import (
	bits "encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zmqauth/zmqauth/internal/must"
)

// TestUnits: systemd understands the units of docs/systemd, and finds little that they expose.
// Their commands have the flags that the units give them.
func TestUnits(t *testing.T) {
	const limit = 2.0
	units, err := filepath.Glob("../../docs/systemd/*.service")
	must.OK(t, err)
	if len(units) != 2 {
		t.Fatal(units)
	}
	for _, unit := range units {
		text, err := os.ReadFile(unit)
		must.OK(t, err)
		here := filepath.Join(t.TempDir(), filepath.Base(unit)) // with a program that is there
		must.OK(t, os.WriteFile(here,
			[]byte(strings.ReplaceAll(string(text), "/usr/bin/zmqauth ", binary+" ")), 0o600))
		out, err := exec.Command("systemd-analyze", "verify", "--man=no", here).CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", unit, err, out)
		}
		out, err = exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager",
			here).Output()
		must.OK(t, err)
		found := regexp.MustCompile(`Overall exposure level for .*: ([0-9.]+) `).FindSubmatch(out)
		if found == nil {
			t.Fatalf("%s", out)
		}
		exposed, err := strconv.ParseFloat(string(found[1]), 64)
		if must.OK(t, err); exposed >= limit {
			t.Errorf("%s: exposure %.1f, want less than %.1f\n%s", unit, exposed, limit, out)
		}
		lines := regexp.MustCompile(`(?m)^Exec(?:Start|Reload)=/usr/bin/zmqauth (.*)$`)
		commands := lines.FindAllStringSubmatch(string(text), -1)
		if len(commands) != 2 {
			t.Errorf("%s: %d commands", unit, len(commands))
		}
		for _, line := range commands {
			args := strings.Fields(line[1])
			cmd, _, err := newRoot().Find(args)
			must.OK(t, err)
			must.OK(t, cmd.ParseFlags(args[1:]))
		}
	}
}

// aclFor is an access control list (linux/posix_acl_xattr.h) as systemd gives a credential to a
// user: its owner and that user may read.
func aclFor(uid uint32) []byte {
	const nobody = ^uint32(0)
	list := bits.LittleEndian.AppendUint32(nil, 2)
	for _, e := range []struct {
		tag, permission uint16
		id              uint32
	}{{1, 4, nobody}, {2, 4, uid}, {4, 0, nobody}, {0x10, 4, nobody}, {0x20, 0, nobody}} {
		list = bits.LittleEndian.AppendUint16(list, e.tag)
		list = bits.LittleEndian.AppendUint16(list, e.permission)
		list = bits.LittleEndian.AppendUint32(list, e.id)
	}
	return list
}

// TestCredential: a secret key that systemd has put into $CREDENTIALS_DIRECTORY is trusted, in both
// ways in which systemd does that: the file is the service's user's (mode 0400), or root's with an
// access control list for that user. A list for somebody else is a fault.
func TestCredential(t *testing.T) {
	dir, err := os.MkdirTemp("", "credential")
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, os.RemoveAll(dir)) })
	must.OK(t, os.Chmod(dir, 0o755)) // #nosec G302 -- the other user has to get at it
	user := uint32(os.Getuid())
	if user == 0 {
		user = 61234 // as DynamicUser has them
	}
	program := filepath.Join(dir, "zmqauth")
	must.OK(t, os.Link(binary, program))
	identity(t, dir, "server")
	secret := filepath.Join(dir, "server.key_secret")
	policy := filepath.Join(dir, "zmqauth.zpl")
	must.OK(t, os.WriteFile(policy, []byte("domain = d\n    curve = \"*\"\n"+
		frontendConfig("d", "router", "tcp://127.0.0.1:*", "tcp://127.0.0.1:9", "curve",
			"certificate = "+secret)), 0o644)) // #nosec G306 -- there is no secret in it
	check := func() string {
		cmd := exec.Command(program, "check", "--config", policy)
		if os.Getuid() == 0 {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{
				Uid: user, Gid: user}}
		}
		out, err := cmd.CombinedOutput()
		if err != nil {
			return string(out)
		}
		return ""
	}
	must.OK(t, os.Chmod(secret, 0o400))
	if os.Getuid() == 0 {
		if check() == "" {
			t.Error("a file that only root can read was read")
		}
		must.OK(t, os.Chown(secret, int(user), 0))
	}
	if out := check(); out != "" {
		t.Errorf("the user's own: %s", out)
	}
	if os.Getuid() == 0 {
		must.OK(t, os.Chown(secret, 0, 0))
	}
	must.OK(t, unix.Setxattr(secret, "system.posix_acl_access", aclFor(user), 0))
	if out := check(); out != "" {
		t.Errorf("by a list: %s", out)
	}
	must.OK(t, os.Chown(secret, int(user), 0))
	must.OK(t, unix.Setxattr(secret, "system.posix_acl_access", aclFor(user+1), 0))
	if out := check(); !strings.Contains(out, "read it, and it holds a secret: setfacl -x u:") {
		t.Errorf("a list for somebody else: %q", out)
	}
}
