package stream

import (
	"crypto/tls"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// pythonClient sends "hello" and expects it back, over TLS with Python's ssl.
const pythonClient = `
import json, socket, ssl, sys
case = json.loads(sys.argv[1])
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.load_verify_locations(case["ca"])
if case["cert"]:
    context.load_cert_chain(case["cert"], case["key"])
if case["version"]:
    # Without it OpenSSL does not even offer what is older than TLS 1.2.
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, case["version"])
try:
    with socket.create_connection((case["host"], case["port"]), timeout=30) as raw:
        with context.wrap_socket(raw, server_hostname=case["host"]) as conn:
            conn.sendall(b"hello")
            got = b""
            while len(got) < 5:
                more = conn.recv(5 - len(got))
                if not more:
                    raise EOFError
                got += more
            print("ok", conn.version(), got.decode())
            conn.unwrap()  # an orderly end, to which the server's answer is another
except ssl.SSLError as e:
    print("refused", e.reason)
except (OSError, EOFError) as e:
    print("cut", repr(e))
`

type pythonCase struct {
	Host    string `json:"host"`
	Port    string `json:"port"`
	CA      string `json:"ca"`
	Cert    string `json:"cert"`
	Key     string `json:"key"`
	Version string `json:"version"` // of ssl.TLSVersion; "": what Python likes
}

// TestPythonClients: which clients get in with Python's ssl, and what the others are told.
func TestPythonClients(t *testing.T) {
	python := testpeer.Python(t, "ssl", "python3")
	ca, foreign := newAuthority(t, "CA"), newAuthority(t, "another CA")
	server, ann := ca.issue("server"), ca.issue("ann")
	strict := &TLSAuthenticator{CertFile: server.cert, KeyFile: server.key, CAFile: ca.file}
	open := &TLSAuthenticator{CertFile: server.cert, KeyFile: server.key}
	old := &TLSAuthenticator{CertFile: server.cert, KeyFile: server.key, MinVersion: tls.VersionTLS10}
	past := ca.issue("past server", expired)
	late := &TLSAuthenticator{CertFile: past.cert, KeyFile: past.key}
	for name, c := range map[string]struct {
		authenticator *TLSAuthenticator
		client        identity
		ca            *authority
		version       string
		want          string
	}{
		"without a certificate, none wanted": {open, identity{}, ca, "", "ok TLSv1.3 hello"},
		"without a certificate": {strict, identity{}, ca, "",
			"refused TLSV13_ALERT_CERTIFICATE_REQUIRED"},
		"without a certificate, 1.2": {strict, identity{}, ca, "TLSv1_2",
			"refused SSLV3_ALERT_HANDSHAKE_FAILURE"},
		"with one":      {strict, ann, ca, "", "ok TLSv1.3 hello"},
		"with one, 1.2": {strict, ann, ca, "TLSv1_2", "ok TLSv1.2 hello"},
		"with one of another CA": {strict, foreign.issue("mallory"), ca, "",
			"refused TLSV1_ALERT_UNKNOWN_CA"},
		"with one of another CA, 1.2": {strict, foreign.issue("mallory"), ca, "TLSv1_2",
			"refused TLSV1_ALERT_UNKNOWN_CA"},
		"with an expired one": {strict, ca.issue("late", expired), ca, "",
			"refused SSLV3_ALERT_CERTIFICATE_EXPIRED"},
		"with an expired one, 1.2": {strict, ca.issue("late", expired), ca, "TLSv1_2",
			"refused SSLV3_ALERT_CERTIFICATE_EXPIRED"},
		"TLS 1.0": {strict, ann, ca, "TLSv1", "refused TLSV1_ALERT_PROTOCOL_VERSION"},
		"TLS 1.1": {strict, ann, ca, "TLSv1_1",
			"refused TLSV1_ALERT_PROTOCOL_VERSION"},
		"TLS 1.0 where it is allowed": {old, ann, ca, "TLSv1", "ok TLSv1 hello"},
		"that expects another CA's server": {open, identity{}, foreign, "",
			"refused CERTIFICATE_VERIFY_FAILED"},
		"of an expired server": {late, identity{}, ca, "", "refused CERTIFICATE_VERIFY_FAILED"},
	} {
		t.Run(name, func(t *testing.T) {
			log := &logbuffer.Buffer{}
			address := start(t, &Server{Authenticator: c.authenticator, Handler: echo, Logger: log.Logger()})
			host, port, _ := strings.Cut(address, ":")
			arguments, err := json.Marshal(
				pythonCase{host, port, c.ca.file, c.client.cert, c.client.key, c.version})
			must.OK(t, err)
			out, err := exec.CommandContext(patient(t), python, "-W", "ignore", "-c", pythonClient,
				string(arguments)).CombinedOutput()
			must.OK(t, err)
			if got := strings.TrimSpace(string(out)); got != c.want {
				t.Errorf("%s, want %s; the server:\n%s", got, c.want, log)
			}
		})
	}
}
