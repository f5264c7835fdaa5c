package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
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
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/proxy"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

const patience = 30 * time.Second

// proxyProcess is the built program, at work.
type proxyProcess struct {
	t      testing.TB
	dir    string
	cmd    *exec.Cmd
	exited chan struct{}
	err    error // of the process, once it has exited

	mu    sync.Mutex
	lines []string         // of the log
	log   []map[string]any // the same, decoded
}

// startProxy writes a configuration, zmqauth.zpl, to dir and runs the program there until the test
// ends.
func startProxy(t testing.TB, dir, config string, args ...string) *proxyProcess {
	t.Helper()
	p := &proxyProcess{t: t, dir: dir, exited: make(chan struct{})}
	p.configure(config)
	p.cmd = exec.Command(binary, append([]string{"proxy", "--config", "zmqauth.zpl", "--log-format", "json"}, args...)...)
	p.cmd.Dir = dir
	stderr, err := p.cmd.StderrPipe()
	must.OK(t, err)
	must.OK(t, p.cmd.Start())
	go p.follow(stderr)
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.exited
		if t.Failed() {
			t.Logf("the proxy's log:\n%s", p.text())
		}
	})
	p.waitFor("zmqauth: the proxy is ready", nil)
	return p
}

// configure writes the configuration. WORK stands for the directory.
func (p *proxyProcess) configure(config string) {
	p.t.Helper()
	must.OK(p.t, os.WriteFile(filepath.Join(p.dir, "zmqauth.zpl"), []byte(strings.ReplaceAll(config, "WORK", p.dir)), 0o600))
}

func (p *proxyProcess) follow(stderr io.Reader) {
	scanner := bufio.NewScanner(stderr)
	for scanner.Scan() {
		var line map[string]any
		_ = json.Unmarshal(scanner.Bytes(), &line) // a race detector's report is no JSON
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

// find counts the log's lines with that message and these attributes, and returns the last.
func (p *proxyProcess) find(message string, attrs map[string]string) (last map[string]any, count int) {
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
func (p *proxyProcess) waitFor(message string, attrs map[string]string) map[string]any {
	p.t.Helper()
	return p.waitForMore(0, message, attrs)
}

// waitForMore waits until there are more than so many such lines.
func (p *proxyProcess) waitForMore(than int, message string, attrs map[string]string) map[string]any {
	p.t.Helper()
	var line map[string]any
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

// endpoint is where a frontend is bound now.
func (p *proxyProcess) endpoint(name string) string {
	p.t.Helper()
	return p.waitFor("zmqauth: bound", map[string]string{"frontend": name})["endpoint"].(string)
}

// reload sends SIGHUP and waits for the outcome, which is to be that message.
func (p *proxyProcess) reload(want string) map[string]any {
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

// stop sends a signal and returns how the process has ended.
func (p *proxyProcess) stop(signal syscall.Signal) error {
	p.t.Helper()
	must.OK(p.t, p.cmd.Process.Signal(signal))
	select {
	case <-p.exited:
		return p.err
	case <-time.After(patience):
		p.t.Fatal("the proxy does not end")
		return nil
	}
}

// identity makes a certificate and writes NAME.key and NAME.key_secret.
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

// freeEndpoint is one that nobody has just now.
func freeEndpoint(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must.OK(t, err)
	must.OK(t, listener.Close())
	return "tcp://" + listener.Addr().String()
}

// enter connects a socket, CURVE where there is a certificate, and returns the outcome of the
// handshake.
func enter(t testing.TB, socket *zmq4.Socket, endpoint string, server *zmqauth.Certificate, own *zmqauth.Certificate) error {
	t.Helper()
	if own != nil {
		must.OK(t, zmqauth.CurveClient(socket, server.Public, own))
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return zmqauth.Connect(ctx, socket, endpoint)
}

// echo answers each request of a REP service with itself until the test ends. It counts them.
func echo(t testing.TB, zctx *zmq4.Context) (endpoint string) {
	t.Helper()
	socket, err := zctx.NewSocket(zmq4.ROUTER) // which serves REQ clients behind a DEALER as REP does
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

func frontendConfig(name, kind, bind, backend, mechanism string, more ...string) string {
	lines := append([]string{"type = " + kind, "bind = " + bind, "backend = " + backend, "mechanism = " + mechanism}, more...)
	if !slices.ContainsFunc(more, func(line string) bool { return strings.HasPrefix(line, "domain") }) {
		lines = append(lines, "domain = "+name)
	}
	return "frontend = " + name + "\n    " + strings.Join(lines, "\n    ") + "\n"
}
