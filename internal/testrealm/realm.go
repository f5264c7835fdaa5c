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

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// Realm is a throwaway Kerberos realm: MIT's KDC on a loopback port, its database, and a keytab and
// tickets for all its principals. All its files are in one directory. It needs no root.
type Realm struct {
	Dir string
	kdc *exec.Cmd // nil: not running
	// lifeline is the KDC's standard input. The KDC ends when it is closed; the system closes it at
	// the latest when this process ends, however that happens.
	lifeline *os.File
}

// The name of every realm, and its principals. libzmq's options take the host-based form through
// zmq4. Kerberos turns it into the full principal.
const (
	Name    = "ZMQAUTH.TEST"
	Service = "zmq@localhost"
	Ann     = "ann@client"
	Bob     = "bob@client"
	AnnFull = "ann/client@" + Name
	BobFull = "bob/client@" + Name
	// CarolFull is the principal of a client that names none. It is the default of the credential
	// cache.
	CarolFull = "carol@" + Name
)

// dirVariable is the environment variable that gives a test binary the directory of its realm.
const dirVariable = "ZMQAUTH_TEST_REALM"

// Run runs test as the calling test, in a process of its own, because libkrb5 may read its
// configuration from the environment at any time. This process waits for that one and reports its
// output if it fails. The args are added to the command line of the other process.
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
		// These tests spend most of their time waiting for data that must not come.
		command.Args = append(append(command.Args, "-test.parallel=16"), args...)
	})
}

// Environment returns the environment for a process that uses the realm in dir.
func Environment(dir string) []string {
	return append(os.Environ(),
		"KRB5_CONFIG="+filepath.Join(dir, "krb5.conf"),
		"KRB5_KDC_PROFILE="+filepath.Join(dir, "kdc.conf"),
		// Servers and clients have one keytab, because libzmq asks for credentials to accept and to
		// initiate with in both.
		"KRB5_KTNAME=FILE:"+filepath.Join(dir, "keytab"),
		"KRB5_CLIENT_KTNAME=FILE:"+filepath.Join(dir, "keytab"),
		"KRB5CCNAME=DIR:"+filepath.Join(dir, "tickets"), // for several identities in one process
		"KRB5RCACHENAME=none:",                          // all realms would share one replay cache
	)
}

// tool returns the path of a Kerberos program.
func tool(t testing.TB, name string) string {
	t.Helper()
	return testpeer.Program(t, "krb5-kdc krb5-admin-server krb5-user", name, "/usr/sbin/"+name)
}

// New makes a realm in dir and starts its KDC. The KDC ends with the test.
func New(t testing.TB, dir string) *Realm {
	t.Helper()
	r := &Realm{Dir: dir}
	must.OK(t, os.Mkdir(filepath.Join(dir, "tickets"), 0o700))
	r.StartKDC(t)
	t.Cleanup(func() { r.StopKDC(t) })
	for _, principal := range []string{"zmq/localhost", "ann/client", "bob/client", "carol"} {
		r.Run(t, "kadmin.local", "addprinc", "-randkey", principal)
		r.Run(t, "kadmin.local", "ktadd", "-norandkey", "-k", filepath.Join(dir, "keytab"), principal)
		// The last principal becomes the default of the credential cache.
		r.Run(t, "kinit", "-k", "-t", filepath.Join(dir, "keytab"), principal)
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

// StartKDC starts the KDC. The kernel chooses its port at the first start; later starts use the
// same port.
func (r *Realm) StartKDC(t testing.TB) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(r.Dir, "principal")); err == nil {
		must.OK(t, r.launchKDC(t))
		return
	}
	var err error
	for range 5 { // another process may take the port before the KDC does
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

// configurations are the realm's files by their names, with REALM, ADDRESS and DIR to be replaced.
func configurations() map[string]string {
	return map[string]string{"krb5.conf": `[libdefaults]
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
`}
}

// configure writes the realm's configuration, with a free port.
func (r *Realm) configure(t testing.TB) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must.OK(t, err)
	must.OK(t, listener.Close())
	address := listener.Addr().String()
	replacer := strings.NewReplacer("REALM", Name, "ADDRESS", address, "DIR", r.Dir)
	for name, text := range configurations() {
		path := filepath.Join(r.Dir, name)
		must.OK(t, os.WriteFile(path, []byte(replacer.Replace(text)), 0o600))
	}
}

// underLifeline is a shell script. It starts the KDC "$0" and kills it when standard input ends.
const underLifeline = `"$0" -n & exec 2>/dev/null; read _; kill $!; wait`

// launchKDC starts the KDC and returns when it serves. If the KDC ends before that, launchKDC
// returns an error with its log.
func (r *Realm) launchKDC(t testing.TB) error {
	t.Helper()
	read, write, err := os.Pipe()
	must.OK(t, err)
	defer func() { _ = read.Close() }()
	kdc := exec.Command("sh", "-c", underLifeline, tool(t, "krb5kdc"))
	kdc.Env, kdc.Stdin = Environment(r.Dir), read
	log, err := kdc.StderrPipe()
	must.OK(t, err)
	must.OK(t, kdc.Start())
	r.kdc, r.lifeline = kdc, write
	var said strings.Builder
	for lines := bufio.NewScanner(log); lines.Scan(); fmt.Fprintln(&said, lines.Text()) {
		if strings.Contains(lines.Text(), "commencing operation") {
			// The KDC would block if nobody read its log.
			go func() { _, _ = io.Copy(io.Discard, log) }()
			return nil
		}
	}
	r.StopKDC(t)
	return fmt.Errorf("the KDC does not start: %s", &said)
}

// StopKDC kills the KDC and returns when it is gone.
func (r *Realm) StopKDC(t testing.TB) {
	t.Helper()
	if r.kdc == nil {
		return
	}
	must.OK(t, r.lifeline.Close())
	_ = r.kdc.Wait() // the status of a process that has been killed
	r.kdc = nil
}
