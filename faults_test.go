package zmqauth

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
)

// Each test here shows the absence of a fault that another ZAP handler has or has had.

// zmq4: a user that is not in the table equals one with an empty password.
func TestFaultUnknownUserWithEmptyPassword(t *testing.T) {
	a := startAuthenticator(t, Config{})
	must.OK(t, a.ConfigurePlain("*", map[string]string{"ann": "secret"}))
	must.OK(t, a.ConfigurePlain("empty", nil))
	zap := newZAPClient(t, a.Context())
	for _, domain := range []string{"d", "empty", ""} {
		for _, name := range []string{"nobody", "", "ann"} {
			if reply := zap.ask(plainRequest(domain, name, "")); reply[2] != "400" {
				t.Errorf("domain %q, user %q, no password: status %s", domain, name, reply[2])
			}
		}
	}
}

// zmq4: a mistyped address in the allow list is dropped, and everyone stays allowed.
func TestFaultMistypedAddress(t *testing.T) {
	a := newAuthenticator(t, Config{})
	if err := a.Allow("127.0.0.1", "10.0.0.O"); err == nil ||
		!strings.Contains(err.Error(), "10.0.0.O") {
		t.Errorf("error %v does not name the entry", err)
	}
}

// zmq4: an IPv4 client of an IPv6 socket passes a deny list of IPv4 addresses.
func TestFaultMappedAddress(t *testing.T) {
	a := newAuthenticator(t, Config{})
	must.OK(t, a.Deny("127.0.0.0/8"))
	for _, address := range []string{"::ffff:127.0.0.1", "::FFFF:7f00:1", "0:0:0:0:0:ffff:127.0.0.1"} {
		if status, _ := ask(t, a, zapRequest("d", address, "NULL")); status != "400" {
			t.Errorf("%s: status %s", address, status)
		}
	}
}

// zmq4: with an allow list the address alone decides on NULL, and worse, on other mechanisms. An
// allowed address is no credential.
func TestFaultAllowedAddressIsNoCredential(t *testing.T) {
	a := newAuthenticator(t, Config{})
	must.OK(t, a.Allow("127.0.0.1"))
	for _, request := range [][][]byte{
		plainRequest("d", "ann", "x"), zapRequest("d", "127.0.0.1", "CURVE", key32),
		zapRequest("d", "127.0.0.1", "OTHER"),
	} {
		if status, _ := ask(t, a, request); status != "400" {
			t.Errorf("%s: status %s", request[5], status)
		}
	}
}

// zmq4: a message "QUIT" ends the handler. A short request, or one of another version, ends the
// program. TestBadRequests has more of them.
func TestFaultQuit(t *testing.T) {
	a := startAuthenticator(t, Config{})
	zap := newZAPClient(t, a.Context())
	for _, message := range [][][]byte{
		frames("QUIT"), frames("", "QUIT"), frames("TERMINATE"), frames("", "1.0"),
		frames("", "9.9", "1"),
	} {
		zap.sendRaw(message)
	}
	if reply := zap.receive(); reply[1] != "1" || reply[2] != "400" { // the last one's
		t.Errorf("reply %q", reply)
	}
	if reply := zap.ask(nullRequest()); reply[2] != "200" || !a.IsAlive() {
		t.Errorf("reply %q, alive %v", reply, a.IsAlive())
	}
}

// pyzmq: the setup for "*" serves the empty domain only. Here it serves every domain that has no
// setup of its own, and a domain's own setup replaces it.
func TestFaultAnyDomain(t *testing.T) {
	a := newAuthenticator(t, Config{})
	must.OK(t, a.ConfigurePlain("*", map[string]string{"ann": "all"}))
	must.OK(t, a.ConfigurePlain("own", map[string]string{"bob": "own"}))
	for _, test := range []struct{ domain, name, password, want string }{
		{"", "ann", "all", "200"}, {"d", "ann", "all", "200"}, {"*", "ann", "all", "200"},
		{"own", "bob", "own", "200"}, {"own", "ann", "all", "400"}, {"d", "bob", "own", "400"},
		{"", "bob", "own", "400"},
	} {
		status, _ := ask(t, a, plainRequest(test.domain, test.name, test.password))
		if status != test.want {
			t.Errorf("domain %q, %s: status %s, want %s", test.domain, test.name, status, test.want)
		}
	}
}

// pyzmq: CURVE_ALLOW_ANY for one domain opens all of them.
func TestFaultAllowAnyInOneDomain(t *testing.T) {
	a := newAuthenticator(t, Config{})
	must.OK(t, a.ConfigureCurve("open", CurveAllowAny))
	for domain, want := range map[string]string{
		"open": "200", "d": "400", "": "400", "*": "400", "Open": "400",
	} {
		if status, _ := ask(t, a, zapRequest(domain, "", "CURVE", key32)); status != want {
			t.Errorf("domain %q: status %s, want %s", domain, status, want)
		}
	}
	must.OK(t, a.ConfigureCurveKeys("open"))
	if status, _ := ask(t, a, zapRequest("open", "", "CURVE", key32)); status != "400" {
		t.Errorf("closed again: status %s", status)
	}
}

// pyzmq: one domain's callback hides every other domain's keys.
func TestFaultCallbackHidesKeys(t *testing.T) {
	a := newAuthenticator(t, Config{})
	must.OK(t, a.ConfigureCurveKeys("keys", PublicKey([]byte(key32))))
	callback := func(context.Context, string, PublicKey) (*Identity, error) {
		return nil, ErrDenied
	}
	must.OK(t, a.ConfigureCurveCallback("asked", callback))
	for domain, want := range map[string]string{"keys": "200", "asked": "400"} {
		if status, _ := ask(t, a, zapRequest(domain, "", "CURVE", key32)); status != want {
			t.Errorf("domain %q: status %s, want %s", domain, status, want)
		}
	}
	must.OK(t, a.ConfigureCurveKeys("asked", PublicKey([]byte(key32)))) // the last call wins
	if status, _ := ask(t, a, zapRequest("asked", "", "CURVE", key32)); status != "200" {
		t.Errorf("keys after a callback: status %s", status)
	}
}

// pyzmq: an exception in a callback ends the handler's thread.
func TestFaultCallbackPanicEndsTheHandler(t *testing.T) {
	a := startAuthenticator(t, Config{CurveUserID: func(PublicKey) string { panic("boom") }})
	callback := func(context.Context, string, string, string) (*Identity, error) {
		panic(errors.New("boom"))
	}
	must.OK(t, a.ConfigurePlainCallback("*", callback))
	must.OK(t, a.ConfigureCurveKeys("*", PublicKey([]byte(key32))))
	zap := newZAPClient(t, a.Context())
	for range 3 {
		for _, request := range [][][]byte{
			plainRequest("d", "ann", "x"), zapRequest("d", "", "CURVE", key32),
		} {
			if reply := zap.ask(request); reply[2] != "500" {
				t.Errorf("%s: status %s", request[5], reply[2])
			}
		}
	}
	if reply := zap.ask(nullRequest()); reply[2] != "200" || !a.IsAlive() {
		t.Errorf("reply %q, alive %v", reply, a.IsAlive())
	}
}

// zmq4 and czmq: a process or a context has one handler at most, and it cannot be started again.
// See TestTwoContextsSideBySide, TestStopRefusesAndStartResumes and TestCloseFreesTheEndpoint.

// czmq: metadata of more than 512 bytes overruns a buffer.
func TestFaultLongMetadata(t *testing.T) {
	a := startAuthenticator(t, Config{})
	long := strings.Repeat("0123456789abcdef", 1<<14) // 256 KiB: more than a batch of replies holds
	callback := func(context.Context, string, string, string) (*Identity, error) {
		return &Identity{Metadata: map[string]string{"Long": long, "Short": "x"}}, nil
	}
	must.OK(t, a.ConfigurePlainCallback("*", callback))
	server := newServer(t, a.Context(), "tcp://127.0.0.1:*", plainServer("d"))
	for range 3 {
		client, err := connect(t, server.endpoint, plainClient("ann", "x"))
		must.OK(t, err)
		_, err = client.Send("hello", 0)
		must.OK(t, err)
		_, got := server.receive(t, "Long", "Short", "User-Id")
		if got["Long"] != long || got["Short"] != "x" || got["User-Id"] != "ann" {
			t.Errorf("%d bytes, %q, %q", len(got["Long"]), got["Short"], got["User-Id"])
		}
	}
}

// pyzmq: a failed reload keeps deleted keys valid. Here a broken file does not keep a key in force
// that is removed beside it.
func TestFaultFailedReloadKeepsDeletedKeys(t *testing.T) {
	s, have := newCertificateStore(t, "ann.key", "bob.key")
	must.OK(t, os.WriteFile(s.path("broken.key"), []byte("nonsense"), 0o644))
	must.OK(t, os.Remove(s.path("ann.key")))
	s.within("a key that is removed beside a broken file", have["ann.key"], false)
	if !s.accepts(have["bob.key"]) {
		t.Error("a good key beside a broken file is refused")
	}
}
