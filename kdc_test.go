package zmqauth

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// realm is a throwaway Kerberos realm: MIT's KDC on a loopback port, its database, and a keytab and tickets for all its
// principals, as files in one directory. It needs no root.
type realm struct {
	dir string
	kdc *exec.Cmd // nil: not running
	// The KDC lives as long as this is open: it ends with the process that started it, however that ends.
	lifeline *os.File
}

const (
	realmName = "ZMQAUTH.TEST"
	// The host-based form is what libzmq's options take by way of zmq4, the full principal what Kerberos makes of it.
	service   = "zmq@localhost"
	ann       = "ann@client"
	bob       = "bob@client"
	annFull   = "ann/client@" + realmName
	bobFull   = "bob/client@" + realmName
	carolFull = "carol@" + realmName // who connects with an empty principal: the default of the credential cache
)

// realmVariable tells a test binary that it runs in the environment of the realm in that directory.
const realmVariable = "ZMQAUTH_TEST_REALM"

// inRealm runs test in the calling test's name, in a process of its own: libkrb5 takes its configuration from the
// environment, whenever it likes. In this process it waits for that one, and reports what it said if it fails.
func inRealm(t *testing.T, test func(*realm)) {
	t.Helper()
	if dir := os.Getenv(realmVariable); dir != "" {
		test(newRealm(t, dir))
		return
	}
	t.Parallel()
	kerberosTool(t, "krb5kdc")
	dir := t.TempDir()
	self, err := os.Executable()
	must(t, err)
	// Most of what these tests do is wait: for data that must not come.
	command := exec.CommandContext(t.Context(), self, "-test.run=^"+t.Name()+"$", "-test.v", "-test.parallel=16", "-test.timeout=1m")
	command.Env = append(realmEnvironment(dir), realmVariable+"="+dir)
	output, err := command.CombinedOutput()
	if err != nil || !strings.Contains(string(output), "--- PASS: "+t.Name()+" ") {
		t.Fatalf("in the realm's environment: %v\n%s", err, output)
	}
}

// realmEnvironment is the environment of a process that takes part in the realm.
func realmEnvironment(dir string) []string {
	return append(os.Environ(),
		"KRB5_CONFIG="+filepath.Join(dir, "krb5.conf"),
		"KRB5_KDC_PROFILE="+filepath.Join(dir, "kdc.conf"),
		// One keytab for servers and clients: libzmq asks for credentials to accept and to initiate with, for both.
		"KRB5_KTNAME=FILE:"+filepath.Join(dir, "keytab"),
		"KRB5_CLIENT_KTNAME=FILE:"+filepath.Join(dir, "keytab"),
		"KRB5CCNAME=DIR:"+filepath.Join(dir, "tickets"), // several identities in one process
		"KRB5RCACHENAME=none:",                          // the replay cache would be one file for all realms
	)
}

func kerberosTool(t testing.TB, name string) string {
	t.Helper()
	for _, candidate := range []string{name, "/usr/sbin/" + name} {
		if path, err := exec.LookPath(candidate); err == nil {
			return path
		}
	}
	testpeer.Missing(t, "MIT Kerberos", "krb5-kdc krb5-admin-server krb5-user")
	return ""
}

// newRealm makes a realm in dir and starts its KDC, for as long as the test lasts.
func newRealm(t testing.TB, dir string) *realm {
	t.Helper()
	r := &realm{dir: dir}
	must(t, os.Mkdir(filepath.Join(dir, "tickets"), 0o700))
	r.startKDC(t)
	t.Cleanup(func() { r.stopKDC(t) })
	for _, principal := range []string{"zmq/localhost", "ann/client", "bob/client", "carol"} {
		r.run(t, "kadmin.local", "addprinc", "-randkey", principal)
		r.run(t, "kadmin.local", "ktadd", "-norandkey", "-k", filepath.Join(dir, "keytab"), principal)
		r.run(t, "kinit", "-k", "-t", filepath.Join(dir, "keytab"), principal) // the last one is the cache's default
	}
	return r
}

// run runs a Kerberos tool in the realm's environment.
func (r *realm) run(t testing.TB, tool string, args ...string) {
	t.Helper()
	command := exec.Command(kerberosTool(t, tool), args...)
	command.Env = realmEnvironment(r.dir)
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v\n%s", tool, args, err, output)
	}
}

// startKDC starts the KDC: the first time on a port that the kernel chooses, then on the same.
func (r *realm) startKDC(t testing.TB) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(r.dir, "principal")); err == nil {
		must(t, r.launchKDC(t))
		return
	}
	var err error
	for range 5 { // somebody else may take the port before the KDC does
		r.configure(t)
		if _, err := os.Stat(filepath.Join(r.dir, "principal")); err != nil {
			r.run(t, "kdb5_util", "create", "-s", "-r", realmName, "-P", "of no use", "-W")
		}
		if err = r.launchKDC(t); err == nil {
			return
		}
	}
	t.Fatal(err)
}

// configure writes the realm's configuration, for a free port.
func (r *realm) configure(t testing.TB) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, listener.Close())
	for name, text := range map[string]string{"krb5.conf": `[libdefaults]
	default_realm = REALM
	dns_lookup_kdc = false
	dns_canonicalize_hostname = false
	rdns = false
	udp_preference_limit = 1
[realms]
	REALM = {
		kdc = ADDRESS
	}
`, "kdc.conf": `[kdcdefaults]
	kdc_listen = ""
	kdc_tcp_listen = ADDRESS
[realms]
	REALM = {
		database_name = DIR/principal
		key_stash_file = DIR/stash
		acl_file = DIR/acl
	}
[logging]
	kdc = STDERR
`} {
		text = strings.NewReplacer("REALM", realmName, "ADDRESS", listener.Addr().String(), "DIR", r.dir).Replace(text)
		must(t, os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600))
	}
}

// launchKDC returns once the KDC serves, or has ended.
func (r *realm) launchKDC(t testing.TB) error {
	t.Helper()
	read, write, err := os.Pipe()
	must(t, err)
	defer func() { _ = read.Close() }()
	kdc := exec.Command("sh", "-c", `"$0" -n & exec 2>/dev/null; read _; kill $!; wait`, kerberosTool(t, "krb5kdc"))
	kdc.Env, kdc.Stdin = realmEnvironment(r.dir), read
	log, err := kdc.StderrPipe()
	must(t, err)
	must(t, kdc.Start())
	r.kdc, r.lifeline = kdc, write
	var said strings.Builder
	for lines := bufio.NewScanner(log); lines.Scan(); fmt.Fprintln(&said, lines.Text()) {
		if strings.Contains(lines.Text(), "commencing operation") {
			go func() { _, _ = io.Copy(io.Discard, log) }() // so that it never waits for a reader
			return nil
		}
	}
	r.stopKDC(t)
	return fmt.Errorf("the KDC does not start: %s", &said)
}

// stopKDC returns once the KDC is gone.
func (r *realm) stopKDC(t testing.TB) {
	t.Helper()
	if r.kdc == nil {
		return
	}
	must(t, r.lifeline.Close())
	_ = r.kdc.Wait() // the status of a process that has been killed
	r.kdc = nil
}
