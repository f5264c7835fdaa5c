package stream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/files"
	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// reloadable is a server whose files a test changes.
type reloadable struct {
	t       *testing.T
	dir     string
	ca      *authority
	address string
	log     *logbuffer.Buffer
}

func newReloadable(t *testing.T) *reloadable {
	t.Helper()
	r := &reloadable{t: t, dir: t.TempDir(), ca: newAuthority(t, "CA"), log: &logbuffer.Buffer{}}
	r.put(r.ca.issue("first"), r.ca)
	r.address = start(t, &Server{Handler: echo, Logger: quiet(), Authenticator: &TLSAuthenticator{
		CertFile: r.file("server.crt"), KeyFile: r.file("server.key"), CAFile: r.file("ca.crt"),
		Logger: r.log.Logger(),
	}})
	return r
}

func (r *reloadable) file(name string) string { return filepath.Join(r.dir, name) }

// put replaces all files, one after another.
func (r *reloadable) put(server identity, ca *authority) {
	r.t.Helper()
	r.copy(server.cert, "server.crt")
	r.copy(server.key, "server.key")
	r.copy(ca.file, "ca.crt")
}

func (r *reloadable) copy(from, name string) {
	r.t.Helper()
	content, err := os.ReadFile(from)
	must.OK(r.t, err)
	replace(r.t, r.file(name), content)
}

// config returns the configuration of a client that accepts the servers of ca.
func config(client identity, ca *authority) TLSClient {
	return TLSClient{CAFile: ca.file, CertFile: client.cert, KeyFile: client.key}
}

// serverName is the name in the certificate that the server shows.
func (r *reloadable) serverName(client TLSClient) string {
	r.t.Helper()
	conn, err := DialTLS(patient(r.t), r.address, client)
	must.OK(r.t, err)
	defer conn.Close()
	must.OK(r.t, exchange(conn, "hello"))
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName
}

// TestReload: changed files apply from the next handshake on. Open connections stay open.
func TestReload(t *testing.T) {
	r := newReloadable(t)
	ann := r.ca.issue("ann")
	old, err := DialTLS(patient(t), r.address, config(ann, r.ca))
	must.OK(t, err)
	defer old.Close()
	must.OK(t, exchange(old, "before"))

	for i := range 3 { // in quick succession, because no two changes may be too close
		name := fmt.Sprint("server ", i)
		second := r.ca.issue(name)
		r.put(second, r.ca)
		if got := r.serverName(config(ann, r.ca)); got != name {
			t.Errorf("the server shows the certificate %q, want %q", got, name)
		}
	}
	other := newAuthority(t, "another CA")
	bob := other.issue("bob")
	if err := sayHello(t, r.address, config(bob, r.ca)); err == nil {
		t.Error("a stranger is let in")
	}
	r.copy(other.file, "ca.crt")
	must.OK(t, sayHello(t, r.address, config(bob, r.ca)))
	if err := sayHello(t, r.address, config(ann, r.ca)); err == nil ||
		!strings.Contains(err.Error(), "remote error: tls:") {
		t.Errorf("a client whose CA has been removed: %v", err)
	}
	must.OK(t, exchange(old, "after"))
}

// TestReloadInPlace: a change is noticed, too, if a file is overwritten with content of the same
// size.
func TestReloadInPlace(t *testing.T) {
	r := newReloadable(t)
	ann := config(r.ca.issue("ann"), r.ca)
	names := []string{"one", "two", "six"}
	var pairs []string
	for _, name := range names { // a combined file, so that one write changes all
		id := r.ca.issue(name)
		cert, err := os.ReadFile(id.cert)
		must.OK(t, err)
		key, err := os.ReadFile(id.key)
		must.OK(t, err)
		pairs = append(pairs, string(cert)+string(key))
	}
	file := r.file("both.pem")
	a := &TLSAuthenticator{CertFile: file, CAFile: r.ca.file, Logger: quiet()}
	must.OK(t, os.WriteFile(file, []byte(pairs[0]), 0o600))
	must.OK(t, a.Check())
	r.address = start(t, &Server{Handler: echo, Authenticator: a})
	for i := range 30 {
		must.OK(t, os.WriteFile(file, []byte(pairs[i%3]), 0o600))
		if got := r.serverName(ann); got != names[i%3] {
			t.Fatalf("write %d: the server shows %q, want %q", i, got, names[i%3])
		}
	}
}

// TestBadReload: if changed files cannot be used, the previous ones stay in force. That is logged
// once. The files are used when they have been mended.
func TestBadReload(t *testing.T) {
	r := newReloadable(t)
	ann := config(r.ca.issue("ann"), r.ca)
	second := r.ca.issue("second")
	for _, c := range []struct {
		name   string
		damage func()
		want   string // in the log
	}{
		{"certificate without its key", func() {
			r.copy(second.cert, "server.crt")
		}, "private key does not match"},
		{"empty key", func() { replace(t, r.file("server.key"), nil) }, "server.key: no PEM private key"},
		{"half a CA", func() {
			must.OK(t, os.Truncate(r.file("ca.crt"), 100))
		}, "ca.crt: of 1 PEM blocks only 0"},
		{"a CA before ours and half of that", func() {
			replace(t, r.file("ca.crt"), join(t, newAuthority(t, "another CA").file, r.ca.file, 100))
		}, "ca.crt: of 2 PEM blocks only 1"},
		{"no CA", func() { must.OK(t, os.Remove(r.file("ca.crt"))) }, "ca.crt: no such file"},
		{"no certificate", func() {
			must.OK(t, os.Remove(r.file("server.crt")))
		}, "server.crt: no such file"},
	} {
		first := r.ca.issue("first")
		r.put(first, r.ca)
		if got := r.serverName(ann); got != "first" {
			t.Fatalf("%s: mended, the server shows %q", c.name, got)
		}
		before := strings.Count(r.log.String(), c.want)
		c.damage()
		for range 3 {
			if got := r.serverName(ann); got != "first" {
				t.Errorf("%s: the server shows %q", c.name, got)
			}
			if err := sayHello(t, r.address, TLSClient{CAFile: r.ca.file}); err == nil {
				t.Errorf("%s: a client without a certificate is let in", c.name)
			}
		}
		if n := strings.Count(r.log.String(), c.want) - before; n != 1 {
			t.Errorf("%s: logged %d times:\n%s", c.name, n, r.log)
		}
	}
	if strings.Contains(r.log.String(), "PRIVATE KEY-----") ||
		strings.Contains(r.log.String(), "BEGIN") {
		t.Error("the log shows what is in the files")
	}
}

// join returns the content of a file, followed by the beginning of another.
func join(t *testing.T, file, other string, length int) []byte {
	t.Helper()
	whole, err := os.ReadFile(file)
	must.OK(t, err)
	part, err := os.ReadFile(other)
	must.OK(t, err)
	return append(whole, part[:length]...)
}

// TestReloadSymbolicLinks: Kubernetes replaces all files of a secret by changing one link.
func TestReloadSymbolicLinks(t *testing.T) {
	r := newReloadable(t)
	ann := config(r.ca.issue("ann"), r.ca)
	version := func(name string) {
		id := r.ca.issue(name)
		dir := r.file(".." + name)
		must.OK(t, os.Mkdir(dir, 0o700))
		for from, to := range map[string]string{id.cert: "tls.crt", id.key: "tls.key",
			r.ca.file: "ca.crt"} {
			content, err := os.ReadFile(from)
			must.OK(t, err)
			must.OK(t, os.WriteFile(filepath.Join(dir, to), content, 0o600))
		}
		must.OK(t, os.Symlink(".."+name, r.file("..data_tmp")))
		must.OK(t, os.Rename(r.file("..data_tmp"), r.file("..data")))
	}
	version("v1")
	a := &TLSAuthenticator{CertFile: r.file("tls.crt"), KeyFile: r.file("tls.key"),
		CAFile: r.file("secret-ca.crt"), Logger: quiet()}
	for name, target := range map[string]string{"tls.crt": "tls.crt", "tls.key": "tls.key",
		"secret-ca.crt": "ca.crt"} {
		must.OK(t, os.Symlink(filepath.Join("..data", target), r.file(name)))
	}
	r.address = start(t, &Server{Handler: echo, Authenticator: a})
	if got := r.serverName(ann); got != "v1" {
		t.Errorf("the server shows %q", got)
	}
	version("v2")
	if got := r.serverName(ann); got != "v2" {
		t.Errorf("after the link has changed the server shows %q", got)
	}
}

// TestResumption: a client resumes its session, but not after its CA was removed or after other
// changes.
func TestResumption(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			r := newReloadable(t)
			ann := r.ca.issue("ann")
			pair, err := tls.LoadX509KeyPair(ann.cert, ann.key)
			must.OK(t, err)
			roots := x509.NewCertPool()
			roots.AddCert(r.ca.Certificate)
			client := &tls.Config{
				ServerName: "localhost", RootCAs: roots, Certificates: []tls.Certificate{pair},
				MaxVersion:         version,
				ClientSessionCache: tls.NewLRUClientSessionCache(8),
			}
			hello := func() (resumed bool, err error) {
				conn := tls.Client(dialTCP(t, r.address), client)
				defer conn.Close()
				err = exchange(conn, "hello") // reads the ticket, too
				return conn.ConnectionState().DidResume, err
			}
			if resumed, err := hello(); resumed || err != nil {
				t.Fatalf("the first time: %v, %v", resumed, err)
			}
			if resumed, err := hello(); !resumed || err != nil {
				t.Errorf("the second time: resumed %v, %v", resumed, err)
			}
			r.copy(newAuthority(t, "another CA").file, "ca.crt")
			if _, err := hello(); err == nil {
				t.Error("a client whose CA has been removed comes back")
			}
			r.copy(r.ca.file, "ca.crt")
			if resumed, err := hello(); resumed || err != nil {
				t.Errorf("after its CA is back: resumed %v, %v", resumed, err)
			}
		})
	}
}

// TestReloadUnderLoad: no honest client is refused while the files change all the time, in two
// steps.
func TestReloadUnderLoad(t *testing.T) {
	r := newReloadable(t)
	ann := config(r.ca.issue("ann"), r.ca)
	pairs := []identity{r.ca.issue("first"), r.ca.issue("second")}
	must.OK(t, sayHello(t, r.address, ann)) // so that files have been read before they change
	var group sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		group.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if err := sayHello(t, r.address, ann); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range 100 {
		r.copy(pairs[i%2].cert, "server.crt")
		r.copy(pairs[i%2].key, "server.key")
	}
	close(done)
	group.Wait()
	if got := r.serverName(ann); got != "second" {
		t.Errorf("in the end the server shows %q", got)
	}
}

// TestFreshFile: a file that was written a moment ago is checked again, because another write may
// leave the same times.
func TestFreshFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	must.OK(t, os.WriteFile(file, []byte("content"), 0o600))
	look := func() bool {
		_, stamp, err := files.Read(file, maxFileSize, nil)
		must.OK(t, err)
		return newFileStamp(stamp).isCurrent(file)
	}
	if look() {
		t.Error("at once")
	}
	testpeer.Eventually(t, "it is not fresh any more", look)
}

// TestReloadOfOneThatWaits: a handshake that began before a change does not delay later ones.
func TestReloadOfOneThatWaits(t *testing.T) {
	r := newReloadable(t)
	ann := config(r.ca.issue("ann"), r.ca)
	silent := dialTCP(t, r.address)
	r.put(r.ca.issue("second"), r.ca)
	if got := r.serverName(ann); got != "second" {
		t.Errorf("the server shows %q", got)
	}
	_ = silent.Close()
}

// TestConcurrentFirstUse: many goroutines may be the first to use a TLSAuthenticator.
func TestConcurrentFirstUse(t *testing.T) {
	testpeer.NothingLeft(t)
	ca := newAuthority(t, "CA")
	server := ca.issue("server")
	a := &TLSAuthenticator{CertFile: server.cert, KeyFile: server.key}
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			here, there := net.Pipe()
			defer there.Close()
			ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
			defer cancel()
			if _, _, err := a.Authenticate(ctx, here); err == nil {
				t.Error("a silent client is let in")
			}
		})
	}
	group.Wait()
}
