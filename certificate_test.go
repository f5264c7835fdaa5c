package zmqauth

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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

func TestParseCertificate(t *testing.T) {
	tests := map[string]struct {
		text     string
		secret   bool
		metadata map[string]string
	}{
		"public alone":  {"curve\n    public-key = \"PUBLIC\"\n", false, nil},
		"single quotes": {"curve\n    public-key = 'PUBLIC'\n", false, nil},
		"both keys": {
			"curve\n    public-key = \"PUBLIC\"\n    secret-key = \"SECRET\"\n", true, nil,
		},
		"secret first": {
			"curve\n    secret-key = \"SECRET\"\n    public-key = \"PUBLIC\"\n", true, nil,
		},
		"metadata last": {
			"curve\n    public-key = \"PUBLIC\"\nmetadata\n    a = 1\n", false, map[string]string{"a": "1"},
		},
		"metadata empty": {"metadata\ncurve\n    public-key = \"PUBLIC\"\n", false, nil},
		"metadata value empty": {
			"metadata\n    a =\n    b\ncurve\n    public-key = \"PUBLIC\"\n", false,
			map[string]string{"a": "", "b": ""},
		},
		"metadata nested": {
			"metadata\n    a = 1\n        b = 2\n    c\n        d = 3\ncurve\n    public-key = \"PUBLIC\"\n",
			false, map[string]string{"a": "1", "c": ""},
		},
		"other sections": {
			"version = 1\nnotes\n    public-key = \"x\"\n    metadata\n        a = 1\n" +
				"curve\n    kind = x\n    public-key = \"PUBLIC\"\n",
			false, nil,
		},
		"other sections twice": {
			"x\nx\ncurve\n    public-key = \"PUBLIC\"\n    y\n    y\n", false, nil,
		},
		"CRLF": {
			"metadata\r\n    a = 1\r\ncurve\r\n    public-key = \"PUBLIC\"\r\n", false,
			map[string]string{"a": "1"},
		},
		"CR": {
			"metadata\r    a = 1\rcurve\r    public-key = \"PUBLIC\"", false, map[string]string{"a": "1"},
		},
		"validity": {
			"metadata\n    not-before = 2026-01-01T00:00:00Z\n    not-after = 2026-01-01T00:00:00-01:00\n" +
				"curve\n    public-key = \"PUBLIC\"\n",
			false,
			map[string]string{
				"not-before": "2026-01-01T00:00:00Z", "not-after": "2026-01-01T00:00:00-01:00",
			},
		},
		"every character of ZAP": {
			"metadata\n    aZ09-_.+ = é\ncurve\n    public-key = \"PUBLIC\"\n", false,
			map[string]string{"aZ09-_.+": "é"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			cert, err := parseCertificate(new(zpl.Parser), "f", withKeys(test.text))
			if err != nil {
				t.Fatal(err)
			}
			want := testCertificate(test.metadata)
			if !test.secret {
				want.Secret = nil
			}
			if !cert.equal(want) || cert.Metadata == nil {
				t.Errorf("got %+v, want %+v", cert, want)
			}
		})
	}
}

func TestParseCertificateRefusals(t *testing.T) {
	const curve = "curve\n    public-key = \"PUBLIC\"\n" // two lines
	zero := strings.Repeat("0", 40)
	tests := map[string]struct {
		text string
		want string // the error, behind "zmqauth: f"
	}{
		"empty":        {"", ": no certificate: it has no curve section"},
		"half written": {"metadata\n    name = \"Jo", ":2: the closing quote is missing"},
		"half a key": {
			"curve\n    public-key = \"Yne@$w-vo\"\n",
			":2: public-key: not 40 characters of Z85; a key is written in quotes, as it may hold a #",
		},
		"no public key": {
			"curve\n    secret-key = \"SECRET\"\n", ":1: no public-key below curve",
		},
		"key at the top": {
			"public-key = \"PUBLIC\"\n", ": no certificate: it has no curve section",
		},
		"key in metadata": {
			"metadata\n    public-key = \"PUBLIC\"\n",
			`:2: metadata name "public-key": it begins like an entry of the keys`,
		},
		"like the secret key": {
			curve + "metadata\n    secret-keys = none\n",
			`:4: metadata name "secret-keys": it begins like an entry of the keys`,
		},
		"curve twice": {curve + curve, ":3: a second curve"},
		"metadata twice": {
			"metadata\n" + curve + "metadata\n    a = 1\n", ":4: a second metadata",
		},
		"public key twice": {curve + "    public-key = \"OTHER\"\n", ":3: a second public-key"},
		"secret key twice": {
			curve + "    secret-key = \"SECRET\"\n    secret-key = \"SECRET\"\n", ":4: a second secret-key",
		},
		"metadata name twice": {
			curve + "metadata\n    a = 1\n    a = 2\n", `:5: a second metadata "a"`,
		},
		"not Z85": {
			"curve\n    public-key = \"~" + zero[1:] + "\"\n",
			":2: public-key: character 1 is none of Z85's",
		},
		"public key all zero": {
			"curve\n    public-key = \"" + zero + "\"\n", ":2: the public key is all zero: no key at all",
		},
		"both keys all zero": {
			"curve\n    public-key = \"" + zero + "\"\n    secret-key = \"" + zero + "\"\n",
			":3: the public key is all zero: no key at all",
		},
		"secret key all zero": {
			curve + "    secret-key = \"" + zero + "\"\n", ":3: the secret key is all zero: no key at all",
		},
		"secret key empty": {
			curve + "    secret-key =\n",
			":3: secret-key: not 40 characters of Z85; a key is written in quotes, as it may hold a #",
		},
		"keys of two pairs": {
			"curve\n    public-key = \"OTHER\"\n    secret-key = \"SECRET\"\n",
			":3: the public key does not belong to the secret key",
		},
		"the secret key twice": {
			"curve\n    public-key = \"SECRET\"\n    secret-key = \"SECRET\"\n",
			":3: the public key does not belong to the secret key",
		},
		"name that ZAP cannot send": {
			curve + "metadata\n    e/mail = x\n",
			`:4: metadata name "e/mail": only letters, digits and -_.+ can be sent`,
		},
		"libzmq's own name": {
			curve + "metadata\n    User-Id = root\n", `:4: metadata name "User-Id": libzmq sets it itself`,
		},
		"libzmq's own prefix": {
			curve + "metadata\n    __x = 1\n",
			`:4: metadata name "__x": names that begin with __ are libzmq's`,
		},
		"name too long": {
			curve + "metadata\n    " + strings.Repeat("n", 256) + " = 1\n",
			`:4: metadata name "` + strings.Repeat("n", 40) + `": 1 to 255 characters`,
		},
		"not-before no time": {
			"metadata\n    a = 1\n    not-before = 2026-01-01\n" + curve,
			`:3: metadata "not-before": not a time in RFC 3339, such as 2026-01-31T15:04:05Z`,
		},
		"not-after empty": {
			"metadata\n    not-after =\n" + curve,
			`:2: metadata "not-after": not a time in RFC 3339, such as 2026-01-31T15:04:05Z`,
		},
		"not-after in capitals": {
			"metadata\n    Not-After = 2026-01-01T00:00:00Z\n" + curve,
			`:2: metadata name "Not-After": write it "not-after"`,
		},
		"never valid": {
			"metadata\n    not-before = 2026-01-01T00:00:00Z\n    not-after = 2026-01-01T00:00:00Z\n" +
				"    a\n" + curve,
			`:3: metadata "not-after": not later than not-before`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			cert, err := parseCertificate(new(zpl.Parser), "f", withKeys(test.text))
			var fileErr *FileError
			if cert != nil || !errors.As(err, &fileErr) || err.Error() != "zmqauth: f"+test.want {
				t.Errorf("got  %v\nwant zmqauth: f%s", err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), keyVectors["client secret"].z85) {
				t.Error("the error shows the secret key")
			}
		})
	}
}

// TestParseCertificateClamped reads a secret key whose clamped bits (RFC 7748, section 5) differ
// from those that libsodium writes. Its public key is the same.
func TestParseCertificateClamped(t *testing.T) {
	secret := SecretKey(keyVectors["client secret"].raw)
	secret[0], secret[31] = secret[0]^0x07, secret[31]^0x80
	text := fmt.Sprintf("curve\n    public-key = \"%s\"\n    secret-key = \"%s\"\n",
		keyVectors["client public"].z85, secret.Z85())
	if _, err := parseCertificate(new(zpl.Parser), "f", []byte(text)); err != nil {
		t.Error(err)
	}
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

func TestMetadataTooLarge(t *testing.T) {
	metadata := map[string]string{}
	for i := range 20 {
		metadata[fmt.Sprintf("name%02d", i)] = strings.Repeat("x", 4000)
	}
	if _, err := testCertificate(metadata).encode(false); !errors.Is(err, errCertificateTooLarge) {
		t.Error(err)
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

func TestValidity(t *testing.T) {
	const early, late = "2026-01-01T00:00:00Z", "2026-06-01T12:00:00.5+02:00"
	at := func(text string) time.Time {
		when, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return when
	}
	tests := map[string]struct {
		metadata            map[string]string
		notBefore, notAfter time.Time
		wantErr             bool
	}{
		"nil":  {},
		"none": {metadata: map[string]string{"a": early}},
		"both": {
			metadata:  map[string]string{"not-before": early, "not-after": late},
			notBefore: at(early), notAfter: at(late),
		},
		"not-before": {metadata: map[string]string{"not-before": early}, notBefore: at(early)},
		"not-after":  {metadata: map[string]string{"not-after": late}, notAfter: at(late)},
		"reversed": {
			metadata: map[string]string{"not-before": late, "not-after": early}, wantErr: true,
		},
		"bad before": {
			metadata: map[string]string{"not-before": "2026", "not-after": late}, wantErr: true,
		},
		"bad after": {
			metadata: map[string]string{"not-before": early, "not-after": "never"}, wantErr: true,
		},
		"blank":       {metadata: map[string]string{"not-after": " " + late}, wantErr: true},
		"empty after": {metadata: map[string]string{"not-after": ""}, wantErr: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			notBefore, notAfter, err := validity(test.metadata)
			if !notBefore.Equal(test.notBefore) || !notAfter.Equal(test.notAfter) ||
				(err != nil) != test.wantErr {
				t.Errorf("%v, %v, %v", notBefore, notAfter, err)
			}
		})
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

func FuzzCertificate(f *testing.F) {
	files, err := filepath.Glob("internal/zpl/testdata/corpus/*.zpl")
	if err != nil || len(files) < 60 {
		f.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, text := range []string{
		"metadata\n    a = it's \"x\"\n    not-after = 2026-01-01T00:00:00Z\n" +
			"curve\n    public-key = \"PUBLIC\"\n    secret-key = \"SECRET\"\n",
		"curve\n    public-key = 'PUBLIC' # x\nmetadata\n    a\n        b = 1\nother = 1\n",
		"curve\r    public-key = OTHER\r",
	} {
		f.Add(withKeys(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cert, err := parseCertificate(new(zpl.Parser), "f", data)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "zmqauth: f") {
				t.Fatalf("error %v", err)
			}
			return
		}
		text, err := cert.encode(cert.Secret != nil)
		// The quotes and blanks that are added may be too much for a line or a file.
		if errors.Is(err, zpl.ErrLineTooLong) || errors.Is(err, errCertificateTooLarge) {
			return
		}
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		again, err := parseCertificate(new(zpl.Parser), "f", text)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, text)
		}
		if !again.equal(cert) {
			t.Fatalf("read %+v, written and read again %+v", cert, again)
		}
	})
}
