package zmqauth

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/zpl"
)

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
