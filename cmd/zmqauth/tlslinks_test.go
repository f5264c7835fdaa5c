package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/daemon"
	"github.com/zmqauth/zmqauth/internal/links"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/proxy"
	"github.com/zmqauth/zmqauth/internal/testca"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
	"github.com/zmqauth/zmqauth/stream"
)

// authority makes a CA in dir, with certificates of the server and of ann.
func authority(t testing.TB, dir string) (ca *testca.Authority, server, ann testca.Identity) {
	t.Helper()
	ca, err := testca.New(dir, "test")
	must.OK(t, err)
	server, err = ca.Issue("server")
	must.OK(t, err)
	ann, err = ca.Issue("ann")
	must.OK(t, err)
	return ca, server, ann
}

// website serves "hello" over HTTP and returns its host and port.
func website(t testing.TB) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "hello")
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// listens returns the port at which a process listens for what it carries to a place.
func (p *proxyProcess) listens(to string) string {
	p.t.Helper()
	line := p.waitFor(links.MessageListening, map[string]string{"connect": to, "listen": "127.0.0.1:"})
	return fmt.Sprint(line["listen"])
}

// execOutput runs a program and returns what it prints.
func execOutput(t testing.TB, input, program string, args ...string) (string, error) {
	t.Helper()
	command := exec.CommandContext(t.Context(), program, args...)
	command.Stdin = strings.NewReader(input)
	out, err := command.CombinedOutput()
	return string(out), err
}

// TestTLSServePeers: curl, openssl and Python get through tls-serve to a web server with a
// certificate of the CA, and not without it.
func TestTLSServePeers(t *testing.T) {
	dir := t.TempDir()
	ca, server, ann := authority(t, dir)
	service := website(t)
	p := startLink(t, dir, "tls-serve", "--listen", "127.0.0.1:0", "--connect", service,
		"--cert", server.CertFile, "--key", server.KeyFile, "--ca", "ca.crt", "--allow", "CN=ann")
	at := p.listens(service)
	host, port, err := net.SplitHostPort(at)
	must.OK(t, err)
	const request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
	const script = `
import socket, ssl, sys
host, port, ca, cert, key = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
if cert:
    context.load_cert_chain(cert, key)
with socket.create_connection((host, int(port))) as raw:
    with context.wrap_socket(raw, server_hostname="localhost") as conn:
        conn.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        while data := conn.recv(1000):
            print(data.decode())
`
	curl := testpeer.Program(t, "curl", "curl")
	openssl := testpeer.Program(t, "openssl", "openssl")
	python := testpeer.Python(t, "ssl", "python3")
	certificate := []string{"--cert", ann.CertFile, "--key", ann.KeyFile}
	credentials := []string{"-cert", ann.CertFile, "-key", ann.KeyFile}
	for name, peer := range map[string]func(known bool) (string, error){
		"curl": func(known bool) (string, error) {
			args := []string{"-sS", "--noproxy", "*", "--cacert", ca.File, "https://" + at + "/"}
			if known {
				args = append(args, certificate...)
			}
			return execOutput(t, "", curl, args...)
		},
		"openssl": func(known bool) (string, error) {
			args := []string{"s_client", "-quiet", "-connect", at, "-CAfile", ca.File,
				"-verify_return_error", "-servername", "localhost"}
			if known {
				args = append(args, credentials...)
			}
			return execOutput(t, request, openssl, args...)
		},
		"Python": func(known bool) (string, error) {
			if !known {
				return execOutput(t, "", python, "-c", script, host, port, ca.File, "", "")
			}
			return execOutput(t, "", python, "-c", script, host, port, ca.File, ann.CertFile, ann.KeyFile)
		},
	} {
		t.Run(name, func(t *testing.T) {
			if out, err := peer(true); err != nil || !strings.Contains(out, "hello") {
				t.Errorf("%v\n%s", err, out)
			}
			if out, err := peer(false); err == nil && strings.Contains(out, "hello") {
				t.Errorf("a stranger gets in:\n%s", out)
			}
		})
	}
	p.waitFor("stream: a client is not let in", map[string]string{
		"level": "INFO", "error": "didn't provide a certificate"})
	p.waitFor(links.MessageAccepted, map[string]string{"level": "DEBUG", "subject": "CN=ann"})

	// SIGHUP looks at the files, and ends nothing.
	must.OK(t, p.cmd.Process.Signal(syscall.SIGHUP))
	p.waitFor(links.MessageLooked, nil)
	must.OK(t, os.Chmod(server.KeyFile, 0o644))
	must.OK(t, p.cmd.Process.Signal(syscall.SIGHUP))
	p.waitFor(links.MessageWrong, map[string]string{"error": "a secret that others can reach"})
	must.OK(t, p.stop(syscall.SIGTERM))
}

// TestTLSStunnel: stunnel is the other end of tls-serve, and of tls-connect.
func TestTLSStunnel(t *testing.T) {
	testpeer.Program(t, "stunnel4", "stunnel4", "stunnel")
	dir := t.TempDir()
	ca, server, ann := authority(t, dir)
	service := website(t)
	curl := testpeer.Program(t, "curl", "curl")
	gets := func(address string, more ...string) {
		t.Helper()
		args := append([]string{"-sS", "--noproxy", "*", "http://" + address + "/"}, more...)
		if out, err := execOutput(t, "", curl, args...); err != nil || out != "hello" {
			t.Errorf("%s: %v, %q", address, err, out)
		}
	}
	p := startLink(t, dir, "tls-serve", "--listen", "127.0.0.1:0", "--connect", service,
		"--cert", server.CertFile, "--key", server.KeyFile, "--ca", "ca.crt", "--min-tls", "1.3")
	client, err := daemon.StartStunnel(dir, p.listens(service), ca, ann, "client = yes")
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, client.Stop()) })
	gets(client.Address)

	far, err := daemon.StartStunnel(dir, service, ca, server)
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, far.Stop()) })
	q := startLink(t, dir, "tls-connect", "--listen", "unix:c.sock", "--connect", far.Address,
		"--ca", "ca.crt", "--cert", ann.CertFile, "--key", ann.KeyFile)
	gets("localhost", "--unix-socket", filepath.Join(dir, "c.sock"))
	must.OK(t, q.stop(syscall.SIGINT))
	if _, err := os.Lstat(filepath.Join(dir, "c.sock")); !os.IsNotExist(err) {
		t.Errorf("the socket is left: %v", err)
	}
	must.OK(t, p.stop(syscall.SIGTERM))
}

// TestTLSServeFollows: a replaced certificate, and one that is taken back, are in force without a
// signal.
func TestTLSServeFollows(t *testing.T) {
	dir := t.TempDir()
	ca, server, ann := authority(t, dir)
	crl, err := ca.RevocationList(nil)
	must.OK(t, err)
	must.OK(t, os.WriteFile(filepath.Join(dir, "ca.crl"), crl, 0o600))
	p := startLink(t, dir, "tls-serve", "--listen", "127.0.0.1:0", "--connect", website(t),
		"--cert", server.CertFile, "--key", server.KeyFile, "--ca", "ca.crt", "--crl", "ca.crl")
	openssl := testpeer.Program(t, "openssl", "openssl")
	command := exec.Command(openssl, "s_client", "-quiet", "-connect", p.listens(""),
		"-cert", ann.CertFile, "-key", ann.KeyFile)
	stdin, err := command.StdinPipe() // so that it stays
	must.OK(t, err)
	must.OK(t, command.Start())
	p.waitFor(links.MessageAccepted, nil)
	certificate, err := os.ReadFile(ann.CertFile)
	must.OK(t, err)
	must.OK(t, os.WriteFile(filepath.Join(dir, "ca.crl"), revoke(t, ca, certificate), 0o600))
	p.waitFor("stream: a client's connection is ended", map[string]string{"error": "revoked"})
	_ = command.Wait() // the connection has been reset
	_ = stdin.Close()
	must.OK(t, p.stop(syscall.SIGTERM))
}

// TestTLSServeStalledLog: a reader of the log that takes nothing stops nobody, and its end ends
// nothing.
func TestTLSServeStalledLog(t *testing.T) {
	dir := t.TempDir()
	_, server, ann := authority(t, dir)
	service := website(t)
	port := freeEndpoint(t)[len("tcp://"):]
	command := exec.Command(binary, "tls-serve", "--listen", port, "--connect", service,
		"--cert", server.CertFile, "--key", server.KeyFile, "--ca", "ca.crt")
	command.Dir = dir
	read, write, err := os.Pipe()
	must.OK(t, err)
	command.Stderr = write
	must.OK(t, command.Start())
	must.OK(t, write.Close())
	t.Cleanup(func() { _ = command.Process.Kill() })
	curl := testpeer.Program(t, "curl", "curl")
	get := func() bool {
		out, err := execOutput(t, "", curl, "-sS", "--noproxy", "*", "-k", "--cert", ann.CertFile,
			"--key", ann.KeyFile, "https://"+port+"/")
		return err == nil && out == "hello"
	}
	testpeer.Eventually(t, "it serves", get)
	must.OK(t, read.Close())
	for range 3 {
		if !get() {
			t.Error("it does not serve after the end of the log's reader")
		}
	}
	must.OK(t, command.Process.Signal(syscall.SIGTERM))
	must.OK(t, command.Wait())
}

// revoke returns a list in which a certificate is revoked.
func revoke(t testing.TB, ca *testca.Authority, text []byte) []byte {
	t.Helper()
	block, _ := pem.Decode(text)
	certificate, err := x509.ParseCertificate(block.Bytes)
	must.OK(t, err)
	list, err := ca.RevocationList(func(l *x509.RevocationList) {
		l.ThisUpdate = time.Now()
		l.Number.SetInt64(2)
	}, certificate)
	must.OK(t, err)
	return list
}

// TestProxyTLSFrontend: clients reach a frontend through TLS alone, with a certificate of the CA
// and with the credentials that its mechanism wants.
func TestProxyTLSFrontend(t *testing.T) {
	dir := t.TempDir()
	_, server, ann := authority(t, dir)
	zctx := testzmq.NewContext(t)
	must.OK(t, os.WriteFile(filepath.Join(dir, "passwords"), []byte("ann=secret\n"), 0o600))
	frontend := "frontend = f\n    type = router\n    tls = edge\n    backend = " + echo(t, zctx) +
		"\n    mechanism = plain\n    domain = d\n"
	serve := "tls-serve = edge\n    listen = 127.0.0.1:0\n    cert = " + server.CertFile +
		"\n    key = " + server.KeyFile + "\n    ca = ca.crt\n    allow = CN=ann\n"
	domain := "domain = d\n    plain = passwords\n"
	p := startProxy(t, dir, domain+frontend+serve)
	line := p.waitFor(links.MessageListening, map[string]string{"listen": "127.0.0.1:"})
	connect := func(certificate testca.Identity, password string) error {
		forward, err := stream.ForwardTLS(t.Context(), "", fmt.Sprint(line["listen"]), stream.TLSClient{
			CAFile: filepath.Join(dir, "ca.crt"), ServerName: "localhost",
			CertFile: certificate.CertFile, KeyFile: certificate.KeyFile})
		if err != nil {
			return err
		}
		t.Cleanup(func() { _ = forward.Close() })
		client := testzmq.NewSocket(t, zctx, zmq4.REQ)
		must.OK(t, zmqauth.PlainClient(client, "ann", password))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := zmqauth.Connect(ctx, client, forward.Endpoint()); err != nil {
			return err
		}
		return ask(client, "hello")
	}
	if err := connect(ann, "secret"); err != nil {
		t.Error(err)
	}
	if err := connect(ann, "wrong"); !errors.Is(err, zmqauth.ErrDenied) {
		t.Errorf("a wrong password: %v", err)
	}
	if err := connect(server, "secret"); err == nil {
		t.Error("another certificate")
	}
	p.reload(proxy.MessageReloaded)
	if err := connect(ann, "secret"); err != nil {
		t.Errorf("after a reload: %v", err)
	}
	must.OK(t, p.stop(syscall.SIGTERM))
	second := strings.Replace(frontend, "= f\n", "= g\n", 1)
	bound := frontend + "    bind = tcp://127.0.0.1:1\n"
	for name, config := range map[string]string{
		`there is no tls-serve "edge"`:             frontend,
		"the tls-serve has no connect":             serve,
		"connects to something else":               frontend + serve + "    connect = 127.0.0.1:1\n",
		`the frontend "f" has the tls-serve "edge`: frontend + second + serve,
		"clients come by one of them":              bound + serve,
	} {
		policy := filepath.Join(dir, "wrong.zpl")
		must.OK(t, os.WriteFile(policy, []byte(domain+config), 0o600))
		got := execute(t, "check", "--config", policy)
		if got.code != exitFailure || !strings.Contains(got.stderr, name) {
			t.Errorf("%s: %d, %s", name, got.code, got.stderr)
		}
	}
}
