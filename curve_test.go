package zmqauth

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testzap"
)

func TestValidityAtEachDecision(t *testing.T) {
	s, _ := newCertificateStore(t)
	now := time.Now()
	for name, test := range map[string]struct {
		notBefore, notAfter time.Duration // from now, 0: none
		reason              string
	}{
		"valid":         {-time.Hour, time.Hour, ReasonAccepted},
		"expired":       {-2 * time.Hour, -time.Hour, ReasonKeyExpired},
		"not yet valid": {time.Hour, 2 * time.Hour, ReasonKeyNotYetValid},
		"no end":        {-time.Hour, 0, ReasonAccepted},
		"no beginning":  {0, time.Hour, ReasonAccepted},
		"long expired":  {0, -time.Hour, ReasonKeyExpired},
		"from later on": {time.Hour, 0, ReasonKeyNotYetValid},
	} {
		c := newCertificate(t)
		c.Metadata = map[string]string{}
		if test.notBefore != 0 {
			c.Metadata["not-before"] = now.Add(test.notBefore).Format(time.RFC3339)
		}
		if test.notAfter != 0 {
			c.Metadata["not-after"] = now.Add(test.notAfter).Format(time.RFC3339)
		}
		known := s.a.credentialOf(c.Metadata)
		reason := ""
		if known != nil {
			reason = known.refusalAt(now, ReasonKeyExpired, ReasonKeyNotYetValid)
		}
		if reason == "" {
			reason = ReasonAccepted
		}
		if reason != test.reason {
			t.Errorf("%s: %s, want %s", name, reason, test.reason)
		}
	}
	// The dates count at each decision: an accepted key is refused once its time is over.
	c := newCertificate(t)
	c.Metadata = map[string]string{"not-after": now.Add(2 * time.Second).Format(time.RFC3339)}
	must.OK(t, c.SavePublic(s.path("short.key")))
	s.within("a valid key", c, true)
	s.within("its end", c, false)
}

// TestCurveUserIDKeepsMetadata: a user id from CurveUserID takes nothing of a certificate's
// metadata, nor of the properties that all have.
func TestCurveUserIDKeepsMetadata(t *testing.T) {
	a := newAuthenticator(t, Config{
		CurveUserID: func(PublicKey) string { return "ann" },
		Properties:  []string{"team"},
	})
	c, dir := newCertificate(t), t.TempDir()
	c.Metadata = map[string]string{"role": "sensor"}
	must.OK(t, c.SavePublic(filepath.Join(dir, "c.key")))
	must.OK(t, a.ConfigureCurve("d", dir))
	reply := a.HandleZAPMessage(t.Context(), curveRequest("d", c.Public))
	got := testzap.ParseMetadata(t, reply[5])
	want := map[string]string{"role": "sensor", "team": ""}
	if string(reply[4]) != "ann" || !maps.Equal(got, want) {
		t.Errorf("user id %q, metadata %q", reply[4], got)
	}
}

func TestCurveUserID(t *testing.T) {
	key := newCertificate(t).Public
	other := newCertificate(t).Public
	var asked []PublicKey
	a := newAuthenticator(t, Config{CurveUserID: func(key PublicKey) string {
		asked = append(asked, key)
		return "user of " + key.String()[:3]
	}})
	must.OK(t, a.ConfigureCurveKeys("*", key))
	status, user := ask(t, a, zapRequest("d", "", "CURVE", string(key[:])))
	if status != "200" || user != "user of "+key.String()[:3] {
		t.Errorf("status %s, user %q", status, user)
	}
	if status, _ := ask(t, a, zapRequest("d", "", "CURVE", string(other[:]))); status != "400" {
		t.Errorf("status %s for an unknown key", status)
	}
	if len(asked) != 1 || asked[0] != key {
		t.Errorf("CurveUserID was asked about %v, want the accepted key alone", asked)
	}
}

// TestUnknownKey: an unknown key waits where Config.UnknownKey says so. It is asked about no other.
func TestUnknownKey(t *testing.T) {
	asked := make(map[string]string)
	a := newAuthenticator(t, Config{UnknownKey: func(domain string, key PublicKey,
		address string) bool {
		asked[domain] += fmt.Sprint(key, " ", address, ";")
		return domain == "open"
	}})
	known, late, unknown := numberedKey(1), numberedKey(2), numberedKey(3)
	var c Credentials
	must.OK(t, c.SetKey(known, Entry{}))
	must.OK(t, c.SetKey(late, Entry{NotAfter: time.Now().Add(-time.Hour)}))
	for _, domain := range []string{"open", "closed"} {
		must.OK(t, a.ConfigureCredentials(domain, &c))
	}
	must.OK(t, a.ConfigureCurveCallback("callback", func(context.Context, string,
		PublicKey) (*Identity, error) {
		return nil, ErrDenied
	}))
	for _, test := range []struct {
		domain string
		key    PublicKey
		want   string
	}{
		{"open", known, "200"}, {"open", late, "400"}, {"open", unknown, "300"},
		{"closed", known, "200"}, {"closed", unknown, "400"}, {"callback", unknown, "400"},
		{"none", unknown, "400"},
	} {
		if got, _ := ask(t, a, curveRequest(test.domain, test.key)); got != test.want {
			t.Errorf("%s, %v: %s, not %s", test.domain, test.key, got, test.want)
		}
	}
	once := fmt.Sprint(unknown, " 127.0.0.1;")
	if want := map[string]string{"open": once, "closed": once}; !maps.Equal(asked, want) {
		t.Errorf("asked about %q, not %q", asked, want)
	}
}
