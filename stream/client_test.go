package stream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// TestDialTLSVerifies: DialTLS verifies the chain and the name, unless InsecureSkipVerify is set.
func TestDialTLSVerifies(t *testing.T) {
	ca, foreign := newAuthority(t, "CA"), newAuthority(t, "another CA")
	elsewhere := func(c *x509.Certificate) {
		c.DNSNames, c.IPAddresses = []string{"elsewhere.example"}, nil
	}
	servers := map[string]string{}
	for name, id := range map[string]identity{
		"good":      ca.issue("good"),
		"expired":   ca.issue("expired", expired),
		"elsewhere": ca.issue("elsewhere", elsewhere),
		"foreign":   foreign.issue("foreign"),
		"a client's": ca.issue("client", func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		}),
	} {
		servers[name] = start(t,
			&Server{Handler: echo, Authenticator: &TLSAuthenticator{CertFile: id.cert, KeyFile: id.key}})
	}
	for _, c := range []struct {
		server string
		client TLSClient
		want   string // in the error; "": none
	}{
		{"good", TLSClient{CAFile: ca.file}, ""},
		{"good", TLSClient{CAFile: ca.file, ServerName: "localhost"}, ""},
		{"good", TLSClient{CAFile: ca.file, ServerName: "elsewhere.example"}, "not elsewhere.example"},
		{"good", TLSClient{}, "unknown authority"}, // by the system's CAs
		{"good", TLSClient{CAFile: foreign.file}, "unknown authority"},
		{"expired", TLSClient{CAFile: ca.file}, "expired"},
		{"elsewhere", TLSClient{CAFile: ca.file}, "127.0.0.1"},
		{"elsewhere", TLSClient{CAFile: ca.file, ServerName: "elsewhere.example"}, ""},
		{"foreign", TLSClient{CAFile: ca.file}, "unknown authority"},
		{"a client's", TLSClient{CAFile: ca.file}, "incompatible key usage"},
		{"foreign", TLSClient{InsecureSkipVerify: true}, ""},
		{"expired", TLSClient{InsecureSkipVerify: true}, ""},
	} {
		err := sayHello(t, servers[c.server], c.client)
		if c.want == "" && err != nil ||
			c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s, %+v: %v, want %q", c.server, c.client, err, c.want)
		}
		if refused := new(AuthenticationError); err != nil && !errors.As(err, &refused) {
			t.Errorf("%s: %T", c.server, err)
		}
	}
	_, port, err := net.SplitHostPort(servers["good"])
	must.OK(t, err)
	for _, address := range []string{"localhost:" + port, "tcp://" + servers["good"]} {
		must.OK(t, sayHello(t, address, TLSClient{CAFile: ca.file}))
	}
}

// TestDialTLSErrors: a configuration that makes no sense is an error before anything is dialled.
func TestDialTLSErrors(t *testing.T) {
	ca := newAuthority(t, "CA")
	ann, bob := ca.issue("ann"), ca.issue("bob")
	empty := filepath.Join(ca.dir, "empty")
	must.OK(t, os.WriteFile(empty, nil, 0o600))
	for name, c := range map[string]struct {
		address string
		client  TLSClient
		want    string
	}{
		"no port":           {"localhost", TLSClient{}, "localhost"},
		"another transport": {"ipc:///tmp/x", TLSClient{}, "ipc:///tmp/x"},
		"no host":           {":1", TLSClient{}, "nothing to verify the server by"},
		"a key alone":       {"localhost:1", TLSClient{KeyFile: ann.key}, "without a CertFile"},
		"another's key":     {"localhost:1", TLSClient{CertFile: ann.cert, KeyFile: bob.key}, bob.key},
		"missing certificate": {"localhost:1", TLSClient{CertFile: "/nowhere.crt", KeyFile: ann.key},
			"/nowhere.crt: no such file"},
		"empty CA":        {"localhost:1", TLSClient{CAFile: empty}, empty + ": no PEM certificate"},
		"unknown version": {"localhost:1", TLSClient{MinVersion: 7}, "unknown TLS version"},
		"unknown suite":   {"localhost:1", TLSClient{CipherSuites: []uint16{7}}, "unknown cipher suite"},
		"nil handshake":   {"localhost:1", TLSClient{Handshake: AuthenticatorFunc(nil)}, "is nil"},
	} {
		conn, err := DialTLS(patient(t), c.address, c.client)
		if conn != nil || err == nil || !strings.HasPrefix(err.Error(), "stream: ") ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Dial(patient(t), "tcp", "localhost:1", nil); err == nil {
		t.Error("Dial without an Authenticator")
	}
}

// TestDialTLSEnds: the end of ctx ends DialTLS while it connects and in either handshake. It does
// not end an established connection.
func TestDialTLSEnds(t *testing.T) {
	testpeer.NothingLeft(t)
	ca := newAuthority(t, "CA")
	server := ca.issue("server")
	hold := AuthenticatorFunc(func(_ context.Context, conn net.Conn) (net.Conn, any, error) {
		_, err := conn.Read(make([]byte, 1))
		return conn, nil, err
	})
	authenticator := &TLSAuthenticator{CertFile: server.cert, KeyFile: server.key}
	silent := newListener(t)
	for name, dial := range map[string]func(context.Context) (net.Conn, error){
		"TLS": func(ctx context.Context) (net.Conn, error) {
			return DialTLS(ctx, silent.Addr().String(), TLSClient{CAFile: ca.file})
		},
		"after TLS": func(ctx context.Context) (net.Conn, error) {
			address := start(t, &Server{Authenticator: authenticator, Handler: echo})
			return DialTLS(ctx, address, TLSClient{CAFile: ca.file, Handshake: hold})
		},
		"without TLS": func(ctx context.Context) (net.Conn, error) {
			return Dial(ctx, "tcp", silent.Addr().String(), hold)
		},
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		conn, err := dial(ctx)
		cancel()
		if conn != nil || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	conn, err := DialTLS(ctx, start(t, &Server{Authenticator: authenticator, Handler: echo}),
		TLSClient{CAFile: ca.file})
	must.OK(t, err)
	defer conn.Close()
	cancel()
	must.OK(t, exchange(conn, "hello"))
}

// TestHandshakeAfterTLS: a custom handshake follows TLS. The server combines what both have proved.
func TestHandshakeAfterTLS(t *testing.T) {
	ca := newAuthority(t, "CA")
	server, ann := ca.issue("server"), ca.issue("ann")
	word := AuthenticatorFunc(func(ctx context.Context, conn net.Conn) (net.Conn, any, error) {
		name := Credentials(ctx).([]*x509.Certificate)[0].Subject.CommonName
		next, who, err := password(ctx, conn)
		if err != nil {
			_, _ = io.WriteString(conn, "no\n")
			return nil, nil, err
		}
		_, err = io.WriteString(conn, "ok\n")
		return next, name + " who is " + who.(string), err
	})
	say := func(text string) AuthenticatorFunc {
		return func(_ context.Context, conn net.Conn) (net.Conn, any, error) {
			_ = conn.SetDeadline(time.Now().Add(patience)) // Dial must clear it
			if _, err := io.WriteString(conn, text); err != nil {
				return nil, nil, err
			}
			answer := make([]byte, 3)
			if _, err := io.ReadFull(conn, answer); err != nil {
				return nil, nil, err
			}
			if string(answer) != "ok\n" {
				return nil, nil, errors.New("the server says " + string(answer))
			}
			return conn, nil, nil
		}
	}
	got := make(chan any, 1)
	address := start(t, &Server{
		Authenticator: Chain(
			&TLSAuthenticator{CertFile: server.cert, KeyFile: server.key, CAFile: ca.file}, word),
		Handler: func(ctx context.Context, conn net.Conn, credentials any) {
			got <- credentials
			echo(ctx, conn, nil)
		},
	})
	client := config(ann, ca)
	client.Handshake = say("pass:alice")
	must.OK(t, sayHello(t, address, client))
	if who := <-got; who != "ann who is alice" {
		t.Errorf("credentials %v", who)
	}
	client.Handshake = say("pass alice")
	if err := sayHello(t, address, client); err == nil ||
		!strings.Contains(err.Error(), "the server says no") {
		t.Errorf("a wrong word: %v", err)
	}
}

// TestChainCredentials: the credentials of a Chain are the last ones that are not nil. A refusal
// has none.
func TestChainCredentials(t *testing.T) {
	prove := func(credentials any) Authenticator {
		return AuthenticatorFunc(func(_ context.Context, c net.Conn) (net.Conn, any, error) {
			return c, credentials, nil
		})
	}
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	for _, c := range []struct {
		chain Authenticator
		want  any
	}{
		{Chain(prove(nil)), nil},
		{Chain(prove("a"), prove(nil)), "a"},
		{Chain(prove("a"), prove("b"), prove(nil)), "b"},
		{Chain(prove(nil), Chain(prove("a"), prove(nil))), "a"},
	} {
		if conn, credentials, err := c.chain.Authenticate(context.Background(), here); err != nil ||
			credentials != c.want || conn != here {
			t.Errorf("%v, %v, want %v", credentials, err, c.want)
		}
	}
	no := AuthenticatorFunc(func(context.Context, net.Conn) (net.Conn, any, error) {
		return nil, "b", errors.New("no")
	})
	_, credentials, err := Chain(prove("a"), no).Authenticate(context.Background(), here)
	if err == nil || credentials != nil {
		t.Errorf("%v, %v", credentials, err)
	}
}

// TestDialClosesWrapper: if the client's half fails, the connection that it has made is closed.
func TestDialClosesWrapper(t *testing.T) {
	l := newListener(t)
	var wrapper *closeCounter
	_, err := Dial(patient(t), "tcp", l.Addr().String(),
		AuthenticatorFunc(func(_ context.Context, c net.Conn) (net.Conn, any, error) {
			wrapper = &closeCounter{Conn: c}
			return wrapper, nil, errors.New("no")
		}))
	if err == nil || wrapper.closed.Load() != 1 {
		t.Errorf("%v, closed %d times", err, wrapper.closed.Load())
	}
}

// TestRefusedLater: with TLS 1.3, the first Read reports the refusal that DialTLS cannot know of.
func TestRefusedLater(t *testing.T) {
	_, address, client := tlsServer(t, nil)
	client.CertFile, client.KeyFile = "", ""
	conn, err := DialTLS(patient(t), address, client)
	must.OK(t, err)
	defer conn.Close()
	if version := conn.(*tls.Conn).ConnectionState().Version; version != tls.VersionTLS13 {
		t.Fatal(tls.VersionName(version))
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil ||
		!strings.HasPrefix(err.Error(), "remote error: tls: ") {
		t.Error(err)
	}
}
