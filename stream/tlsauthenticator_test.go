package stream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// TestTLSConfigurationErrors: a configuration that makes no sense is an error that names the file,
// before anybody is let in.
func TestTLSConfigurationErrors(t *testing.T) {
	ca := newAuthority(t, "CA")
	server, other := ca.issue("server"), ca.issue("other")
	write := func(name, content string) string {
		file := filepath.Join(ca.dir, name)
		must.OK(t, os.WriteFile(file, []byte(content), 0o600))
		return file
	}
	empty := write("empty.pem", "")
	broken := write("broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
	whole, err := os.ReadFile(ca.file)
	must.OK(t, err)
	damaged := write("damaged.pem",
		"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"+string(whole))
	chain, err := os.ReadFile(server.cert)
	must.OK(t, err)
	halfChain := write("half-chain.pem", string(chain)+string(whole[:100]))
	encrypted := write("encrypted.pem",
		"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
	oversized := filepath.Join(ca.dir, "oversized.pem")
	must.OK(t, os.WriteFile(oversized, nil, 0o600))
	must.OK(t, os.Truncate(oversized, maxFileSize+1))
	policy := func(p tls.ClientAuthType) *tls.ClientAuthType { return &p }
	for name, c := range map[string]struct {
		authenticator *TLSAuthenticator
		want          string
	}{
		"nil":            {nil, "nil"},
		"nothing":        {&TLSAuthenticator{}, "without a CertFile"},
		"no certificate": {&TLSAuthenticator{KeyFile: server.key}, "without a CertFile"},
		"no key": {&TLSAuthenticator{CertFile: server.cert},
			server.cert + ": no PEM private key"},
		"missing certificate": {&TLSAuthenticator{CertFile: "/nowhere.crt", KeyFile: server.key},
			"/nowhere.crt: no such file"},
		"missing key": {&TLSAuthenticator{CertFile: server.cert, KeyFile: "/nowhere.key"},
			"/nowhere.key: no such file"},
		"missing CA": {&TLSAuthenticator{CertFile: server.cert, KeyFile: server.key,
			CAFile: "/nowhere.ca"}, "/nowhere.ca: no such file"},
		"another's key": {&TLSAuthenticator{CertFile: server.cert, KeyFile: other.key},
			server.cert + ", " + other.key + ": tls: private key does not match"},
		"empty certificate": {&TLSAuthenticator{CertFile: empty, KeyFile: server.key},
			empty + ": no PEM certificate"},
		"broken certificate": {&TLSAuthenticator{CertFile: broken, KeyFile: server.key}, broken},
		"certificate as key": {&TLSAuthenticator{CertFile: server.cert, KeyFile: server.cert},
			server.cert + ": no PEM private key"},
		"encrypted key": {&TLSAuthenticator{CertFile: server.cert, KeyFile: encrypted},
			encrypted + ": the private key is encrypted"},
		"empty CA": {&TLSAuthenticator{CertFile: server.cert, KeyFile: server.key, CAFile: empty},
			empty + ": no PEM certificate"},
		"broken CA": {&TLSAuthenticator{CertFile: server.cert, KeyFile: server.key, CAFile: broken},
			broken + ": certificate 1: "},
		"damaged CA": {&TLSAuthenticator{CertFile: server.cert, KeyFile: server.key, CAFile: damaged},
			damaged + ": of 2 PEM blocks only 1"},
		"a limit below 0": {&TLSAuthenticator{CertFile: server.cert, KeyFile: server.key,
			StaleLimit: -1}, "negative StaleLimit"},
		"half a chain": {&TLSAuthenticator{CertFile: halfChain, KeyFile: server.key},
			halfChain + ": of 2 PEM blocks only 1"},
		"key as CA": {&TLSAuthenticator{CertFile: server.cert, KeyFile: server.key, CAFile: server.key},
			server.key + ": no PEM certificate"},
		"directory": {&TLSAuthenticator{CertFile: ca.dir, KeyFile: server.key},
			ca.dir + ": not a regular file"},
		"oversized": {&TLSAuthenticator{CertFile: server.cert, KeyFile: server.key, CAFile: oversized},
			oversized + ": larger than"},
		"required without CA": {&TLSAuthenticator{CertFile: server.cert, KeyFile: server.key,
			ClientAuth: policy(tls.RequireAndVerifyClientCert)}, "without a CAFile"},
		"verified without CA": {&TLSAuthenticator{CertFile: server.cert, KeyFile: server.key,
			ClientAuth: policy(tls.VerifyClientCertIfGiven)}, "without a CAFile"},
		"unknown policy": {&TLSAuthenticator{CertFile: server.cert, KeyFile: server.key,
			ClientAuth: policy(17)}, "unknown ClientAuth 17"},
		"unknown suite": {&TLSAuthenticator{CertFile: server.cert, KeyFile: server.key,
			CipherSuites: []uint16{1}}, "unknown cipher suite 0x0001"},
		"no suite": {&TLSAuthenticator{CertFile: server.cert, KeyFile: server.key,
			CipherSuites: []uint16{}}, "empty but not nil"},
		"unknown version": {&TLSAuthenticator{CertFile: server.cert, KeyFile: server.key,
			MinVersion: 0x0300}, "unknown TLS version 0x0300"},
		"versions the wrong way": {&TLSAuthenticator{CertFile: server.cert, KeyFile: server.key,
			MaxVersion: tls.VersionTLS11}, "no TLS version from TLS 1.2 to TLS 1.1"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, err := range []error{
				c.authenticator.Check(),
				Chain(c.authenticator).(checker).Check(),
				(&Server{Authenticator: c.authenticator, Handler: echo}).Serve(newListener(t)),
				(&Server{Authenticator: c.authenticator, Handler: echo}).ListenAndServe("tcp", "127.0.0.1:0"),
				refusedBy(c.authenticator),
			} {
				if err == nil || !strings.Contains(err.Error(), c.want) ||
					!strings.HasPrefix(err.Error(), "stream: ") {
					t.Errorf("%v, want %q", err, c.want)
				}
			}
		})
	}
}

// refusedBy returns the error with which an Authenticator that cannot work refuses a connection.
func refusedBy(a Authenticator) error {
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	_, _, err := a.Authenticate(context.Background(), here)
	return err
}

// TestClientCertificates: which clients each policy lets in, and with which credentials.
func TestClientCertificates(t *testing.T) {
	ca, foreign := newAuthority(t, "CA"), newAuthority(t, "another CA")
	server := ca.issue("server")
	clients := map[string]identity{
		"none":    {},
		"good":    ca.issue("ann"),
		"foreign": foreign.issue("mallory"),
		"expired": ca.issue("late", expired),
		"server's": ca.issue("misused", func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		}),
	}
	const refused, anonymous = "refused", "let in without credentials"
	for _, c := range []struct {
		name string
		ca   bool
		auth tls.ClientAuthType // -1: nil
		want map[string]string  // by client; "" stands for those not named
	}{
		{"default without a CA", false, -1, map[string]string{"": anonymous}},
		{"default with a CA", true, -1, map[string]string{"good": "ann", "": refused}},
		{"none", true, tls.NoClientCert, map[string]string{"": anonymous}},
		{"request", true, tls.RequestClientCert, map[string]string{"": anonymous}},
		{"any", true, tls.RequireAnyClientCert, map[string]string{"none": refused, "": anonymous}},
		{"if given", true, tls.VerifyClientCertIfGiven,
			map[string]string{"none": anonymous, "good": "ann", "": refused}},
		{"verified", true, tls.RequireAndVerifyClientCert, map[string]string{"good": "ann", "": refused}},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(c.name+" "+tls.VersionName(version), func(t *testing.T) {
				a := &TLSAuthenticator{CertFile: server.cert, KeyFile: server.key, MaxVersion: version}
				if c.ca {
					a.CAFile = ca.file
				}
				if c.auth >= 0 {
					a.ClientAuth = &c.auth
				}
				log := &logbuffer.Buffer{}
				got := make(chan string, 1)
				address := start(t,
					&Server{Authenticator: a, Logger: log.Logger(),
						Handler: func(ctx context.Context, conn net.Conn, credentials any) {
							if credentials == nil {
								got <- anonymous
							} else {
								got <- credentials.([]*x509.Certificate)[0].Subject.CommonName
							}
							echo(ctx, conn, nil)
						}})
				for name, client := range clients {
					want, ok := c.want[name]
					if !ok {
						want = c.want[""]
					}
					err := sayHello(t, address,
						TLSClient{CAFile: ca.file, CertFile: client.cert, KeyFile: client.key})
					if (err != nil) != (want == refused) {
						t.Errorf("%s: %v", name, err)
					}
					if want == refused {
						if err == nil || !strings.Contains(err.Error(), "remote error: tls: ") {
							t.Errorf("%s does not learn why it is refused: %v", name, err)
						}
						continue
					}
					if who := <-got; who != want {
						t.Errorf("%s: %s, want %s", name, who, want)
					}
				}
				if len(got) != 0 {
					t.Errorf("the Handler has served one more: %s", <-got)
				}
			})
		}
	}
}

// TestTLSVersionsAndSuites: the configured version and suite are used.
func TestTLSVersionsAndSuites(t *testing.T) {
	ca := newAuthority(t, "CA")
	server := ca.issue("server")
	const suite = tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
	address := start(t, &Server{Handler: echo, Authenticator: &TLSAuthenticator{
		CertFile: server.cert, KeyFile: server.key, CipherSuites: []uint16{suite},
		MaxVersion: tls.VersionTLS12,
	}})
	conn, err := DialTLS(patient(t), address, TLSClient{CAFile: ca.file})
	must.OK(t, err)
	defer conn.Close()
	if state := conn.(*tls.Conn).ConnectionState(); state.CipherSuite != suite ||
		state.Version != tls.VersionTLS12 {
		t.Errorf("%s, %s", tls.CipherSuiteName(state.CipherSuite), tls.VersionName(state.Version))
	}
	if err := sayHello(t, address,
		TLSClient{CAFile: ca.file, MinVersion: tls.VersionTLS13}); err == nil {
		t.Error("a client that wants TLS 1.3 is let in")
	}
	other := TLSClient{CAFile: ca.file,
		CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}}
	if err := sayHello(t, address, other); err == nil {
		t.Error("a client with another suite is let in")
	}
}

// TestCombinedFile: the key may be in the certificate's file, at the server and at the client.
func TestCombinedFile(t *testing.T) {
	ca := newAuthority(t, "CA")
	both := func(id identity) string {
		cert, err := os.ReadFile(id.cert)
		must.OK(t, err)
		key, err := os.ReadFile(id.key)
		must.OK(t, err)
		replace(t, id.cert, append(key, cert...))
		return id.cert
	}
	address := start(t,
		&Server{Handler: echo,
			Authenticator: &TLSAuthenticator{CertFile: both(ca.issue("server")), CAFile: ca.file}})
	must.OK(t, sayHello(t, address, TLSClient{CAFile: ca.file, CertFile: both(ca.issue("ann"))}))
}

// TestAuthenticateAlone: without a Server, ctx ends a handshake too.
func TestAuthenticateAlone(t *testing.T) {
	testpeer.NothingLeft(t)
	ca := newAuthority(t, "CA")
	server := ca.issue("server")
	here, there := net.Pipe()
	defer there.Close()
	ctx, cancel := context.WithCancelCause(context.Background())
	because := errors.New("because")
	cancel(because)
	a := &TLSAuthenticator{CertFile: server.cert, KeyFile: server.key}
	_, credentials, err := a.Authenticate(ctx, here)
	var refused *AuthenticationError
	if !errors.As(err, &refused) || !errors.Is(err, because) || credentials != nil {
		t.Errorf("%v, %v", credentials, err)
	}
}
