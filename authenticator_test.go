package zmqauth

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/zap"
)

// TestMechanismsOverTCP takes each mechanism through the rules of docs/design.md, with real clients
// that send data.
func TestMechanismsOverTCP(t *testing.T) {
	serverKey, known, stranger := newCertificate(t), newCertificate(t), newCertificate(t)
	allowKnown := func(a *Authenticator) error { return a.ConfigureCurveKeys("shop", known.Public) }
	passwords := func(a *Authenticator) error {
		return a.ConfigurePlain("shop", map[string]string{"ann": "secret"})
	}
	nothing := func(*Authenticator) error { return nil }
	toCurve := func(client *Certificate) func(*zmq4.Socket) error {
		return curveClient(serverKey.Public, client)
	}

	for _, test := range []struct {
		name       string
		configure  func(*Authenticator) error
		server     func(*zmq4.Socket) error
		client     func(*zmq4.Socket) error
		wantStatus int
		wantUser   string
	}{
		{"NULL, nothing configured", nothing, nullServer("shop"), nullClient, 200, ""},
		{
			"NULL, allowed address", func(a *Authenticator) error { return a.Allow("127.0.0.0/8") },
			nullServer("shop"), nullClient, 200, "",
		},
		{
			"NULL, other address allowed", func(a *Authenticator) error { return a.Allow("192.0.2.1") },
			nullServer("shop"), nullClient, 400, "",
		},
		{
			"NULL, denied address", func(a *Authenticator) error { return a.Deny("127.0.0.1") },
			nullServer("shop"), nullClient, 400, "",
		},
		{
			"NULL, denied in the domain",
			func(a *Authenticator) error { return a.DenyDomain("shop", "127.0.0.1") },
			nullServer("shop"), nullClient, 400, "",
		},
		{
			"NULL, denied in another domain",
			func(a *Authenticator) error { return a.DenyDomain("bank", "127.0.0.1") },
			nullServer("shop"), nullClient, 200, "",
		},

		{
			"PLAIN, nothing configured", nothing,
			plainServer("shop"), plainClient("ann", "secret"), 400, "",
		},
		{
			"PLAIN, right password", passwords,
			plainServer("shop"), plainClient("ann", "secret"), 200, "ann",
		},
		{"PLAIN, wrong password", passwords, plainServer("shop"), plainClient("ann", "Secret"), 400, ""},
		{"PLAIN, unknown user", passwords, plainServer("shop"), plainClient("bob", "secret"), 400, ""},
		{
			"PLAIN, other domain's user", passwords,
			plainServer("bank"), plainClient("ann", "secret"), 400, "",
		},
		{"PLAIN, callback", func(a *Authenticator) error {
			return a.ConfigurePlainCallback("*",
				func(_ context.Context, domain, name, password string) (*Identity, error) {
					return &Identity{UserID: domain + "/" + name + "/" + password}, nil
				})
		}, plainServer("shop"), plainClient("ann", "x"), 200, "shop/ann/x"},
		{
			"PLAIN, allowed address is no password",
			func(a *Authenticator) error { return errors.Join(a.Allow("127.0.0.1"), passwords(a)) },
			plainServer("shop"), plainClient("ann", "guess"), 400, "",
		},

		{"CURVE, nothing configured", nothing, curveServer("shop", serverKey), toCurve(known), 400, ""},
		{
			"CURVE, known key", allowKnown,
			curveServer("shop", serverKey), toCurve(known), 200, known.Public.String(),
		},
		{"CURVE, stranger", allowKnown, curveServer("shop", serverKey), toCurve(stranger), 400, ""},
		{
			"CURVE, any key",
			func(a *Authenticator) error { return a.ConfigureCurve("shop", CurveAllowAny) },
			curveServer("shop", serverKey), toCurve(stranger), 200, stranger.Public.String(),
		},
		{
			"CURVE, any key in another domain",
			func(a *Authenticator) error { return a.ConfigureCurve("bank", CurveAllowAny) },
			curveServer("shop", serverKey), toCurve(stranger), 400, "",
		},
		{"CURVE, callback", func(a *Authenticator) error {
			return a.ConfigureCurveCallback("shop",
				func(_ context.Context, _ string, key PublicKey) (*Identity, error) {
					return &Identity{UserID: "key " + key.String()[:4]}, nil
				})
		}, curveServer("shop", serverKey), toCurve(known), 200, "key " + known.Public.String()[:4]},
		{"CURVE, callback denies", func(a *Authenticator) error {
			return a.ConfigureCurveCallback("shop",
				func(context.Context, string, PublicKey) (*Identity, error) {
					return nil, nil
				})
		}, curveServer("shop", serverKey), toCurve(known), 400, ""},
		{"CURVE, callback fails", func(a *Authenticator) error {
			return a.ConfigureCurveCallback("shop",
				func(context.Context, string, PublicKey) (*Identity, error) {
					return nil, errors.New("no database")
				})
		}, curveServer("shop", serverKey), toCurve(known), 500, ""},
		{"CURVE, callback panics", func(a *Authenticator) error {
			return a.ConfigureCurveCallback("shop",
				func(context.Context, string, PublicKey) (*Identity, error) {
					panic("boom")
				})
		}, curveServer("shop", serverKey), toCurve(known), 500, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a := startAuthenticator(t, Config{})
			must.OK(t, test.configure(a))
			server := newServer(t, a.Context(), "tcp://127.0.0.1:*", test.server)
			client, err := connect(t, server.endpoint, test.client)
			if status(err) != test.wantStatus {
				t.Fatalf("outcome %v, want status %d", err, test.wantStatus)
			}
			if (test.wantStatus == zap.StatusDenied) != errors.Is(err, ErrDenied) {
				t.Errorf("%v: errors.Is(err, ErrDenied) = %v", err, errors.Is(err, ErrDenied))
			}
			if err == nil {
				_, err = client.Send("hello", 0)
				must.OK(t, err)
				text, metadata := server.receive(t, "User-Id")
				if text != "hello" || metadata["User-Id"] != test.wantUser {
					t.Errorf("received %q of %q, want user %q", text, metadata["User-Id"], test.wantUser)
				}
			}
			stats := a.Stats()
			if stats.Requests == 0 || stats.Requests != stats.Allowed+stats.Denied+stats.Errors {
				t.Errorf("stats do not add up: %+v", stats)
			}
		})
	}
}

// TestPythonClients takes the mechanisms through acceptance and refusal with clients of Python's
// zmq.
func TestPythonClients(t *testing.T) {
	serverKey, known, stranger := newCertificate(t), newCertificate(t), newCertificate(t)
	curve := func(c *Certificate) []string {
		return []string{"CURVE", serverKey.Public.String(), c.Public.String(), c.Secret.Z85()}
	}
	python := testpeer.Python(t, "zmq", "python3-zmq")
	for _, test := range []struct {
		name       string
		server     func(*zmq4.Socket) error
		client     []string
		want, user string
	}{
		{"NULL, accepted", nullServer("shop"), []string{"NULL"}, "200", ""},
		{"NULL, denied address", nullServer("closed"), []string{"NULL"}, "400", ""},
		{"PLAIN, accepted", plainServer("shop"), []string{"PLAIN", "ann", "secret"}, "200", "ann"},
		{"PLAIN, wrong password", plainServer("shop"), []string{"PLAIN", "ann", "guess"}, "400", ""},
		{"PLAIN, unknown user", plainServer("shop"), []string{"PLAIN", "bob", "secret"}, "400", ""},
		{"PLAIN, denied address", plainServer("closed"), []string{"PLAIN", "ann", "secret"}, "400", ""},
		{"CURVE, accepted", curveServer("shop", serverKey), curve(known), "200", known.Public.String()},
		{"CURVE, stranger", curveServer("shop", serverKey), curve(stranger), "400", ""},
		{"CURVE, denied address", curveServer("closed", serverKey), curve(known), "400", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := startAuthenticator(t, Config{Properties: []string{"X-Role"}})
			must.OK(t, errors.Join(
				a.DenyDomain("closed", "127.0.0.1"), a.ConfigureCurveKeys("*", known.Public),
				a.ConfigurePlain("*", map[string]string{"ann": "secret"})))
			server := newServer(t, a.Context(), "tcp://127.0.0.1:*", test.server)
			// The client claims both properties. The server must not believe the first one.
			client := exec.Command(python, "examples/demo/client.py", server.endpoint, test.client[0],
				"X-Role:admin", "X-Own:mine")
			client.Stdin = strings.NewReader(strings.Join(test.client[1:], "\n"))
			out, err := client.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if got := strings.TrimSpace(string(out)); got != test.want {
				t.Fatalf("outcome %q, want %s", got, test.want)
			}
			if test.want != "200" {
				return
			}
			text, got := server.receive(t, "User-Id", "X-Role", "X-Own", "Peer-Address")
			want := map[string]string{
				"User-Id": test.user, "X-Role": "", "X-Own": "mine", "Peer-Address": "127.0.0.1",
			}
			if text != "hello from Python" {
				t.Errorf("received %q", text)
			}
			for name, value := range want {
				if got[name] != value {
					t.Errorf("%s = %q, want %q", name, got[name], value)
				}
			}
		})
	}
}

// TestMetadataReachesMessages: a message carries the identity's properties, and each property that
// the program relies on, even where the identity has none.
func TestMetadataReachesMessages(t *testing.T) {
	a := startAuthenticator(t, Config{Properties: []string{"Role", "Team"}})
	serverKey, client := newCertificate(t), newCertificate(t)
	callback := func(context.Context, string, PublicKey) (*Identity, error) {
		return &Identity{UserID: "ann", Metadata: map[string]string{"Role": "operator"}}, nil
	}
	must.OK(t, a.ConfigureCurveCallback("*", callback))
	server := newServer(t, a.Context(), "tcp://127.0.0.1:*", curveServer("shop", serverKey))
	socket, err := connect(t, server.endpoint, curveClient(serverKey.Public, client))
	must.OK(t, err)
	_, err = socket.Send("x", 0)
	must.OK(t, err)
	_, got := server.receive(t, "User-Id", "Role", "Team")
	for name, value := range map[string]string{"User-Id": "ann", "Role": "operator", "Team": ""} {
		if got[name] != value {
			t.Errorf("%s = %q, want %q", name, got[name], value)
		}
	}
}

func TestNullAcceptanceCarriesProperties(t *testing.T) {
	a := newAuthenticator(t, Config{Properties: []string{"Role"}})
	reply := a.HandleZAPMessage(context.Background(), zapRequest("d", "127.0.0.1", "NULL"))
	if want := "\x04Role\x00\x00\x00\x00"; string(reply[5]) != want {
		t.Errorf("metadata %q, want %q", reply[5], want)
	}
}

func TestTwoContextsSideBySide(t *testing.T) {
	client := newCertificate(t)
	type side struct {
		a      *Authenticator
		key    *Certificate
		server *server
	}
	var sides []side
	for range 2 {
		a, key := startAuthenticator(t, Config{}), newCertificate(t)
		server := newServer(t, a.Context(), "tcp://127.0.0.1:*", curveServer("d", key))
		sides = append(sides, side{a, key, server})
	}
	must.OK(t, sides[0].a.ConfigureCurveKeys("d", client.Public))
	for i, want := range []int{200, 400} {
		_, err := connect(t, sides[i].server.endpoint, curveClient(sides[i].key.Public, client))
		if status(err) != want {
			t.Errorf("context %d: %v, want status %d", i, err, want)
		}
	}
}

func TestAddressesOverTransports(t *testing.T) {
	for _, test := range []struct {
		name, bind string
		allow      string
		want       int
	}{
		{"IPv4", "tcp://127.0.0.1:*", "127.0.0.1", 200},
		{"IPv4 client of an IPv6 socket", "tcp://[::]:*", "127.0.0.1", 200},
		{"IPv6", "tcp://[::1]:*", "::1", 200},
		{"IPv6 is not IPv4", "tcp://[::1]:*", "0.0.0.0/0", 400},
		{"ipc", "ipc://*", "ipc", 200},
		{"ipc by user", "ipc://*", fmt.Sprintf("uid:%d", osUID()), 200},
		{"ipc by process", "ipc://*", fmt.Sprintf("pid:%d", osPID()), 200},
		{"ipc by another user", "ipc://*", fmt.Sprintf("uid:%d", osUID()+1), 400},
		{"ipc is no address", "ipc://*", "127.0.0.1", 400},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a := startAuthenticator(t, Config{})
			must.OK(t, a.Allow(test.allow))
			server := newServer(t, a.Context(), test.bind, func(s *zmq4.Socket) error {
				return errors.Join(s.SetIpv6(true), NullServer(s, "d"))
			})
			endpoint := strings.Replace(server.endpoint, "[::]", "127.0.0.1", 1)
			if _, err := connect(t, endpoint, nullClient); status(err) != test.want {
				t.Errorf("%v, want status %d", err, test.want)
			}
		})
	}
}

// TestSlowCallbacksDelayNobody: two hundred lookups run at once, and a client that needs no lookup
// does not wait for them.
func TestSlowCallbacksDelayNobody(t *testing.T) {
	const clients, lookup = 200, 100 * time.Millisecond
	a := startAuthenticator(t, Config{})
	callback := func(ctx context.Context, _, name, _ string) (*Identity, error) {
		select {
		case <-time.After(lookup):
			return &Identity{}, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	must.OK(t, a.ConfigurePlainCallback("slow", callback))
	must.OK(t, a.ConfigurePlain("fast", map[string]string{"ann": "secret"}))
	zap := newZAPClient(t, a.Context())
	begun := time.Now()
	for range clients {
		zap.send(zapRequest("slow", "127.0.0.1", "PLAIN", "bob", "x"))
	}
	fast := time.Now()
	quick := newZAPClient(t, a.Context())
	if reply := quick.ask(plainRequest("fast", "ann", "secret")); reply[2] != "200" {
		t.Errorf("status %s", reply[2])
	}
	if took := time.Since(fast); took > lookup/2 {
		t.Errorf("a client that needs no lookup waited %v", took)
	}
	for range clients {
		if reply := zap.receive(); reply[2] != "200" {
			t.Fatalf("status %s", reply[2])
		}
	}
	if took := time.Since(begun); took > time.Second {
		t.Errorf("%d lookups of %v took %v", clients, lookup, took)
	}
}
