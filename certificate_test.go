package zmqauth

import (
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/zpl"
)

// testCertificate is a secret certificate whose keys are known.
func testCertificate(metadata map[string]string) *Certificate {
	secret := SecretKey(keyVectors["client secret"].raw)
	return &Certificate{Public: secret.Public(), Secret: &secret, Metadata: metadata}
}

func (c *Certificate) equal(other *Certificate) bool {
	return c.Public == other.Public && (c.Secret == nil) == (other.Secret == nil) &&
		(c.Secret == nil || *c.Secret == *other.Secret) && maps.Equal(c.Metadata, other.Metadata)
}

func TestNewCertificate(t *testing.T) {
	cert, err := NewCertificate()
	if err != nil {
		t.Fatal(err)
	}
	if cert.Secret == nil || cert.Secret.Public() != cert.Public {
		t.Error("the keys do not belong together")
	}
	if cert.Metadata == nil || len(cert.Metadata) != 0 {
		t.Errorf("metadata %#v", cert.Metadata)
	}
	if other, err := NewCertificate(); err != nil || other.Public == cert.Public {
		t.Errorf("the same key twice, %v", err)
	}
}

// withKeys replaces PUBLIC, SECRET and OTHER in a text by keys.
func withKeys(text string) []byte {
	return []byte(strings.NewReplacer(
		"PUBLIC", keyVectors["client public"].z85,
		"SECRET", keyVectors["client secret"].z85,
		"OTHER", keyVectors["server public"].z85,
	).Replace(text))
}

func TestEncodeCertificate(t *testing.T) {
	cert := testCertificate(map[string]string{
		"b": `say "x"`, "a": "it's # 100%", "not-after": "2026-01-01T00:00:00Z", "e": "",
	})
	for name, secret := range map[string]bool{"public": false, "secret": true} {
		t.Run(name, func(t *testing.T) {
			text, err := cert.encode(secret)
			if err != nil {
				t.Fatal(err)
			}
			want := "metadata\n    a = \"it's # 100%\"\n    b = 'say \"x\"'\n    e\n" +
				"    not-after = \"2026-01-01T00:00:00Z\"\n" +
				"curve\n    public-key = \"PUBLIC\"\n"
			if secret {
				want += "    secret-key = \"SECRET\"\n"
			}
			if !strings.HasSuffix(string(text), "\n\n"+string(withKeys(want))) {
				t.Errorf("got:\n%s", text)
			}
			if strings.Contains(string(text), cert.Secret.Z85()) != secret {
				t.Error("the secret key is in the wrong file")
			}
		})
	}
}

// TestMetadataRefusals tries metadata that no file or no message can carry. The error names it, and
// nothing is written.
func TestMetadataRefusals(t *testing.T) {
	tests := map[string]struct {
		name, value string
		want        string
	}{
		"empty name":         {"", "x", `metadata name "": 1 to 255 characters`},
		"blank in the name":  {"a b", "x", `metadata name "a b": only letters`},
		"UTF-8 in the name":  {"é", "x", `metadata name "é": only letters`},
		"equals in the name": {"a=b", "x", `metadata name "a=b": only letters`},
		"libzmq's name": {
			"socket-type", "x", `metadata name "socket-type": libzmq sets it itself`,
		},
		"a key's name": {"public-key", "x", `metadata name "public-key": it begins like`},
		"line ending": {
			"a", "x\n    admin = 1", `metadata "a": ZPL cannot carry a line ending`,
		},
		"carriage return":     {"a", "x\ry", `metadata "a": ZPL cannot carry a line ending`},
		"NUL":                 {"a", "x\x00y", `metadata "a": a NUL byte in the value`},
		"escape":              {"a", "\x1b[2J", `metadata "a": ZPL cannot carry a line ending`},
		"both quotes and a #": {"a", `it's "x" # y`, `metadata "a": ZPL cannot carry both kinds`},
		"value too long": {
			"a", strings.Repeat("x", zpl.MaxLine), `metadata "a": a line of more than 4096 bytes`,
		},
		"not-before no time": {
			"not-before", "tomorrow", `metadata "not-before": not a time in RFC 3339`,
		},
		"not-after a zero time": {
			"not-after", "0001-01-01T00:00:00Z", `metadata "not-after": not a time in RFC 3339`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			_, _, err := CreateCertificates(dir, "n", map[string]string{"ok": "1", test.name: test.value})
			if err == nil || !strings.HasPrefix(err.Error(), "zmqauth: ") ||
				!strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
			if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
				t.Errorf("left behind: %v, %v", entries, err)
			}
		})
	}
}

func TestCheckRefusesKeys(t *testing.T) {
	secret := SecretKey(keyVectors["client secret"].raw)
	other := SecretKey(keyVectors["server secret"].raw)
	for name, cert := range map[string]Certificate{
		"zero":        {},
		"zero secret": {Public: secret.Public(), Secret: &SecretKey{}},
		"two pairs":   {Public: secret.Public(), Secret: &other},
	} {
		if _, err := cert.encode(false); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	public := Certificate{Public: secret.Public()}
	_, err := public.encode(true)
	if err == nil || err.Error() != "the certificate has no secret key to save" {
		t.Errorf("a public certificate as a secret one: %v", err)
	}
}

func TestCertificateHidesItsSecret(t *testing.T) {
	cert := testCertificate(map[string]string{"name": "x"})
	values := map[string]any{
		"value": *cert, "pointer": cert, "slice": []*Certificate{cert}, "values": []Certificate{*cert},
		"map": map[PublicKey]*Certificate{cert.Public: cert},
		"struct": struct {
			Cert    Certificate
			Pointer *Certificate
			Any     any
			hidden  *Certificate
		}{*cert, cert, cert, cert},
		"nested": struct{ In *struct{ Cert Certificate } }{&struct{ Cert Certificate }{*cert}},
	}
	for name, value := range values {
		t.Run(name, func(t *testing.T) { hides(t, *cert.Secret, formatted(t, value)) })
	}
	text := formatted(t, cert)["JSON"]
	if !strings.Contains(text, redacted) || !strings.Contains(text, cert.Public.String()[:9]) {
		t.Errorf("JSON: %s", text)
	}
}
