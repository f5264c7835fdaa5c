package zmqauth

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// pattern is one of the five of ZeroMQ's security guide, with a client that gets in and one that
// does not.
type pattern struct {
	name             string
	configure        func(*Authenticator) error
	server           func(*zmq4.Socket) error
	client, stranger func(*zmq4.Socket) error
	python           []string // the client for examples/demo/client.py: mechanism, credentials
	strangerFrom     string   // the stranger's address; "": any
}

// newPatterns makes the certificates of a server, of a client that it knows, and of a stranger.
func newPatterns(t *testing.T) (patterns []pattern, directory string) {
	t.Helper()
	directory = t.TempDir()
	clients := filepath.Join(directory, "clients")
	must.OK(t, os.Mkdir(clients, 0o700))
	certificate := func(in, name string) *Certificate {
		_, secret, err := CreateCertificates(in, name, nil)
		must.OK(t, err)
		c, err := LoadCertificate(secret)
		must.OK(t, err)
		return c
	}
	server, ann := certificate(directory, "server"), certificate(clients, "ann")
	mallory := certificate(directory, "mallory")
	curve := []string{"CURVE", server.Public.String(), ann.Public.String(), ann.Secret.Z85()}
	return []pattern{
		{
			name:      "grasslands",
			configure: func(*Authenticator) error { return nil },
			server:    nullClient,
			client:    nullClient,
			python:    []string{"NULL"},
		},
		{
			name:         "strawhouse",
			configure:    func(a *Authenticator) error { return a.Allow("127.0.0.1") },
			server:       nullServer("global"),
			client:       nullClient,
			python:       []string{"NULL"},
			stranger:     nullClient,
			strangerFrom: "127.0.0.2",
		},
		{
			name: "woodhouse",
			configure: func(a *Authenticator) error {
				return a.ConfigurePlain("global", map[string]string{"ann": "secret"})
			},
			server:   plainServer("global"),
			client:   plainClient("ann", "secret"),
			python:   []string{"PLAIN", "ann", "secret"},
			stranger: plainClient("ann", "guess"),
		},
		{
			name:      "stonehouse",
			configure: func(a *Authenticator) error { return a.ConfigureCurve("global", CurveAllowAny) },
			server:    curveServer("global", server),
			client:    curveClient(server.Public, ann),
			python:    curve,
		},
		{
			name:      "ironhouse",
			configure: func(a *Authenticator) error { return a.ConfigureCurve("global", clients) },
			server:    curveServer("global", server),
			client:    curveClient(server.Public, ann),
			python:    curve,
			stranger:  curveClient(server.Public, mallory),
		},
	}, directory
}

// TestPatternsPythonClient brings a client of Python's zmq to the Go server of each pattern.
func TestPatternsPythonClient(t *testing.T) {
	python := testpeer.Python(t, "zmq", "python3-zmq")
	patterns, _ := newPatterns(t)
	for _, p := range patterns {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			a := startAuthenticator(t, Config{})
			must.OK(t, p.configure(a))
			server := newServer(t, a.Context(), "tcp://127.0.0.1:*", p.server)
			client := exec.Command(python, "examples/demo/client.py", server.endpoint, p.python[0])
			client.Stdin = strings.NewReader(strings.Join(p.python[1:], "\n"))
			if out, err := client.CombinedOutput(); err != nil || string(out) != "200\n" {
				t.Fatalf("%v\n%s", err, out)
			}
			if text, _ := server.receive(t); text != "hello from Python" {
				t.Errorf("received %q", text)
			}
		})
	}
}

// TestPatternsPythonServer brings Go clients to a server of each pattern that Python's
// ThreadAuthenticator guards: first the stranger, where the pattern keeps anybody out, and then the
// client that gets in.
func TestPatternsPythonServer(t *testing.T) {
	python := testpeer.Python(t, "zmq", "python3-zmq")
	patterns, directory := newPatterns(t)
	for _, p := range patterns {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			lines := startPython(t, python, "testdata/server.py", p.name, directory)
			endpoint := nextLine(t, lines)
			if p.stranger != nil {
				from := endpoint
				if p.strangerFrom != "" {
					from = strings.Replace(endpoint, "tcp://", "tcp://"+p.strangerFrom+":0;", 1)
				}
				if _, err := connect(t, from, p.stranger); !errors.Is(err, ErrDenied) {
					t.Errorf("the stranger: %v", err)
				}
			}
			socket, err := connect(t, endpoint, p.client)
			must.OK(t, err)
			_, err = socket.Send("hello from Go", 0)
			must.OK(t, err)
			if text := nextLine(t, lines); text != "hello from Go" {
				t.Errorf("the server has received %q", text)
			}
		})
	}
}

// startPython starts a program in Python that lasts no longer than the test, and returns what it
// prints.
func startPython(t *testing.T, python string, args ...string) *bufio.Scanner {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	program := exec.CommandContext(ctx, python, args...)
	var log logbuffer.Buffer
	program.Stderr = &log
	out, err := program.StdoutPipe()
	must.OK(t, err)
	must.OK(t, program.Start())
	t.Cleanup(func() {
		cancel()
		err := program.Wait()
		if t.Failed() {
			t.Logf("%v\n%s", err, log.String())
		}
	})
	return bufio.NewScanner(out)
}

func nextLine(t *testing.T, lines *bufio.Scanner) string {
	t.Helper()
	if !lines.Scan() {
		t.Fatalf("the program has ended: %v", lines.Err())
	}
	return lines.Text()
}
