package zmqauth

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

func TestConfigureIsChecked(t *testing.T) {
	a := newAuthenticator(t, Config{})
	must.OK(t, a.ConfigurePlain("d", map[string]string{"ann": "secret"}))
	must.OK(t, a.ConfigureCurveKeys("d", PublicKey([]byte(key32))))
	must.OK(t, a.ConfigureGSSAPI("d", "ann@EXAMPLE.ORG"))
	long := strings.Repeat("x", 256)
	for name, err := range map[string]error{
		"PLAIN, empty domain":   a.ConfigurePlain("", map[string]string{"bob": "x"}),
		"PLAIN, empty name":     a.ConfigurePlain("d", map[string]string{"": "x", "bob": "x"}),
		"PLAIN, empty password": a.ConfigurePlain("d", map[string]string{"bob": "x", "eve": ""}),
		"PLAIN, NUL in a name":  a.ConfigurePlain("d", map[string]string{"bob\x00": "x"}),
		"PLAIN, long name":      a.ConfigurePlain("d", map[string]string{long: "x"}),
		"PLAIN, long password":  a.ConfigurePlain("d", map[string]string{"bob": long}),
		"PLAIN, nil callback":   a.ConfigurePlainCallback("d", nil),
		"PLAIN callback, no domain": a.ConfigurePlainCallback("",
			func(context.Context, string, string, string) (*Identity, error) { return nil, nil }),
		"CURVE, empty domain":     a.ConfigureCurveKeys("", PublicKey([]byte(key32))),
		"CURVE, zero key":         a.ConfigureCurveKeys("d", PublicKey{1}, PublicKey{}),
		"CURVE, nil callback":     a.ConfigureCurveCallback("d", nil),
		"CURVE, no directory":     a.ConfigureCurve("d", t.TempDir()+"/none"),
		"CURVE, no location":      a.ConfigureCurve("d", ""),
		"GSSAPI, empty domain":    a.ConfigureGSSAPI("", "ann@EXAMPLE.ORG"),
		"GSSAPI, bad principal":   a.ConfigureGSSAPI("d", "bob@EXAMPLE.ORG", "bob"),
		"GSSAPI, nil callback":    a.ConfigureGSSAPICallback("d", nil),
		"addresses, empty domain": a.AllowDomain("", "127.0.0.1"),
	} {
		if err == nil || !strings.HasPrefix(err.Error(), "zmqauth: ") {
			t.Errorf("%s: error %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v shows a password", name, err)
		}
	}
	// None of these calls has changed what was in force.
	for _, request := range [][][]byte{
		plainRequest("d", "ann", "secret"), zapRequest("d", "", "CURVE", key32),
		zapRequest("d", "", "GSSAPI", "ann@EXAMPLE.ORG"),
	} {
		if status, _ := ask(t, a, request); status != "200" {
			t.Errorf("%s: status %s", request[5], status)
		}
	}
	for _, request := range [][][]byte{
		plainRequest("d", "bob", "x"), zapRequest("d", "", "GSSAPI", "bob@EXAMPLE.ORG"),
	} {
		if status, _ := ask(t, a, request); status == "200" {
			t.Errorf("%s: bob is in", request[5])
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	for name, cfg := range map[string]Config{
		"negative time":        {CallbackTimeout: -time.Second},
		"negative concurrency": {MaxConcurrent: -1},
		"negative queue":       {MaxPending: -1},
		"property of libzmq's": {Properties: []string{"User-Id"}},
		"empty property":       {Properties: []string{""}},
	} {
		if _, err := New(testzmq.NewContext(t), &cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
