package zmqauth

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/zap"
)

// cheapBcrypt is a hash of the lowest cost, with the prefix that a tool writes.
func cheapBcrypt(t testing.TB, prefix, password string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	must.OK(t, err)
	return prefix + strings.TrimPrefix(string(hash), "$2a$")
}

// TestHashPassword: the errors of package passhash get the prefix of this package, and a password
// must fit into a frame.
func TestHashPassword(t *testing.T) {
	for name, test := range map[string]struct{ password, wantErr string }{
		"empty":    {"", "zmqauth: a password has 1 to 255 bytes"},
		"longest":  {strings.Repeat("x", zap.MaxCredential), ""},
		"too long": {strings.Repeat("x", zap.MaxCredential+1), "zmqauth: a password has 1 to 255 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			hash, err := HashPassword(test.password)
			if test.wantErr != "" {
				if hash != "" || err == nil || err.Error() != test.wantErr {
					t.Errorf("%q, %v", hash, err)
				}
				return
			}
			must.OK(t, err)
			a := newAuthenticator(t, Config{})
			must.OK(t, a.ConfigurePlain("d", map[string]string{"ann": hash}))
			if status, _ := ask(t, a, plainRequest("d", "ann", test.password)); status != "200" {
				t.Errorf("status %s", status)
			}
		})
	}
}

func TestPlainTableWithHashes(t *testing.T) {
	argon, err := HashPassword("horse")
	must.OK(t, err)
	a := newAuthenticator(t, Config{})
	must.OK(t, a.ConfigurePlain("d", map[string]string{
		"ann": cheapBcrypt(t, "$2y$", "secret"), "bob": argon,
		"eve": "in clear", "dan": cheapBcrypt(t, "$2b$", "other"),
	}))
	for range 2 { // the second time from memory
		for _, test := range []struct{ name, password, want string }{
			{"ann", "secret", "200"}, {"ann", "Secret", "400"}, {"ann", "", "400"}, {"ann", "horse", "400"},
			{"bob", "horse", "200"}, {"bob", "secret", "400"},
			{"eve", "in clear", "200"}, {"eve", "secret", "400"}, {"eve", "", "400"},
			{"dan", "other", "200"}, {"nobody", "secret", "400"}, {"nobody", "", "400"}, {"", "", "400"},
		} {
			if status, _ := ask(t, a, plainRequest("d", test.name, test.password)); status != test.want {
				t.Errorf("%s with %q: status %s, want %s", test.name, test.password, status, test.want)
			}
		}
	}
	for name, bad := range map[string]string{
		"bcrypt": "$2y$10$short", "argon2id": "$argon2id$v=19$x",
	} {
		err := a.ConfigurePlain("d", map[string]string{"ann": bad})
		if err == nil || strings.Contains(err.Error(), bad) {
			t.Errorf("a bad %s hash: %v", name, err)
		}
	}
	if status, _ := ask(t, a, plainRequest("d", "ann", "secret")); status != "200" {
		t.Errorf("after a bad table: status %s", status)
	}
}

// TestHashIsNoPassword: a thief of the file does not get in with the hashes in it.
func TestHashIsNoPassword(t *testing.T) {
	a := newAuthenticator(t, Config{})
	hash := cheapBcrypt(t, "$2y$", "secret")
	must.OK(t, a.ConfigurePlain("d", map[string]string{"ann": hash}))
	if status, _ := ask(t, a, plainRequest("d", "ann", hash)); status != "400" {
		t.Errorf("status %s", status)
	}
}

// remembered tells whether a password of the user has been found right and is remembered.
func remembered(a *Authenticator, domain, name string) bool {
	user := a.policy.Load().plain[domain].credentials.set().users.Get(name)
	return user != nil && user.IsRemembered()
}

// TestVerifiedPasswordIsRemembered: a verified password is remembered until its entry changes.
func TestVerifiedPasswordIsRemembered(t *testing.T) {
	a := newAuthenticator(t, Config{})
	first, second := cheapBcrypt(t, "$2y$", "secret"), cheapBcrypt(t, "$2y$", "secret")
	must.OK(t, a.ConfigurePlain("d", map[string]string{"ann": first}))
	ask(t, a, plainRequest("d", "ann", "guess"))
	if remembered(a, "d", "ann") {
		t.Error("a wrong password is remembered")
	}
	ask(t, a, plainRequest("d", "ann", "secret"))
	if !remembered(a, "d", "ann") {
		t.Error("the right password is not remembered")
	}
	a.mu.RLock()
	var r zap.Request
	must.OK(t, zap.Decode(plainRequest("d", "ann", "secret"), &r))
	v, in := a.decide(&r, nil)
	a.mu.RUnlock()
	if in != nil || v.status != 200 {
		t.Error("the second time costs a hash again")
	}
	must.OK(t, a.ConfigurePlain("d", map[string]string{"ann": second}))
	if remembered(a, "d", "ann") {
		t.Error("a changed entry is remembered")
	}
	must.OK(t, a.ConfigurePlain("d", nil))
	if status, _ := ask(t, a, plainRequest("d", "ann", "secret")); status != "400" {
		t.Errorf("a removed entry: status %s", status)
	}
}

// TestBcryptAndNUL: a password with a NUL byte in it is another password.
func TestBcryptAndNUL(t *testing.T) {
	a := newAuthenticator(t, Config{})
	must.OK(t, a.ConfigurePlain("d", map[string]string{"ann": cheapBcrypt(t, "$2y$", "secret")}))
	for _, password := range []string{"secret\x00secret", "secret\x00", "\x00secret"} {
		if status, _ := ask(t, a, plainRequest("d", "ann", password)); status != "400" {
			t.Errorf("%q: status %s", password, status)
		}
	}
}

// TestChangesWhileAHashIsComputed: the table that is in force when the hash is known decides. A
// table with the same hash for the user is no change.
func TestChangesWhileAHashIsComputed(t *testing.T) {
	hash, other := cheapBcrypt(t, "$2y$", "secret"), cheapBcrypt(t, "$2y$", "secret")
	for name, test := range map[string]struct {
		table map[string]string
		want  int
	}{
		"the same":              {map[string]string{"ann": hash}, zap.StatusOK},
		"the same and others":   {map[string]string{"ann": hash, "bob": other}, zap.StatusOK},
		"nobody":                {nil, zap.StatusDenied},
		"another user":          {map[string]string{"bob": hash}, zap.StatusDenied},
		"another hash":          {map[string]string{"ann": other}, zap.StatusDenied},
		"the password in clear": {map[string]string{"ann": "secret"}, zap.StatusDenied},
	} {
		a := newAuthenticator(t, Config{})
		must.OK(t, a.ConfigurePlain("d", map[string]string{"ann": hash}))
		var r zap.Request
		must.OK(t, zap.Decode(plainRequest("d", "ann", "secret"), &r))
		a.mu.RLock()
		_, in := a.decide(&r, nil)
		a.mu.RUnlock()
		must.OK(t, a.ConfigurePlain("d", test.table))
		if v := a.inquire(t.Context(), in); v.status != test.want {
			t.Errorf("%s: status %d, %s", name, v.status, v.reason)
		}
		if remembered(a, "d", "ann") != (test.want == zap.StatusOK || test.table["ann"] == "secret") {
			t.Errorf("%s: remembered %v", name, remembered(a, "d", "ann"))
		}
	}
}

// TestHashedReconnects: 500 clients whose password has been verified before need no hash.
func TestHashedReconnects(t *testing.T) {
	const clients, users = 500, 5
	a := startAuthenticator(t, Config{CallbackTimeout: patience})
	table := make(map[string]string)
	for i := range users {
		hash, err := bcrypt.GenerateFromPassword([]byte("secret"), 10)
		must.OK(t, err)
		table[fmt.Sprintf("user%d", i)] = string(hash)
	}
	must.OK(t, a.ConfigurePlain("d", table))
	zap := newZAPClient(t, a.Context())
	ask := func(clients, atOnce int) time.Duration {
		begun := time.Now()
		for i := range clients + atOnce {
			if i >= atOnce {
				if reply := zap.receive(); reply[2] != "200" {
					t.Fatalf("status %s", reply[2])
				}
			}
			if i < clients {
				zap.send(plainRequest("d", fmt.Sprintf("user%d", i%users), "secret"))
			}
		}
		return time.Since(begun)
	}
	// They come one at a time, because a slow machine needs long for a hash.
	first := ask(users, 1)
	if again := ask(clients, clients); again > time.Second && again > first {
		t.Errorf("%d reconnections took %v, %d hashes %v", clients, again, users, first)
	}
}

// TestHashesDelayNobody: while wrong passwords are being verified, a client that needs no hash is
// decided at once.
func TestHashesDelayNobody(t *testing.T) {
	const wrong = 50
	a := startAuthenticator(t, Config{CallbackTimeout: 2 * patience})
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), 10)
	must.OK(t, err)
	must.OK(t, a.ConfigurePlain("d", map[string]string{"ann": string(hash)}))
	must.OK(t, a.ConfigureCurveKeys("d", PublicKey([]byte(key32))))
	zap, other := newZAPClient(t, a.Context()), newZAPClient(t, a.Context())
	begun := time.Now()
	for range wrong {
		zap.send(plainRequest("d", "ann", "guess"))
	}
	var latencies []time.Duration
	for range 20 {
		sent := time.Now()
		if reply := other.ask(zapRequest("d", "", "CURVE", key32)); reply[2] != "200" {
			t.Fatalf("status %s", reply[2])
		}
		latencies = append(latencies, time.Since(sent))
	}
	if pending := a.Stats().Pending; pending == 0 {
		t.Error("the hashes are done already: nothing is shown")
	}
	must.OK(t, a.Stop()) // what is pending is refused at once
	for range wrong {
		if reply := zap.receive(); reply[2] != "400" {
			t.Errorf("status %s", reply[2])
		}
	}
	slices.Sort(latencies)
	median, each := latencies[len(latencies)/2], time.Since(begun)/wrong
	if median > 100*time.Millisecond {
		t.Errorf("a client that needs no hash waited %v, wrong passwords took %v each", median, each)
	}
}

// TestDecoys: where users have hashes, every refusal costs a hash.
func TestDecoys(t *testing.T) {
	a := newAuthenticator(t, Config{})
	hashed := map[string]string{"ann": cheapBcrypt(t, "$2y$", "secret"), "eve": "in clear"}
	must.OK(t, a.ConfigurePlain("hashed", hashed))
	must.OK(t, a.ConfigurePlain("clear", map[string]string{"eve": "in clear"}))
	for _, test := range []struct {
		domain, name, password string
		hash                   bool
		reason                 string
	}{
		{"hashed", "ann", "guess", true, ReasonWrongPassword},
		{"hashed", "nobody", "guess", true, ReasonUnknownUser},
		{"hashed", "eve", "guess", true, ReasonWrongPassword},
		{"hashed", "eve", "in clear", false, ReasonAccepted},
		{"clear", "eve", "guess", false, ReasonWrongPassword},
		{"clear", "nobody", "guess", false, ReasonUnknownUser},
	} {
		var r zap.Request
		must.OK(t, zap.Decode(plainRequest(test.domain, test.name, test.password), &r))
		a.mu.RLock()
		v, in := a.decide(&r, nil)
		a.mu.RUnlock()
		if (in != nil) != test.hash {
			t.Errorf("%v: a hash: %v", test, in != nil)
		}
		if in != nil {
			v = a.inquire(t.Context(), in)
		}
		if v.reason != test.reason {
			t.Errorf("%v: %s", test, v.reason)
		}
	}
	// Not even the decoy's own password lets another name in.
	if status, _ := ask(t, a, plainRequest("hashed", "nobody", "secret")); status != "400" {
		t.Errorf("nobody with ann's password: status %s", status)
	}
	if status, _ := ask(t, a, plainRequest("hashed", "eve", "secret")); status != "400" {
		t.Errorf("eve with ann's password: status %s", status)
	}
}

// htpasswdFile returns the new file that the real tool writes.
func htpasswdFile(t testing.TB, name, password string) string {
	t.Helper()
	if _, err := exec.LookPath("htpasswd"); err != nil {
		testpeer.Missing(t, "htpasswd", "apache2-utils")
	}
	file := filepath.Join(t.TempDir(), "passwords")
	command := exec.Command("htpasswd", "-c", "-i", "-B", "-C", "5", file, name)
	command.Stdin = strings.NewReader(password)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	a := newAuthenticator(t, Config{})
	must.OK(t, a.ConfigurePlainFile("d", file)) // with the mode that htpasswd gives it
	if status, _ := ask(t, a, plainRequest("d", name, password)); status != "200" {
		t.Errorf("status %s with htpasswd's own file", status)
	}
	content, err := os.ReadFile(file)
	must.OK(t, err)
	return string(content)
}
