package docs

import (
	"fmt"
	"go/format"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
)

// preamble declares what the fragments of code take for granted.
const preamble = `package main

import (
	"context"
	"crypto/subtle"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/pebbe/zmq4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/admin"
	"github.com/zmqauth/zmqauth/front"
	"github.com/zmqauth/zmqauth/sshtunnel"
	"github.com/zmqauth/zmqauth/stream"
	"github.com/zmqauth/zmqauth/zapproxy"
	"github.com/zmqauth/zmqauth/zaptest"
)

// All of them are used, whatever the fragments are.
var (
	_ = subtle.ConstantTimeCompare
	_ = errors.New
	_ = io.ReadFull
	_ = log.Print
	_ = slog.Default
	_ = strconv.Itoa
	_ net.Conn
	_ netip.Addr
	_ admin.Config
	_ prometheus.Labels
	_ front.Config
	_ time.Duration
	_ stream.Server
	_ sshtunnel.Config
	_ zaptest.Handler
	_ zapproxy.Handler
)

func startMyHandler(t *testing.T) *zmq4.Context { return nil }

type account struct{ Role string }

type accounts struct{}

func (accounts) Check(ctx context.Context, name, password string) (*account, error) {
	return nil, nil
}

func check(err error) {}

func main() {}
`

// parameters are those of the function around each fragment, which may declare them anew.
const parameters = `ctx context.Context, t *testing.T, auth *zmqauth.Authenticator,
	socket *zmq4.Socket, reactor *zmq4.Reactor, certificate *zmqauth.Certificate,
	server zmqauth.PublicKey, keys []zmqauth.PublicKey, database accounts, password string,
	socketsContext *zmq4.Context,
	request [][]byte, tunnel *stream.Forwarding, people *zmqauth.Credentials`

// TestFragments compiles each fragment of code in the guides. Errors name the line of the guide.
func TestFragments(t *testing.T) {
	source, fragments := preamble, 0
	for _, path := range guides(t) {
		for _, b := range readPage(t, path).blocks {
			if !b.isFragment() {
				continue
			}
			fragments++
			line := fmt.Sprintf("//line %s:%d\n", path, b.line)
			if strings.HasPrefix(b.text, "func ") {
				source += line + b.text
				continue
			}
			source += fmt.Sprintf("func fragment%d(%s) {\n{\n%s%s}\n}\n",
				fragments, parameters, line, b.text)
		}
	}
	if fragments < 8 {
		t.Fatalf("%d fragments found", fragments)
	}
	for _, line := range compile(t, source) {
		if !strings.HasPrefix(line, "#") && !strings.Contains(line, "declared and not used") {
			t.Error(line)
		}
	}
}

// compile compiles a program as if it were a part of the module, and returns what is wrong with it.
func compile(t *testing.T, source string) []string {
	t.Helper()
	dir := t.TempDir()
	file, overlay := filepath.Join(dir, "main.go"), filepath.Join(dir, "overlay.json")
	must.OK(t, os.WriteFile(file, []byte(source), 0o600))
	here, err := filepath.Abs(filepath.Join(root, "fragments/main.go"))
	must.OK(t, err)
	must.OK(t, os.WriteFile(overlay, fmt.Appendf(nil, `{"Replace": {%q: %q}}`, here, file), 0o600))
	build := exec.Command("go", "build", "-gcflags=-e", "-overlay", overlay, "-o", os.DevNull,
		"./fragments")
	build.Dir = root
	out, err := build.CombinedOutput()
	if err == nil {
		return nil
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// TestCodeIsFormatted: programs and fragments are as gofmt has them.
func TestCodeIsFormatted(t *testing.T) {
	for _, path := range guides(t) {
		for _, b := range readPage(t, path).blocks {
			if b.info != "go" {
				continue
			}
			formatted, err := format.Source([]byte(b.text))
			if err != nil {
				t.Errorf("%s:%d: %v", path, b.line, err)
			} else if string(formatted) != b.text {
				t.Errorf("%s:%d: gofmt would change this:\n%s", path, b.line, formatted)
			}
		}
	}
}
