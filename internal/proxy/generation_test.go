package proxy

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/policyfile"
	"github.com/zmqauth/zmqauth/internal/testca"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// TestGenerations: a client that an old tls-serve has let in never reaches the new frontend behind
// it, whether the new tls-serve can start or not.
func TestGenerations(t *testing.T) {
	for name, isInUse := range map[string]bool{"it starts": false, "its port is in use": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			ca, err := testca.New(dir, "test")
			must.OK(t, err)
			_, err = ca.Issue("server")
			must.OK(t, err)
			must.OK(t, os.WriteFile(filepath.Join(dir, "passwords"), []byte("ann=x\n"), 0o600))
			taken, err := net.Listen("tcp", "127.0.0.1:0")
			must.OK(t, err)
			defer taken.Close()
			free, err := net.Listen("tcp", "127.0.0.1:0")
			must.OK(t, err)
			at := free.Addr().String()
			must.OK(t, free.Close())

			policy := filepath.Join(dir, "policy.zpl")
			write := func(mechanism, listen, who string) {
				text := "domain = d\n    plain = passwords\ndomain = n\n    allow = ipc\n" +
					"frontend = f\n    type = router\n    tls = edge\n    backend = tcp://127.0.0.1:1\n    " +
					mechanism + "\ntls-serve = edge\n    listen = " + listen +
					"\n    cert = server.crt\n    key = server.key\n    " + who + "\n"
				must.OK(t, os.WriteFile(policy, []byte(text), 0o600))
			}
			write("mechanism = plain\n    domain = d", at, "allow-any = yes")
			log, reload := &logbuffer.Buffer{}, make(chan os.Signal)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() {
				ended <- Run(ctx, Options{Config: policy, Linger: 5 * time.Second, IOThreads: 1,
					Log: log.Logger(), Reload: reload})
			}()
			defer func() {
				cancel()
				must.OK(t, <-ended)
			}()
			logs := func(text string) {
				t.Helper()
				testpeer.Eventually(t, text, func() bool { return strings.Contains(log.String(), text) })
			}
			logs(MessageReady)

			early, err := net.Dial("tcp", at) // it is silent for now
			must.OK(t, err)
			defer early.Close()
			second, err := net.Dial("tcp", at)
			must.OK(t, err)
			if got := greeting(second); !strings.HasPrefix(got, "PLAIN") {
				t.Fatalf("before: %q", got) // and the silent one has been accepted, too
			}
			if isInUse {
				write("mechanism = null\n    domain = n", taken.Addr().String(), "ca = ca.crt")
			} else {
				write("mechanism = null\n    domain = n", at, "ca = ca.crt")
			}
			reload <- syscall.SIGHUP
			if isInUse {
				logs(MessagePartly)
			} else {
				logs(MessageReloaded)
			}
			if got := greeting(early); got != "" && !strings.HasPrefix(got, "PLAIN") {
				t.Errorf("a handshake after the change leads to the new frontend: %q", got)
			}
			late, err := net.Dial("tcp", at)
			must.OK(t, err)
			if got := greeting(late); got != "" && !strings.HasPrefix(got, "PLAIN") {
				t.Errorf("a stranger reaches the new frontend: %q", got)
			}
		})
	}
}

// greeting does the TLS handshake without a certificate, and returns the mechanism that a frontend
// greets with; "": none does.
func greeting(raw net.Conn) string {
	defer raw.Close()
	_ = raw.SetDeadline(time.Now().Add(10 * time.Second))
	conn := tls.Client(raw, &tls.Config{InsecureSkipVerify: true})
	version := "\xff" + strings.Repeat("\x00", 8) + "\x7f\x03\x00" // no mechanism yet, to refuse
	if _, err := io.WriteString(conn, version); err != nil {
		return ""
	}
	got := make([]byte, 64)
	if _, err := io.ReadFull(conn, got); err != nil {
		return ""
	}
	return string(got[12:32])
}

// TestSocketName: a pair that stays the same keeps its socket, and no other has it.
func TestSocketName(t *testing.T) {
	f := policyfile.Frontend{Name: "f", TLS: "s", Mechanism: "plain", Line: 3}
	var s policyfile.TLSServe
	s.Name, s.AllowAny, s.Line = "s", true, 7
	name := socketName(f, s)
	if len(name) != socketNameLength {
		t.Errorf("%q", name)
	}
	moved, serve := f, s
	moved.Line, moved.File, serve.Line, serve.File = 1, "x", 2, "x"
	if socketName(moved, serve) != name {
		t.Error("a pair that stands elsewhere has another socket")
	}
	moved.Mechanism = "null"
	serve.AllowAny = false
	if socketName(moved, s) == name || socketName(f, serve) == name {
		t.Error("another pair has the same socket")
	}
}
