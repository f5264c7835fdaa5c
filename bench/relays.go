package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/admin"
	"github.com/zmqauth/zmqauth/internal/daemon"
	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/proxy"
)

// front is a frontend of a proxy: a socket that clients connect to, and the service behind it.
type front struct {
	name    string
	kind    string // pull, router, xpub
	curve   bool   // a CURVE server, otherwise NULL
	backend string
}

// relay is a proxy under measurement, in a process of its own.
type relay struct {
	name      string
	process   *daemon.Process
	endpoints map[string]string // that clients connect to, by the names of the fronts
	page      string            // the address of the status page; empty: there is none
}

// relayStarter starts a relay with these fronts until the end of e. The certificate is a file with
// the secret key of its CURVE servers.
type relayStarter func(e *ends, certificate string, fronts []front) (*relay, error)

// relayThreads is the number of libzmq's I/O threads of a relay.
var relayThreads = strconv.Itoa(min(runtime.NumCPU(), 4))

// messageBound is the line of a log that has the endpoint of a front.
const messageBound = "zmqauth: bound"

// startTool starts zmqauth proxy, built as its users build it.
func startTool(e *ends, certificate string, fronts []front) (*relay, error) {
	return startToolWith(e, certificate, fronts)
}

// startObserved is startTool with metrics that are read each second, as by Prometheus, and with a
// status page that somebody looks at.
func startObserved(e *ends, certificate string, fronts []front) (*relay, error) {
	r, err := startToolWith(e, certificate, fronts, "--http", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	looking, reading := make(chan error, 1), make(chan error, 1)
	go func() { looking <- readPage(ctx, r.page+"/events") }()
	go func() {
		var err error
		for ticker := time.NewTicker(time.Second); err == nil && ctx.Err() == nil; <-ticker.C {
			err = readPage(ctx, r.page+"/metrics")
		}
		reading <- err
	}()
	e.add(func() error {
		cancel()
		return errors.Join(<-looking, <-reading)
	})
	return r, nil
}

// readPage reads what is at an address, until its end or that of ctx.
func readPage(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err == nil {
		_, err = io.Copy(io.Discard, answer.Body)
		err = errors.Join(err, answer.Body.Close())
		if answer.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s: %s", url, answer.Status)
		}
	}
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func startToolWith(e *ends, certificate string, fronts []front, options ...string,
) (*relay, error) {
	directory, err := e.directory()
	if err != nil {
		return nil, err
	}
	program := filepath.Join(directory, "zmqauth")
	if err := goBuild(nil, program, toolPackage); err != nil {
		return nil, err
	}
	var policy strings.Builder
	for _, f := range fronts {
		if f.curve {
			fmt.Fprintf(&policy, "domain = %s\n    curve = *\n", f.name)
		}
	}
	for _, f := range fronts {
		fmt.Fprintf(&policy, "frontend = %s\n    type = %s\n    bind = tcp://127.0.0.1:*\n"+
			"    backend = %s\n    domain = %[1]s\n", f.name, f.kind, f.backend)
		if f.curve {
			fmt.Fprintf(&policy, "    mechanism = curve\n    certificate = %s\n", certificate)
		} else {
			fmt.Fprint(&policy, "    mechanism = null\n")
		}
	}
	config := filepath.Join(directory, "zmqauth.zpl")
	if err := os.WriteFile(config, []byte(policy.String()), 0o600); err != nil {
		return nil, err
	}
	return e.relay("zmqauth", proxy.MessageReady, program, append([]string{"proxy", "--config", config,
		"--io-threads", relayThreads, "--log-format", "json"}, options...)...)
}

const toolPackage = "github.com/zmqauth/zmqauth/cmd/zmqauth"

// goBuild builds a program of a package or of files, with more variables in the environment.
func goBuild(environment []string, program string, of ...string) error {
	command := exec.Command("go", append([]string{"build", "-o", program}, of...)...)
	command.Env = append(os.Environ(), environment...)
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

// relayCommand is the command that runs this program as zmq_proxy: bench relay THREADS CERTIFICATE,
// and NAME KIND CURVE BACKEND for each front.
const relayCommand = "relay"

// startZmqProxy starts libzmq's zmq_proxy.
func startZmqProxy(e *ends, certificate string, fronts []front) (*relay, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := []string{relayCommand, relayThreads, certificate}
	for _, f := range fronts {
		args = append(args, f.name, f.kind, strconv.FormatBool(f.curve), f.backend)
	}
	return e.relay(zmqProxy, proxy.MessageReady, program, args...)
}

// relay starts a program that logs the endpoints of its fronts, and that it is ready.
func (e *ends) relay(name, ready, program string, args ...string) (*relay, error) {
	log := &logbuffer.Buffer{}
	process, err := daemon.Start(log, nil, program, args...)
	if err != nil {
		return nil, err
	}
	err = process.Await(func() bool { return strings.Contains(log.String(), ready) })
	if err != nil {
		return nil, err
	}
	e.add(process.Stop)
	r := &relay{name: name, process: process, endpoints: make(map[string]string)}
	for line := range strings.Lines(log.String()) {
		var entry struct{ Msg, Frontend, Endpoint, HTTP string }
		if json.Unmarshal([]byte(line), &entry) != nil {
			continue
		}
		switch entry.Msg {
		case messageBound:
			r.endpoints[entry.Frontend] = entry.Endpoint
		case admin.MessageHTTP:
			r.page = "http://" + entry.HTTP
		}
	}
	return r, nil
}

// kinds are the sockets of zmq_proxy, as of the frontends of zmqauth.
var kinds = map[string]struct{ front, back zmq4.Type }{
	"pull":   {zmq4.PULL, zmq4.PUSH},
	"router": {zmq4.ROUTER, zmq4.DEALER},
	"xpub":   {zmq4.XPUB, zmq4.XSUB},
}

// serveRelay runs this process as zmq_proxy, with the arguments of relayCommand, until it is
// killed. Each front has a thread of its own.
func serveRelay(args []string) error {
	if len(args) < 2 || len(args)%4 != 2 {
		return fmt.Errorf("%s: %d arguments", relayCommand, len(args))
	}
	threads, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	certificate, err := zmqauth.LoadCertificate(args[1])
	if err != nil {
		return err
	}
	ctx, err := zmq4.NewContext()
	if err != nil {
		return err
	}
	if err := ctx.SetIoThreads(threads); err != nil {
		return err
	}
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	ended := make(chan error, len(args))
	for args := range slices.Chunk(args[2:], 4) {
		f := front{name: args[0], kind: args[1], curve: args[2] == "true", backend: args[3]}
		front, back, err := f.open(ctx, certificate)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		endpoint, err := front.GetLastEndpoint()
		if err != nil {
			return err
		}
		log.Info(messageBound, "frontend", f.name, "endpoint", endpoint)
		go func() { ended <- zmq4.Proxy(front, back, nil) }()
	}
	log.Info(proxy.MessageReady)
	return <-ended
}

// open opens the sockets of a front of zmq_proxy. It has no ZAP handler: everybody is let in.
func (f front) open(ctx *zmq4.Context, certificate *zmqauth.Certificate) (
	front, back *zmq4.Socket, err error,
) {
	kind, ok := kinds[f.kind]
	if !ok {
		return nil, nil, fmt.Errorf("no kind %q", f.kind)
	}
	front, err1 := ctx.NewSocket(kind.front)
	back, err2 := ctx.NewSocket(kind.back)
	if err := errors.Join(err1, err2); err != nil {
		return nil, nil, err
	}
	if f.curve {
		err = errors.Join(front.SetCurveServer(1),
			front.SetCurveSecretkey(certificate.Secret.Z85()))
	}
	return front, back, errors.Join(err, front.Bind("tcp://127.0.0.1:*"), back.Connect(f.backend))
}
