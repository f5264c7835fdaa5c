package certfile

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/zpl"
)

// pair is a key pair.
func pair() (public [32]byte, secret *[32]byte) {
	secret = &[32]byte{1, 2, 3}
	return Public(*secret), secret
}

// TestEncodeAndParse: what is written reads the same, and the secret is in the secret text alone.
func TestEncodeAndParse(t *testing.T) {
	public, secret := pair()
	cert := &Certificate{Public: public, Secret: secret,
		Metadata: map[string]string{"a": "1", "e": ""}}
	for _, both := range []bool{false, true} {
		text, err := cert.Encode(both)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Parse(new(zpl.Parser), text)
		if err != nil {
			t.Fatal(err)
		}
		if got.Public != public || fmt.Sprint(got.Metadata) != fmt.Sprint(cert.Metadata) ||
			(got.Secret != nil) != both || both && *got.Secret != *secret {
			t.Errorf("with the secret %t: another certificate", both)
		}
	}
}

// TestParseNamesTheLine: an error has the line and none of the text.
func TestParseNamesTheLine(t *testing.T) {
	_, err := Parse(new(zpl.Parser), []byte("curve\n    public-key = \"Yne@$w-vo\"\n"))
	fault, ok := errors.AsType[*zpl.Error](err)
	if !ok || fault.Line != 2 || strings.Contains(err.Error(), "Yne") {
		t.Errorf("%v", err)
	}
}

func TestMetadataTooLarge(t *testing.T) {
	public, _ := pair()
	cert := &Certificate{Public: public, Metadata: map[string]string{}}
	for i := range 20 {
		cert.Metadata[fmt.Sprintf("name%02d", i)] = strings.Repeat("x", 4000)
	}
	if _, err := cert.Encode(false); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
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
			notBefore, notAfter, err := Validity(test.metadata)
			if !notBefore.Equal(test.notBefore) || !notAfter.Equal(test.notAfter) ||
				(err != nil) != test.wantErr {
				t.Errorf("%v, %v, %v", notBefore, notAfter, err)
			}
		})
	}
}
