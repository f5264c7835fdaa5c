// Package testrealm makes throwaway Kerberos realms for tests. Tests alone use it.
package testrealm

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

// Realm is a throwaway Kerberos realm: MIT's KDC on a loopback port, its database, and a keytab and
// tickets for all its principals, as files in one directory. It needs no root.
type Realm struct {
	Dir string
	kdc *exec.Cmd // nil: not running
	// The KDC lives as long as this is open: it ends with the process that started it, however that
	// ends.
	lifeline *os.File
}

// The principals of every realm. The host-based form is what libzmq's options take by way of zmq4,
// the full principal what Kerberos makes of it.
const (
	Name      = "ZMQAUTH.TEST"
	Service   = "zmq@localhost"
	Ann       = "ann@client"
	Bob       = "bob@client"
	AnnFull   = "ann/client@" + Name
	BobFull   = "bob/client@" + Name
	CarolFull = "carol@" + Name // who connects with an empty principal: the default of the credential cache
)

// dirVariable tells a test binary that it runs in the environment of the realm in that directory.
const dirVariable = "ZMQAUTH_TEST_REALM"

// Run runs test in the calling test's name, in a process of its own: libkrb5 takes its
// configuration from the environment, whenever it likes. In this process it waits for that one, and
// reports what it said if it fails. args are added to the other process's command line.
func Run(t *testing.T, test func(*Realm), args ...string) {
	t.Helper()
	if dir := os.Getenv(dirVariable); dir != "" {
		test(New(t, dir))
		return
	}
	t.Parallel()
	tool(t, "krb5kdc")
	dir := t.TempDir()
	testpeer.Child(t, func(command *exec.Cmd) {
		command.Env = append(Environment(dir), dirVariable+"="+dir)
		// Most of what these tests do is wait: for data that must not come.
		command.Args = append(append(command.Args, "-test.parallel=16"), args...)
	})
}

// Environment is the environment of a process that takes part in the realm in that directory.
func Environment(dir string) []string {
	return append(os.Environ(),
		"KRB5_CONFIG="+filepath.Join(dir, "krb5.conf"),
		"KRB5_KDC_PROFILE="+filepath.Join(dir, "kdc.conf"),
		// One keytab for servers and clients: libzmq asks for credentials to accept and to initiate with,
		// for both.
		"KRB5_KTNAME=FILE:"+filepath.Join(dir, "keytab"),
		"KRB5_CLIENT_KTNAME=FILE:"+filepath.Join(dir, "keytab"),
		"KRB5CCNAME=DIR:"+filepath.Join(dir, "tickets"), // several identities in one process
		"KRB5RCACHENAME=none:",                          // the replay cache would be one file for all realms
	)
}

// tool is the path of a Kerberos program.
func tool(t testing.TB, name string) string {
	t.Helper()
	return testpeer.Program(t, "krb5-kdc krb5-admin-server krb5-user", name, "/usr/sbin/"+name)
}

// New makes a realm in dir and starts its KDC, for as long as the test lasts.
func New(t testing.TB, dir string) *Realm {
	t.Helper()
	r := &Realm{Dir: dir}
	must(t, os.Mkdir(filepath.Join(dir, "tickets"), 0o700))
	r.StartKDC(t)
	t.Cleanup(func() { r.StopKDC(t) })
	for _, principal := range []string{"zmq/localhost", "ann/client", "bob/client", "carol"} {
		r.Run(t, "kadmin.local", "addprinc", "-randkey", principal)
		r.Run(t, "kadmin.local", "ktadd", "-norandkey", "-k", filepath.Join(dir, "keytab"), principal)
		r.Run(t, "kinit", "-k", "-t", filepath.Join(dir, "keytab"), principal) // the last one is the cache's default
	}
	return r
}

// Run runs a Kerberos tool in the realm's environment.
func (r *Realm) Run(t testing.TB, name string, args ...string) {
	t.Helper()
	command := exec.Command(tool(t, name), args...)
	command.Env = Environment(r.Dir)
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, output)
	}
}

// StartKDC starts the KDC: the first time on a port that the kernel chooses, then on the same.
func (r *Realm) StartKDC(t testing.TB) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(r.Dir, "principal")); err == nil {
		must(t, r.launchKDC(t))
		return
	}
	var err error
	for range 5 { // somebody else may take the port before the KDC does
		r.configure(t)
		if _, err := os.Stat(filepath.Join(r.Dir, "principal")); err != nil {
			r.Run(t, "kdb5_util", "create", "-s", "-r", Name, "-P", "of no use", "-W")
		}
		if err = r.launchKDC(t); err == nil {
			return
		}
	}
	t.Fatal(err)
}

// configure writes the realm's configuration, for a free port.
func (r *Realm) configure(t testing.TB) {
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
		text = strings.NewReplacer("REALM", Name, "ADDRESS", listener.Addr().String(), "DIR", r.Dir).Replace(text)
		must(t, os.WriteFile(filepath.Join(r.Dir, name), []byte(text), 0o600))
	}
}

// launchKDC returns once the KDC serves, or has ended.
func (r *Realm) launchKDC(t testing.TB) error {
	t.Helper()
	read, write, err := os.Pipe()
	must(t, err)
	defer func() { _ = read.Close() }()
	kdc := exec.Command("sh", "-c", `"$0" -n & exec 2>/dev/null; read _; kill $!; wait`, tool(t, "krb5kdc"))
	kdc.Env, kdc.Stdin = Environment(r.Dir), read
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
	r.StopKDC(t)
	return fmt.Errorf("the KDC does not start: %s", &said)
}

// StopKDC returns once the KDC is gone.
func (r *Realm) StopKDC(t testing.TB) {
	t.Helper()
	if r.kdc == nil {
		return
	}
	must(t, r.lifeline.Close())
	_ = r.kdc.Wait() // the status of a process that has been killed
	r.kdc = nil
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
