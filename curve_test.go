package zmqauth

import (
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
