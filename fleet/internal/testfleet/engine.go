// Package testfleet runs the engines and servers of a fleet in processes of their own, for tests
// and measurements: the test binary once more. They can be killed and frozen.
package testfleet

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/zmqauth/zmqauth/fleet/natsstore"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// roleVariable tells a process of the test binary what it is.
const roleVariable = "ZMQAUTH_TEST_FLEET_ROLE"

// Main is for TestMain: it runs an engine or servers if this process is one of those, and the tests
// otherwise.
func Main(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case "engine":
		os.Exit(runEngine(os.Args[1]))
	case "servers":
		os.Exit(runServers(os.Args[1]))
	}
	os.Exit(m.Run())
}

// process is one that ends with the test, whatever happens.
type process struct {
	command *exec.Cmd
	input   io.WriteCloser
	output  *bufio.Scanner
	frozen  bool
}

func start(t testing.TB, role, argument string) *process {
	t.Helper()
	self, err := os.Executable()
	must.OK(t, err)
	p := &process{command: exec.Command(self, argument)}
	p.command.Env = append(os.Environ(), roleVariable+"="+role)
	p.command.Stderr = os.Stderr
	p.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.input, err = p.command.StdinPipe()
	must.OK(t, err)
	output, err := p.command.StdoutPipe()
	must.OK(t, err)
	p.output = bufio.NewScanner(output)
	must.OK(t, p.command.Start())
	t.Cleanup(p.kill)
	return p
}

// kill kills and waits.
func (p *process) kill() {
	if p.command.ProcessState == nil {
		_ = p.command.Process.Kill() // it may have ended
		_ = p.command.Wait()         // killed
	}
	p.frozen = false
}

func (p *process) freeze() error {
	p.frozen = true
	return p.command.Process.Signal(syscall.SIGSTOP)
}

func (p *process) thaw() error {
	p.frozen = false
	return p.command.Process.Signal(syscall.SIGCONT)
}

// Engines are one engine, or several that replicate.
type Engines struct {
	testing.TB
	dir   string
	seeds map[string][]byte // nkeys, by users
	list  []*engine
}

type engine struct {
	*process
	config string
	port   int
}

// NewEngines starts engines, with the users "root" (who makes the streams), "admin", and servers of
// those names.
func NewEngines(t testing.TB, count int, servers ...string) *Engines {
	t.Helper()
	e := &Engines{TB: t, dir: t.TempDir(), seeds: make(map[string][]byte)}
	users := []natsstore.User{e.user("root", natsstore.RoleEngine),
		e.user("admin", natsstore.RoleAdministrator)}
	for _, name := range servers {
		users = append(users, e.user(name, natsstore.RoleServer))
	}
	accounts := natsstore.Accounts("", users, false)
	ports := freePorts(t, 2*count)
	var routes []string
	for i := range count {
		routes = append(routes, fmt.Sprintf("\"nats://127.0.0.1:%d\"", ports[count+i]))
	}
	for i := range count {
		text := fmt.Sprintf("server_name: e%d\nlisten: \"127.0.0.1:%d\"\n"+
			"jetstream {store_dir: %q, sync_interval: always}\n%s", i, ports[i],
			filepath.Join(e.dir, fmt.Sprint("store", i)), accounts)
		if count > 1 {
			text += fmt.Sprintf("cluster {name: test, listen: \"127.0.0.1:%d\", routes: [%s]}\n",
				ports[count+i], strings.Join(routes, ", "))
		}
		one := &engine{config: filepath.Join(e.dir, fmt.Sprintf("%d.conf", i)), port: ports[i]}
		must.OK(t, os.WriteFile(one.config, []byte(text), 0o600))
		e.list = append(e.list, one)
	}
	for i := range count {
		e.Start(i)
	}
	_, conn := e.Store("root", -1)
	store, err := natsstore.New(conn, nil)
	must.OK(t, err)
	testpeer.Eventually(t, "the streams are made", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err = store.Create(ctx, count)
		return err == nil
	})
	return e
}

func (e *Engines) user(name string, role natsstore.Role) natsstore.User {
	e.Helper()
	pair, err := nkeys.CreateUser()
	must.OK(e, err)
	public, err := pair.PublicKey()
	must.OK(e, err)
	e.seeds[name], err = pair.Seed()
	must.OK(e, err)
	return natsstore.User{Name: name, Role: role, Nkey: public}
}

// freePorts are ports that nobody uses now.
func freePorts(t testing.TB, count int) (ports []int) {
	t.Helper()
	for len(ports) < count {
		if port := testpeer.FreePort(t); !slices.Contains(ports, port) {
			ports = append(ports, port)
		}
	}
	return ports
}

// Start starts an engine that does not run.
func (e *Engines) Start(i int) {
	e.Helper()
	e.list[i].process = start(e, "engine", e.list[i].config)
	if !e.list[i].output.Scan() {
		e.Fatalf("engine %d does not serve", i)
	}
}

// Kill kills an engine: SIGKILL.
func (e *Engines) Kill(i int) { e.list[i].kill() }

// Freeze stops an engine: SIGSTOP.
func (e *Engines) Freeze(i int) { e.Helper(); must.OK(e, e.list[i].freeze()) }

// Thaw has a frozen engine go on.
func (e *Engines) Thaw(i int) { e.Helper(); must.OK(e, e.list[i].thaw()) }

// IsUp tells whether an engine runs and is not frozen.
func (e *Engines) IsUp(i int) bool {
	return e.list[i].command.ProcessState == nil && !e.list[i].frozen
}

// IsFrozen tells whether an engine is frozen.
func (e *Engines) IsFrozen(i int) bool { return e.list[i].frozen }

// Count is how many engines there are.
func (e *Engines) Count() int { return len(e.list) }

// Leader is the engine that leads the bucket.
func (e *Engines) Leader() (leader int) {
	e.Helper()
	_, conn := e.Store("root", -1)
	defer conn.Close()
	js, err := jetstream.New(conn)
	must.OK(e, err)
	testpeer.Eventually(e, "the bucket has a leader", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		stream, err := js.Stream(ctx, "KV_zmqauth")
		if err != nil || stream.CachedInfo().Cluster == nil {
			return err == nil
		}
		n, err := fmt.Sscanf(stream.CachedInfo().Cluster.Leader, "e%d", &leader)
		return n == 1 && err == nil
	})
	return leader
}

// URL is where the engines are, for nats.Connect. That one comes first; -1: any.
func (e *Engines) URL(first int) string {
	var all []string
	for i, one := range e.list {
		url := fmt.Sprintf("nats://127.0.0.1:%d", one.port)
		if i == first {
			all = append([]string{url}, all...)
			continue
		}
		all = append(all, url)
	}
	return strings.Join(all, ",")
}

// Seed is the secret nkey of a user.
func (e *Engines) Seed(user string) string { return string(e.seeds[user]) }

// Store is the store as a user has it, and its connection.
func (e *Engines) Store(user string, first int) (*natsstore.Store, *nats.Conn) {
	e.Helper()
	conn, err := Connect(e.URL(first), user, e.Seed(user), first >= 0)
	must.OK(e, err)
	e.Cleanup(conn.Close)
	s, err := natsstore.New(conn, &natsstore.Config{Jitter: -1})
	must.OK(e, err)
	return s, conn
}

// Connect connects as a user. inOrder tries the first URL first.
func Connect(url, user, seed string, inOrder bool) (*nats.Conn, error) {
	pair, err := nkeys.FromSeed([]byte(seed))
	if err != nil {
		return nil, err
	}
	public, err := pair.PublicKey()
	if err != nil {
		return nil, err
	}
	options := append(natsstore.Options(user), nats.Nkey(public, pair.Sign),
		nats.IgnoreDiscoveredServers(), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if inOrder {
		options = append(options, nats.DontRandomize())
	}
	return nats.Connect(url, options...)
}

// runEngine is an engine until its input ends.
func runEngine(config string) int {
	o, err := server.ProcessConfigFile(config)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	o.NoSigs, o.NoLog = true, true
	s, err := server.NewServer(o)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	s.Start()
	if !s.ReadyForConnections(time.Minute) {
		return 1
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

// Dir is where an engine keeps what it stores.
func (e *Engines) Dir(i int) string { return filepath.Join(e.dir, fmt.Sprint("store", i)) }

// Used is the processor time that an engine has used since it was started.
func (e *Engines) Used(i int) time.Duration {
	e.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", e.list[i].command.Process.Pid))
	must.OK(e, err)
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	var user, system int64
	_, err = fmt.Sscan(fields[11]+" "+fields[12], &user, &system) // proc(5): the 14th and 15th
	must.OK(e, err)
	const ticks = 100 // a second: USER_HZ
	return time.Duration(user+system) * time.Second / ticks
}
