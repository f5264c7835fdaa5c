package zmqauth

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
)

// TestNoSecretKeysInLogs: wherever a secret key is, no log line, error or formatted value shows it.
func TestNoSecretKeysInLogs(t *testing.T) {
	s, _ := newCertificateStore(t)
	var said []string
	var secrets []SecretKey
	add := func(name string, mode os.FileMode, mangle func(string) string) {
		c := newCertificate(t)
		secrets = append(secrets, *c.Secret)
		must.OK(t, c.SaveSecret(s.path(name)))
		data, err := os.ReadFile(s.path(name))
		must.OK(t, err)
		must.OK(t, os.WriteFile(s.path(name), []byte(mangle(string(data))), mode))
		must.OK(t, os.Chmod(s.path(name), mode))
		loaded, err := LoadCertificate(s.path(name))
		said = append(said, fmt.Sprintf("%v %+v %#v %s", loaded, loaded, loaded, err))
		certificates, err := LoadCertificates(s.dir)
		said = append(said, fmt.Sprintf("%v %+v", certificates, err))
		s.a.log.Debug("loaded", "certificate", loaded, "all", certificates, "error", err)
	}
	same := func(text string) string { return text }
	add("ann.key_secret", 0o600, same)
	add("bob.key", 0o600, same) // a secret file with a public one's name
	add("eve.key", 0o644, same) // and one that others can read
	add("dan.key", 0o600, func(text string) string { return text[:len(text)-9] })
	add("fay.key", 0o600, func(text string) string { return strings.ReplaceAll(text, "=", "") })
	add("gus.key", 0o600, func(text string) string {
		return strings.ReplaceAll(text, "secret-key", "secret key")
	})
	add("hal.key", 0o600, func(text string) string { return strings.ReplaceAll(text, "\n", "") })
	add("ida.key", 0o600, func(text string) string {
		return strings.ReplaceAll(text, "public-key", "unknown-key")
	})
	must.OK(t, s.a.ConfigureCurve("e", s.dir))
	s.within("everything has been read", s.write("last.key"), true)
	said = append(said, s.said())
	for i, secret := range secrets {
		for _, text := range said {
			for _, form := range []string{
				secret.Z85(), secret.Z85()[:20], fmt.Sprintf("%x", secret[:]), fmt.Sprint(secret[:]),
			} {
				if strings.Contains(text, form) {
					t.Errorf("secret %d shows in %s", i, text)
				}
			}
		}
	}
	if !strings.Contains(s.said(), "chmod o-rwx") {
		t.Error("the log does not say how to mend the readable file")
	}
}

// TestNoSecretsInLogs: no password is in the log, at whatever level. In the logs of zmq4, czmq and
// pyzmq they are.
func TestNoSecretsInLogs(t *testing.T) {
	var log logbuffer.Buffer
	const password, guess = `correct "horse"`, `battery \ staple`
	reported := make(chan bool, 100)
	onDecision := func(Decision) { reported <- true }
	a := startAuthenticator(t, Config{Logger: log.Logger(), OnDecision: onDecision})
	must.OK(t, a.ConfigurePlain("*", map[string]string{"ann": password}))
	fail := func(_ context.Context, _, name, password string) (*Identity, error) {
		return nil, fmt.Errorf("SELECT … WHERE password = '%s' OR password = %q", password, password)
	}
	must.OK(t, a.ConfigurePlainCallback("error", fail))
	panics := func(_ context.Context, _, name, password string) (*Identity, error) {
		panic("no " + password)
	}
	must.OK(t, a.ConfigurePlainCallback("panic", panics))
	zap := newZAPClient(t, a.Context())
	for _, request := range [][][]byte{
		plainRequest("d", "ann", password), plainRequest("d", "ann", guess),
		plainRequest("d", guess, password), plainRequest("error", "ann", guess),
		plainRequest("panic", "ann", guess), zapRequest("d", "", "PLAIN", password),
	} {
		zap.ask(request)
		<-reported
	}
	waitForReports(t, a)
	text := log.String()
	for _, want := range []string{
		ReasonWrongPassword, ReasonUnknownUser, ReasonCallbackError, ReasonCallbackPanic, "SELECT",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the log does not say %q", want)
		}
	}
	for _, secret := range []string{"horse", "staple"} {
		if strings.Contains(text, secret) {
			t.Errorf("the log shows %q:\n%s", secret, text)
		}
	}
}
