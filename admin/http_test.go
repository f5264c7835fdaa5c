package admin

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testca"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// token is one for tests.
const token = "correct-horse-battery"

// newAuth is an Authenticator that serves, and lets ann in to the domain orders.
func newAuth(t *testing.T, log *slog.Logger) *zmqauth.Authenticator {
	t.Helper()
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	auth, err := zmqauth.New(testzmq.NewContext(t), &zmqauth.Config{Logger: log})
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, auth.Close()) })
	must.OK(t, errors.Join(auth.ConfigurePlain("orders", map[string]string{"ann": "a"}),
		auth.Start()))
	return auth
}

// ask has a request judged.
func ask(t *testing.T, auth *zmqauth.Authenticator, domain, address, user, password string) {
	t.Helper()
	var request [][]byte
	for _, frame := range []string{"1.0", "1", domain, address, "", "PLAIN", user, password} {
		request = append(request, []byte(frame))
	}
	if auth.HandleZAPMessage(t.Context(), request) == nil {
		t.Fatal("no reply")
	}
}

// served is a server for tests, and a client of it.
type served struct {
	*HTTP
	client *http.Client
	base   string
	header http.Header
}

func serveHTTP(t *testing.T, address string, cfg HTTPConfig) *served {
	t.Helper()
	if cfg.Auth == nil {
		cfg.Auth = newAuth(t, nil)
	}
	h, err := ListenHTTP(t.Context(), address, cfg)
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, h.Close()) })
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, h.Addr().Network(), h.Addr().String())
	}
	s := &served{HTTP: h, header: make(http.Header), base: "http://localhost",
		client: &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
	t.Cleanup(s.client.CloseIdleConnections)
	return s
}

// do sends a request and returns the answer without its body.
func (s *served) do(t *testing.T, method, path string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, s.base+path, nil)
	must.OK(t, err)
	request.Header = s.header.Clone()
	if host := request.Header.Get("Host"); host != "" {
		request.Host = host
	}
	answer, err := s.client.Do(request)
	must.OK(t, err)
	defer answer.Body.Close()
	if answer.Header.Get("Content-Type") == "text/event-stream" {
		line, err := bufio.NewReader(answer.Body).ReadString('\n')
		must.OK(t, err)
		return answer, line
	}
	text, err := io.ReadAll(answer.Body)
	must.OK(t, err)
	return answer, string(text)
}

// expect asks for each path, and compares the statuses.
func (s *served) expect(t *testing.T, who string, want map[string]int) {
	t.Helper()
	for path, status := range want {
		if answer, text := s.do(t, http.MethodGet, path); answer.StatusCode != status {
			t.Errorf("%s: GET %s: %s, want %d: %s", who, path, answer.Status, status, text)
		}
	}
}

// everything is what a client may ask for who sees all.
var everything = map[string]int{"/": 200, "/page.js": 200, "/page.css": 200, "/metrics": 200,
	"/healthz": 200, "/readyz": 200, "/events": 200, "/index.html": 404, "/page/": 404, "/x": 404}

// TestHTTP: the owner of the process sees everything on loopback, and gets answers that a browser
// treats with care.
func TestHTTP(t *testing.T) {
	s := serveHTTP(t, "127.0.0.1:0", HTTPConfig{})
	s.expect(t, "owner", everything)
	for _, path := range []string{"/", "/metrics", "/events", "/x"} {
		answer, _ := s.do(t, http.MethodGet, path)
		for name, want := range map[string]string{"Content-Security-Policy": "default-src 'none'",
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
			"Referrer-Policy": "no-referrer", "Cache-Control": "no-store"} {
			if got := answer.Header.Get(name); !strings.HasPrefix(got, want) {
				t.Errorf("%s: %s: %q", path, name, got)
			}
		}
		if p := answer.Header.Get("Content-Security-Policy"); strings.Contains(p, "unsafe") {
			t.Error(p)
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS"} {
		if answer, _ := s.do(t, method, "/"); answer.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s: %s", method, answer.Status)
		}
	}
	for _, host := range []string{"evil.example", "evil.example:80", "127.0.0.1.evil.example",
		"localhost.evil.example", "10.0.0.1", "[::2]:80"} {
		s.header.Set("Host", host)
		s.expect(t, host, map[string]int{"/": 403, "/metrics": 403, "/healthz": 403, "/events": 403})
	}
	for _, host := range []string{"localhost:9090", "LOCALHOST", "127.0.0.1", "[::1]:80",
		"127.9.9.9"} {
		s.header.Set("Host", host)
		s.expect(t, host, everything)
	}
	for _, site := range []string{"cross-site", "same-site"} {
		s.header.Set("Sec-Fetch-Site", site)
		s.expect(t, site, map[string]int{"/": 403, "/metrics": 403, "/events": 403})
		s.header.Set("Sec-Fetch-Mode", "navigate")
		s.expect(t, site, map[string]int{"/": 200, "/events": 403})
		s.header.Del("Sec-Fetch-Mode")
	}
}

// TestHealth: what does not serve says so.
func TestHealth(t *testing.T) {
	ready := errors.New("not yet: <secret>")
	auth := newAuth(t, nil)
	s := serveHTTP(t, "127.0.0.1:0", HTTPConfig{Auth: auth,
		Program: Program{Ready: func() error { return ready }}})
	s.expect(t, "not ready", map[string]int{"/healthz": 200, "/readyz": 503})
	if _, text := s.do(t, http.MethodGet, "/readyz"); text != "no\n" {
		t.Errorf("%q", text)
	}
	ready = nil
	s.expect(t, "ready", map[string]int{"/healthz": 200, "/readyz": 200})
	must.OK(t, auth.Stop())
	s.expect(t, "stopped", map[string]int{"/healthz": 503, "/readyz": 503})
}

// TestToken: with the token everything is there.
func TestToken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	must.OK(t, os.WriteFile(file, []byte(token+"\n"), 0o600))
	h := &HTTP{kind: atLoopback}
	var err error
	h.secrets, err = newSecrets(HTTPConfig{TokenFile: file})
	must.OK(t, err)
	for header, want := range map[string]bool{
		"Bearer " + token: true, "bearer  " + token + " ": true, "Bearer " + token + "x": false,
		"Bearer": false, "": false, "Basic " + token: false, "Bearer " + token[:20]: false,
	} {
		r := &http.Request{Header: http.Header{"Authorization": {header}}}
		if h.hasToken(r) != want {
			t.Errorf("%q: %v", header, !want)
		}
	}
	r := &http.Request{Header: http.Header{}}
	for password, want := range map[string]bool{token: true, "": false, token + " ": false} {
		r.SetBasicAuth("anybody", password)
		if h.hasToken(r) != want {
			t.Errorf("%q: %v", password, !want)
		}
	}
	for text, want := range map[string]string{"short": "shorter than 16", "": "shorter than 16",
		token + "\n" + token: "several lines", token + "\x00": "has a character"} {
		must.OK(t, os.WriteFile(file, []byte(text), 0o600))
		_, err := newSecrets(HTTPConfig{TokenFile: file})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), token) {
			t.Errorf("%q: %v", text, err)
		}
	}
	must.OK(t, os.WriteFile(file, []byte(token), 0o600))
	must.OK(t, os.Chmod(file, 0o644))
	if _, err := newSecrets(HTTPConfig{TokenFile: file}); err == nil {
		t.Error("a token that everybody can read is in force")
	}
}

// TestElsewhere: at an address of other hosts strangers see health alone, with TLS. A certificate
// or the token shows the rest.
func TestElsewhere(t *testing.T) {
	dir := t.TempDir()
	ca, err := testca.New(dir, "ca")
	must.OK(t, err)
	other, err := testca.New(t.TempDir(), "other")
	must.OK(t, err)
	identity := func(by *testca.Authority, name string) testca.Identity {
		id, err := by.Issue(name)
		must.OK(t, err)
		return id
	}
	server, prometheus, eve := identity(ca, "server"), identity(ca, "prom"), identity(other, "eve")
	tokenFile := filepath.Join(dir, "token")
	must.OK(t, os.WriteFile(tokenFile, []byte(token), 0o600))
	s := serveHTTP(t, "0.0.0.0:0", HTTPConfig{CertFile: server.CertFile, KeyFile: server.KeyFile,
		ClientCAFile: ca.File, TokenFile: tokenFile})
	roots := x509.NewCertPool()
	roots.AddCert(ca.Certificate)
	as := func(who *testca.Identity) {
		config := &tls.Config{RootCAs: roots, ServerName: "localhost"}
		if who != nil {
			pair, err := tls.LoadX509KeyPair(who.CertFile, who.KeyFile)
			must.OK(t, err)
			config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				return &pair, nil
			}
		}
		s.client.Transport.(*http.Transport).TLSClientConfig = config
		s.base = "https://localhost"
	}
	nothing := map[string]int{"/": 401, "/page.js": 401, "/metrics": 401, "/events": 401, "/x": 401,
		"/healthz": 200, "/readyz": 200}
	as(nil)
	s.expect(t, "stranger", nothing)
	s.header.Set("Authorization", "Bearer "+token+"x")
	s.expect(t, "wrong token", nothing)
	s.header.Set("Authorization", "Bearer "+token)
	s.expect(t, "token", everything)
	s.header.Del("Authorization")
	as(&prometheus)
	s.expect(t, "certificate", everything)
	as(&eve)
	if _, err := s.client.Get("https://localhost/healthz"); err == nil {
		t.Error("a certificate of another CA is taken")
	}
	s.client.Transport.(*http.Transport).TLSClientConfig = nil
	if answer, err := s.client.Get("http://localhost/healthz"); err == nil {
		_ = answer.Body.Close()
		if answer.StatusCode == http.StatusOK {
			t.Error("it answers in clear")
		}
	}
}

// TestRenewed: a new certificate and a new token are in force without a restart. What is broken
// leaves the old ones in force.
func TestRenewed(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "token")
	must.OK(t, os.WriteFile(file, []byte(token), 0o600))
	var log strings.Builder
	s, err := newSecrets(HTTPConfig{TokenFile: file, Log: slog.New(slog.NewTextHandler(&log, nil))})
	must.OK(t, err)
	must.OK(t, os.WriteFile(file, []byte("another-"+token), 0o600))
	if !s.isToken(token) {
		t.Error("the file is read for each request")
	}
	s.read = s.read.Add(-secretsTime)
	if s.isToken(token) || !s.isToken("another-"+token) {
		t.Error("the new token is not in force")
	}
	must.OK(t, os.WriteFile(file, []byte("x"), 0o600))
	for range 2 {
		s.read = s.read.Add(-secretsTime)
		if !s.isToken("another-" + token) {
			t.Error("a broken file has changed the token")
		}
	}
	if strings.Count(log.String(), "cannot be used") != 1 || strings.Contains(log.String(), token) {
		t.Error(log.String())
	}
}

// TestCheck: what would show too much, or means nothing, is an error.
func TestCheck(t *testing.T) {
	group := 1
	full := HTTPConfig{CertFile: "c", KeyFile: "k", TokenFile: "t"}
	for _, test := range []struct {
		address string
		cfg     HTTPConfig
		want    string
	}{
		{"127.0.0.1:9090", HTTPConfig{}, ""}, {"[::1]:9090", HTTPConfig{}, ""},
		{"localhost:9090", HTTPConfig{TokenFile: "t"}, ""}, {"unix:/run/x", HTTPConfig{}, ""},
		{"/run/x", HTTPConfig{Group: &group}, ""}, {"127.0.0.1:9090", full, ""},
		{":9090", full, ""}, {"*:9090", full, ""}, {"10.0.0.1:9090", full, ""},
		{"h.example:9090", HTTPConfig{CertFile: "c", KeyFile: "k", ClientCAFile: "a"}, ""},
		{":9090", HTTPConfig{}, "other hosts reach"}, {"*:9090", HTTPConfig{}, "other hosts reach"},
		{"0.0.0.0:9090", HTTPConfig{TokenFile: "t"}, "other hosts reach"},
		{"[::]:9090", HTTPConfig{TokenFile: "t"}, "other hosts reach"},
		{"10.0.0.1:9090", HTTPConfig{CertFile: "c", KeyFile: "k"}, "other hosts reach"},
		{"localhost.example:80", HTTPConfig{}, "other hosts reach"},
		{"127.0.0.1:9090", HTTPConfig{CertFile: "c"}, "its key"},
		{"127.0.0.1:9090", HTTPConfig{KeyFile: "k"}, "its key"},
		{"127.0.0.1:9090", HTTPConfig{ClientCAFile: "a"}, "need TLS"},
		{"127.0.0.1:9090", HTTPConfig{Group: &group}, "a Unix socket"},
		{"/run/x", HTTPConfig{TokenFile: "t"}, "no token"}, {"unix:", HTTPConfig{}, "missing"},
		{"9090", HTTPConfig{}, "HOST:PORT"}, {"", HTTPConfig{}, "HOST:PORT"},
	} {
		err := test.cfg.Check(test.address)
		if (err == nil) != (test.want == "") ||
			err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.address, err, test.want)
		}
	}
}

// curlAs asks as another user, and returns the status.
func curlAs(t *testing.T, as syscall.Credential, args ...string) string {
	t.Helper()
	curl := testpeer.Program(t, "curl", "curl")
	cmd := exec.Command(curl, append([]string{"--silent", "--max-time", "30", "--noproxy", "*",
		"--write-out", "%{http_code} ", "--output", "/dev/null"}, args...)...)
	cmd.SysProcAttr, cmd.Dir = &syscall.SysProcAttr{Credential: &as}, "/"
	out, err := cmd.Output()
	if err != nil && len(out) == 0 {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// TestOtherUsers: a user of this host sees on loopback numbers alone, and with the token the rest.
func TestOtherUsers(t *testing.T) {
	testpeer.NeedRoot(t)
	tokenFile := filepath.Join(t.TempDir(), "token")
	must.OK(t, os.WriteFile(tokenFile, []byte(token), 0o600))
	const user, nobody = 4242, 65534
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		if strings.HasPrefix(address, "[") && !testpeer.HasIPv6(t) {
			continue
		}
		bare := serveHTTP(t, address, HTTPConfig{})
		guarded := serveHTTP(t, address, HTTPConfig{TokenFile: tokenFile})
		for _, uid := range []uint32{user, nobody} {
			as := syscall.Credential{Uid: uid, Gid: uid}
			for path, want := range map[string]string{"/": "200", "/metrics": "200",
				"/healthz": "200", "/events": "403"} {
				if got := curlAs(t, as, "http://"+bare.Addr().String()+path); got != want {
					t.Errorf("%s: uid %d: %s: %s, want %s", address, uid, path, got, want)
				}
			}
			at := "http://" + guarded.Addr().String() + "/events"
			if got := curlAs(t, as, at); got != "401" {
				t.Errorf("%s: uid %d without the token: %s", address, uid, got)
			}
			got := curlAs(t, as, "--head", "--user", "me:"+token, at)
			if got != "200" {
				t.Errorf("%s: uid %d with the token: %s", address, uid, got)
			}
		}
		root := syscall.Credential{}
		if got := curlAs(t, root, "--head", "http://"+bare.Addr().String()+"/events"); got != "200" {
			t.Errorf("%s: root: %s", address, got)
		}
	}
}

// TestUnixSocket: nobody but root, the owner and the group sees anything at a socket, whatever the
// modes of the files become.
func TestUnixSocket(t *testing.T) {
	testpeer.NeedRoot(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "http.sock")
	group := 4242
	s := serveHTTP(t, "unix:"+path, HTTPConfig{Group: &group})
	s.expect(t, "owner", everything)
	info, err := os.Stat(path)
	must.OK(t, err)
	if info.Mode().Perm() != 0o660 {
		t.Errorf("%v", info.Mode())
	}
	for _, d := range []string{path, dir, filepath.Dir(dir)} {
		must.OK(t, os.Chmod(d, 0o777))
	}
	for want, as := range map[string]syscall.Credential{
		"200": {Uid: 4243, Gid: uint32(group)}, "403": {Uid: 4243, Gid: 4243},
	} {
		for _, page := range []string{"/", "/metrics", "/healthz", "/x/../events"} {
			got := curlAs(t, as, "--head", "--unix-socket", path, "http://localhost"+page)
			if got != want {
				t.Errorf("%s as %d: %s, want %s", page, as.Gid, got, want)
			}
		}
	}
	must.OK(t, s.Close())
	if _, err := os.Stat(path); err == nil {
		t.Error("the socket is left")
	}
}

// TestOwnerOf: the kernel names the owner of a connection, and nobody once the other end is closed.
func TestOwnerOf(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must.OK(t, err)
	defer l.Close()
	near, err := net.Dial("tcp", l.Addr().String())
	must.OK(t, err)
	far, err := l.Accept()
	must.OK(t, err)
	defer far.Close()
	local, remote := addressOfConn(far.LocalAddr()), addressOfConn(far.RemoteAddr())
	if uid, ok := ownerOf(local, remote); !ok || uid != os.Geteuid() {
		t.Errorf("%d, %v", uid, ok)
	}
	if uid, ok := ownerOf(local, local); ok {
		t.Errorf("nobody's connection is of %d", uid)
	}
	must.OK(t, near.Close())
	if _, err := io.ReadAll(far); err != nil {
		t.Fatal(err)
	}
	if uid, ok := ownerOf(local, remote); ok {
		t.Errorf("an end that is closed belongs to %d", uid)
	}
	for _, broken := range [][]byte{nil, make([]byte, 87), make([]byte, 88), make([]byte, 4096)} {
		if uid, ok := diagOwner(broken); ok {
			t.Errorf("%d bytes name %d", len(broken), uid)
		}
	}
}
