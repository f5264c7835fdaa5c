package links

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/policyfile"
	"github.com/zmqauth/zmqauth/internal/testca"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

func TestMain(m *testing.M) {
	// The runtime opens descriptors at the first connection. They must not count as a leak of the
	// first test.
	if listener, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		_ = listener.Close()
	}
	os.Exit(m.Run())
}

// world is a directory with a CA, a server's certificate and ann's, and an echo behind the links.
type world struct {
	t    testing.TB
	dir  string
	ca   *testca.Authority
	ann  testca.Identity
	log  *logbuffer.Buffer
	set  *Set
	echo string // its address
}

func newWorld(t testing.TB, linger time.Duration) *world {
	t.Helper()
	testpeer.NothingLeft(t)
	w := &world{t: t, dir: t.TempDir(), log: &logbuffer.Buffer{}}
	var err error
	w.ca, err = testca.New(w.dir, "test")
	must.OK(t, err)
	_, err = w.ca.Issue("server")
	must.OK(t, err)
	w.ann, err = w.ca.Issue("ann")
	must.OK(t, err)
	w.echo = echo(t, "tcp", "127.0.0.1:0")
	w.set = NewSet(Options{Log: w.log.Logger(), Linger: linger})
	t.Cleanup(func() {
		w.set.Stop()
		if t.Failed() {
			t.Logf("the log:\n%s", w.log)
		}
	})
	return w
}

// echo runs a server that sends back what it receives, and returns its address.
func echo(t testing.TB, network, address string) string {
	t.Helper()
	l, err := net.Listen(network, address)
	must.OK(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				// Without splice(2), whose pipes stay open until the garbage is collected.
				_, _ = io.Copy(struct{ io.Writer }{conn}, struct{ io.Reader }{conn})
			}()
		}
	}()
	return l.Addr().String()
}

// specs returns the links of a policy in the world's directory.
func (w *world) specs(text string) []Spec {
	w.t.Helper()
	p, err := policyfile.Parse(filepath.Join(w.dir, "policy.zpl"), []byte(text))
	must.OK(w.t, err)
	return Of(p)
}

// update updates the set, which must succeed.
func (w *world) update(text string) {
	w.t.Helper()
	must.OK(w.t, w.set.Update(context.Background(), w.specs(text)))
}

// serve is a section tls-serve before the echo. CERT is the certificate.
func (w *world) serve(name, listen string, more ...string) string {
	if more == nil {
		more = []string{"ca = ca.crt"}
	}
	return fmt.Sprintf("tls-serve = %s\n    listen = %s\n    connect = %s\n    cert = server.crt\n"+
		"    key = server.key\n    %s\n", name, listen, w.echo, strings.Join(more, "\n    "))
}

// freePort is an address that nobody uses.
func freePort(t testing.TB) string {
	t.Helper()
	return fmt.Sprint("127.0.0.1:", testpeer.FreePort(t))
}

// dial connects with TLS as a client of the CA.
func (w *world) dial(address string, id testca.Identity) (*tls.Conn, error) {
	w.t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(w.ca.Certificate)
	config := &tls.Config{RootCAs: pool, ServerName: "localhost"}
	if id != (testca.Identity{}) {
		certificate, err := tls.LoadX509KeyPair(id.CertFile, id.KeyFile)
		must.OK(w.t, err)
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &certificate, nil // whatever CAs the server names
		}
	}
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", address, config)
	if err != nil {
		return nil, err
	}
	w.t.Cleanup(func() { _ = conn.Close() })
	return conn, nil
}

// says writes to an echo and wants to read the same.
func says(conn net.Conn, text string) error {
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, text); err != nil {
		return err
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(conn, got); err != nil {
		return err
	}
	if string(got) != text {
		return fmt.Errorf("the echo says %q, want %q", got, text)
	}
	return nil
}

// talks connects as ann and uses the echo.
func (w *world) talks(address string) error {
	w.t.Helper()
	conn, err := w.dial(address, w.ann)
	if err != nil {
		return err
	}
	defer conn.Close()
	return says(conn, "hello")
}

// logs waits until the log has a line with all of these texts.
func (w *world) logs(texts ...string) {
	w.t.Helper()
	testpeer.Eventually(w.t, fmt.Sprintf("the log has %q", texts), func() bool {
		return w.count(texts...) > 0
	})
}

// count counts the lines of the log with all of these texts.
func (w *world) count(texts ...string) (n int) {
lines:
	for line := range strings.Lines(w.log.String()) {
		for _, text := range texts {
			if !strings.Contains(line, text) {
				continue lines
			}
		}
		n++
	}
	return n
}
