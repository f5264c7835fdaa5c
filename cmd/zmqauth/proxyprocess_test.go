package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/links"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/proxy"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// patience is how long the tests wait for what must happen.
const patience = 30 * time.Second

// proxyProcess is a process that runs the command proxy, or one for a link.
type proxyProcess struct {
	t       testing.TB
	dir     string
	program string     // "": zmqauth
	extra   []*os.File // that the program gets besides, from descriptor 3 on
	cmd     *exec.Cmd
	exited  chan struct{}
	err     error // the outcome of the process; read it after exited

	mu    sync.Mutex
	lines []string  // of the log
	log   []logLine // the same, decoded
}

// startProxy writes a configuration, zmqauth.zpl, to dir and runs the program there until the test
// ends.
func startProxy(t testing.TB, dir, config string, args ...string) *proxyProcess {
	t.Helper()
	p := &proxyProcess{t: t, dir: dir, exited: make(chan struct{})}
	p.configure(config)
	p.start(append([]string{"proxy", "--config", "zmqauth.zpl"}, args...)...)
	p.waitFor("zmqauth: the proxy is ready", nil)
	return p
}

// startLink runs a command for one link in dir until the test ends.
func startLink(t testing.TB, dir string, args ...string) *proxyProcess {
	t.Helper()
	p := &proxyProcess{t: t, dir: dir, exited: make(chan struct{})}
	p.start(args...)
	p.waitFor(links.MessageReady, nil)
	return p
}

// start runs the program.
func (p *proxyProcess) start(args ...string) {
	t := p.t
	t.Helper()
	p.cmd = exec.Command(cmp.Or(p.program, binary), append(args, "--log-format", "json")...)
	p.cmd.Dir, p.cmd.ExtraFiles = p.dir, p.extra
	stderr, err := p.cmd.StderrPipe()
	must.OK(t, err)
	must.OK(t, p.cmd.Start())
	go p.follow(stderr)
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.exited
		if t.Failed() {
			t.Logf("the program's log:\n%s", p.text())
		}
	})
}

// configure writes the configuration. WORK stands for the directory.
func (p *proxyProcess) configure(config string) {
	p.t.Helper()
	config = strings.ReplaceAll(config, "WORK", p.dir)
	must.OK(p.t, os.WriteFile(filepath.Join(p.dir, "zmqauth.zpl"), []byte(config), 0o600))
}

// follow reads the log until the process has exited.
func (p *proxyProcess) follow(stderr io.Reader) {
	scanner := bufio.NewScanner(stderr)
	for scanner.Scan() {
		var line logLine
		_ = json.Unmarshal(scanner.Bytes(), &line) // a report of the race detector is not JSON
		p.mu.Lock()
		p.lines, p.log = append(p.lines, scanner.Text()), append(p.log, line)
		p.mu.Unlock()
	}
	p.err = p.cmd.Wait()
	close(p.exited)
}

func (p *proxyProcess) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.lines, "\n")
}

// logLine is a decoded line of the log.
type logLine = map[string]any

// find counts the lines of the log with that message and these attributes, and returns the last.
func (p *proxyProcess) find(message string, attrs map[string]string) (last logLine, count int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, line := range p.log {
		matches := line["msg"] == message
		for name, value := range attrs {
			matches = matches && strings.Contains(fmt.Sprint(line[name]), value)
		}
		if matches {
			last, count = line, count+1
		}
	}
	return last, count
}

// waitFor waits for a line of the log.
func (p *proxyProcess) waitFor(message string, attrs map[string]string) logLine {
	p.t.Helper()
	return p.waitForMore(0, message, attrs)
}

// waitForMore waits until the log has more than so many such lines.
func (p *proxyProcess) waitForMore(than int, message string, attrs map[string]string) logLine {
	p.t.Helper()
	var line logLine
	testpeer.Eventually(p.t, fmt.Sprintf("the proxy logs %q %v", message, attrs), func() bool {
		var count int
		line, count = p.find(message, attrs)
		select {
		case <-p.exited:
			if count <= than {
				p.t.Fatalf("the proxy has exited: %v", p.err)
			}
		default:
		}
		return count > than
	})
	return line
}

// endpoint returns the endpoint to which a frontend is bound.
func (p *proxyProcess) endpoint(name string) string {
	p.t.Helper()
	return p.waitFor("zmqauth: bound", map[string]string{"frontend": name})["endpoint"].(string)
}

// reload sends SIGHUP and waits for the outcome. want is the message that the outcome must have.
func (p *proxyProcess) reload(want string) logLine {
	p.t.Helper()
	outcomes := []string{proxy.MessageReloaded, proxy.MessageWrong, proxy.MessagePartly}
	count := func() (n int) {
		for _, outcome := range outcomes {
			_, c := p.find(outcome, nil)
			n += c
		}
		return n
	}
	before, _ := p.find(want, nil)
	total := count()
	must.OK(p.t, p.cmd.Process.Signal(syscall.SIGHUP))
	testpeer.Eventually(p.t, "the proxy reloads", func() bool { return count() > total })
	after, _ := p.find(want, nil)
	if after == nil || fmt.Sprint(after) == fmt.Sprint(before) {
		p.t.Fatalf("the reload did not end with %q", want)
	}
	return after
}

// stop sends a signal and returns the outcome of the process.
func (p *proxyProcess) stop(signal syscall.Signal) error {
	p.t.Helper()
	must.OK(p.t, p.cmd.Process.Signal(signal))
	return p.wait()
}

// wait returns the outcome of the process. One that does not end writes its goroutines to the log.
func (p *proxyProcess) wait() error {
	p.t.Helper()
	select {
	case <-p.exited:
		return p.err
	case <-time.After(patience):
		_ = p.cmd.Process.Signal(syscall.SIGQUIT)
		<-p.exited
		p.t.Fatal("the process did not end")
		return nil
	}
}

// identity makes a key pair and writes NAME.key and NAME.key_secret.
func identity(t testing.TB, dir, name string) *zmqauth.Certificate {
	t.Helper()
	_, secret, err := zmqauth.CreateCertificates(dir, name, nil)
	must.OK(t, err)
	cert, err := zmqauth.LoadCertificate(secret)
	must.OK(t, err)
	return cert
}

func mkdir(t testing.TB, dir, name string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	must.OK(t, os.Mkdir(path, 0o700))
	return path
}

// bindLocal binds a socket to a free port and returns the endpoint.
func bindLocal(t testing.TB, socket *zmq4.Socket) string {
	t.Helper()
	must.OK(t, socket.Bind("tcp://127.0.0.1:*"))
	endpoint, err := socket.GetLastEndpoint()
	must.OK(t, err)
	return endpoint
}

// freeEndpoint returns an endpoint that nobody uses.
func freeEndpoint(t testing.TB) string {
	t.Helper()
	return fmt.Sprint("tcp://127.0.0.1:", testpeer.FreePort(t))
}

// enter connects a socket and returns the outcome of the handshake. It uses CURVE if own is not
// nil.
func enter(t testing.TB, socket *zmq4.Socket, endpoint string,
	server, own *zmqauth.Certificate) error {
	t.Helper()
	if own != nil {
		must.OK(t, zmqauth.CurveClient(socket, server.Public, own))
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return zmqauth.Connect(ctx, socket, endpoint)
}

// echo runs a service until the test ends. It answers each request with the request.
func echo(t testing.TB, zctx *zmq4.Context) (endpoint string) {
	t.Helper()
	socket, err := zctx.NewSocket(zmq4.ROUTER) // sends whole messages back, envelopes too
	must.OK(t, err)
	must.OK(t, socket.SetLinger(0))
	endpoint = bindLocal(t, socket)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		defer socket.Close()
		poller := zmq4.NewPoller()
		poller.Add(socket, zmq4.POLLIN)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if ready, err := poller.Poll(20 * time.Millisecond); err != nil || len(ready) == 0 {
				continue
			}
			for {
				message, err := socket.RecvMessageBytes(zmq4.DONTWAIT)
				if err != nil {
					break
				}
				_, _ = socket.SendMessage(message)
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-stopped
	})
	return endpoint
}

// ask sends a request and checks that the answer is the same.
func ask(socket *zmq4.Socket, text string) error {
	if _, err := socket.Send(text, 0); err != nil {
		return fmt.Errorf("send %s: %w", text, err)
	}
	got, err := socket.Recv(0)
	if err != nil {
		return fmt.Errorf("receive %s: %w", text, err)
	}
	if got != text {
		return fmt.Errorf("asked %s, answered %s", text, got)
	}
	return nil
}

// frontendConfig returns the entry of a frontend. Its domain is its name, unless more says
// otherwise.
func frontendConfig(name, kind, bind, backend, mechanism string, more ...string) string {
	lines := append([]string{
		"type = " + kind,
		"bind = " + bind,
		"backend = " + backend,
		"mechanism = " + mechanism,
	}, more...)
	isDomain := func(line string) bool { return strings.HasPrefix(line, "domain") }
	if !slices.ContainsFunc(more, isDomain) {
		lines = append(lines, "domain = "+name)
	}
	return "frontend = " + name + "\n    " + strings.Join(lines, "\n    ") + "\n"
}
