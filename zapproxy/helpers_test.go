package zapproxy_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
	"github.com/zmqauth/zmqauth/zapproxy"
)

// serviceVariable has the endpoint of the service that this binary is when it is set.
const serviceVariable = "ZMQAUTH_TEST_SERVICE"

func TestMain(m *testing.M) {
	if at := os.Getenv(serviceVariable); at != "" {
		if err := beService(at); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if _, err := newHandler(); err != nil { // it makes zmq4's default context, which stays
		panic(err)
	}
	os.Exit(m.Run())
}

// The rules of every service of these tests: ann has this password, and the certificate below.
const (
	user     = "ann"
	password = "a password"
)

// annsCertificate is the same in every process.
func annsCertificate() *zmqauth.Certificate { return fixedCertificate(1) }

func fixedCertificate(seed byte) *zmqauth.Certificate {
	var secret zmqauth.SecretKey
	for i := range secret {
		secret[i] = seed + byte(i)
	}
	return &zmqauth.Certificate{Public: secret.Public(), Secret: &secret}
}

// newHandler is a handler with those rules.
func newHandler() (*zmqauth.Authenticator, error) { return newHandlerIn(nil) }

func newHandlerIn(zctx *zmq4.Context) (*zmqauth.Authenticator, error) {
	auth, err := zmqauth.New(zctx, &zmqauth.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	return auth, errors.Join(
		auth.ConfigurePlain(zmqauth.AnyDomain, map[string]string{user: password}),
		auth.ConfigureCurveKeys(zmqauth.AnyDomain, annsCertificate().Public),
		auth.DenyDomain("closed", "127.0.0.1"))
}

// beService runs a service in a process of its own, until SIGTERM.
func beService(at string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	auth, err := newHandler()
	if err != nil {
		return err
	}
	defer auth.Close()
	server := &zapproxy.Server{Handler: auth}
	if grace := os.Getenv("ZMQAUTH_TEST_GRACE"); grace != "" {
		d, err := time.ParseDuration(grace)
		if err == nil {
			err = server.SetRules(zapproxy.Rules{Grace: map[string]time.Duration{"*": d}})
		}
		if err != nil {
			return err
		}
	}
	l, err := server.Listen(ctx, at)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	return l.Serve(ctx)
}

// process is one that a test has started.
type process struct {
	*exec.Cmd
	log logbuffer.Buffer
}

// start starts a process, waits for the word ready, and ends it with the test.
func start(t *testing.T, command *exec.Cmd) *process {
	t.Helper()
	p := &process{Cmd: command}
	p.Stdout, p.Stderr = &p.log, &p.log
	must.OK(t, p.Start())
	t.Cleanup(p.kill)
	testpeer.Eventually(t, "the process is ready", func() bool {
		if strings.Contains(p.log.String(), "Traceback") {
			t.Fatal(&p.log)
		}
		return strings.Contains(p.log.String(), "ready")
	})
	return p
}

func (p *process) kill() {
	_ = p.Process.Kill()
	_ = p.Wait()
}

func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	must.OK(t, p.Process.Signal(s))
	if s == syscall.SIGSTOP { // its threads stop one after the other
		var state syscall.WaitStatus
		_, err := syscall.Wait4(p.Process.Pid, &state, syscall.WUNTRACED, nil)
		if must.OK(t, err); !state.Stopped() {
			t.Fatal("the process has ended")
		}
	}
}

// startService starts a service in a process of its own.
func startService(t *testing.T, at string, env ...string) *process {
	t.Helper()
	self, err := os.Executable()
	must.OK(t, err)
	c := command(self)
	c.Env = append(append(os.Environ(), serviceVariable+"="+at), env...)
	return start(t, c)
}

// serve runs a service in this process, and returns its endpoint.
func serve(t testing.TB, server *zapproxy.Server) string {
	t.Helper()
	return serveAt(t, server, newEndpoint(t))
}

func serveAt(t testing.TB, server *zapproxy.Server, at string) string {
	t.Helper()
	if server.Logger == nil {
		server.Logger = slog.New(slog.DiscardHandler)
	}
	l, err := server.Listen(t.Context(), at)
	must.OK(t, err)
	done := make(chan error, 1)
	go func() { done <- l.Serve(context.Background()) }()
	t.Cleanup(func() {
		must.OK(t, l.Close())
		must.OK(t, <-done)
	})
	return l.Endpoint()
}

// newEndpoint is an endpoint in a directory of the test's own.
func newEndpoint(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "zap")
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, os.RemoveAll(dir)) })
	return "ipc://" + filepath.Join(dir, "zap.sock")
}

// handler is newHandler for a test.
func handler(t testing.TB) *zmqauth.Authenticator {
	t.Helper()
	auth, err := newHandler()
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, auth.Close()) })
	return auth
}

// relay makes a context whose questions a service answers.
func relay(t testing.TB, d *zapproxy.Dialer, at string) (*zmq4.Context, *zapproxy.Link) {
	t.Helper()
	zctx := testzmq.NewContext(t)
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	link, err := d.Relay(zctx, at)
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, link.Close()) })
	return zctx, link
}

func awaitConnected(t testing.TB, link *zapproxy.Link) {
	t.Helper()
	testpeer.Eventually(t, "the relay is connected", func() bool { return link.Stats().Connected })
}

// ports are the endpoints of three servers: one for each mechanism.
type ports struct{ null, plain, curve string }

// serverCertificate is that of every CURVE server of these tests.
func serverCertificate() *zmqauth.Certificate { return fixedCertificate(100) }

// servers binds a server for each mechanism.
func servers(t testing.TB, zctx *zmq4.Context, domain string) ports {
	t.Helper()
	bind := func(role func(*zmq4.Socket) error) string {
		s := testzmq.NewSocket(t, zctx, zmq4.DEALER)
		must.OK(t, role(s))
		must.OK(t, s.Bind("tcp://127.0.0.1:*"))
		at, err := s.GetLastEndpoint()
		must.OK(t, err)
		return at
	}
	return ports{
		bind(func(s *zmq4.Socket) error { return zmqauth.NullServer(s, domain) }),
		bind(func(s *zmq4.Socket) error { return zmqauth.PlainServer(s, domain) }),
		bind(func(s *zmq4.Socket) error { return zmqauth.CurveServer(s, domain, serverCertificate()) }),
	}
}

// connect tells whether a client is let in; patience is for a client that is let in: one that is
// told to try again hears nothing.
func connect(t testing.TB, at string, patience time.Duration, role func(*zmq4.Socket) error) error {
	t.Helper()
	s := testzmq.NewSocket(t, testzmq.NewContext(t), zmq4.DEALER)
	defer s.Close()
	if role != nil {
		must.OK(t, role(s))
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return zmqauth.Connect(ctx, s, at)
}

func withPassword(word string) func(*zmq4.Socket) error {
	return func(s *zmq4.Socket) error { return zmqauth.PlainClient(s, user, word) }
}

func withKey(cert *zmqauth.Certificate) func(*zmq4.Socket) error {
	return func(s *zmq4.Socket) error {
		return zmqauth.CurveClient(s, serverCertificate().Public, cert)
	}
}

// long is more than anything takes, and short is how long to wait for what should not come.
const (
	long  = 20 * time.Second
	short = 400 * time.Millisecond
)

// checkDoors checks who is let in where the rules above hold.
func checkDoors(t *testing.T, p ports) {
	t.Helper()
	for name, test := range map[string]struct {
		at   string
		role func(*zmq4.Socket) error
		ok   bool
	}{
		"NULL":                  {p.null, nil, true},
		"PLAIN":                 {p.plain, withPassword(password), true},
		"PLAIN, wrong password": {p.plain, withPassword("another"), false},
		"CURVE":                 {p.curve, withKey(annsCertificate()), true},
		"CURVE, unknown key":    {p.curve, withKey(fixedCertificate(2)), false},
	} {
		err := connect(t, test.at, long, test.role)
		if test.ok && err != nil || !test.ok && !errors.Is(err, zmqauth.ErrDenied) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// refused checks that a client who would be let in is not.
func refused(t *testing.T, p ports) {
	t.Helper()
	if err := connect(t, p.plain, short, withPassword(password)); err == nil {
		t.Error("let in, without the service")
	}
}

// command is one that ends with this process.
func command(name string, args ...string) *exec.Cmd {
	c := exec.Command(name, args...)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return c
}
