package main

import (
	"encoding/base64"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/must"
)

// The public key of the server in zmq_curve(7), in Z85 and in hex.
const (
	exampleKey = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
	exampleHex = "54FCBA24E93249969316FB617C872BB0C1D1FF14800427C594CBFACF1BC2D652"
)

// forms returns all the texts of a key.
func forms(key zmqauth.PublicKey) map[string]string {
	return map[string]string{
		"Z85":                        key.String(),
		"hex":                        hex.EncodeToString(key[:]),
		"HEX":                        strings.ToUpper(hex.EncodeToString(key[:])),
		"base64":                     base64.StdEncoding.EncodeToString(key[:]),
		"base64 without padding":     base64.RawStdEncoding.EncodeToString(key[:]),
		"URL base64":                 base64.URLEncoding.EncodeToString(key[:]),
		"URL base64 without padding": base64.RawURLEncoding.EncodeToString(key[:]),
	}
}

func TestDecodePublicKey(t *testing.T) {
	raw, err := hex.DecodeString(exampleHex)
	must.OK(t, err)
	example := zmqauth.PublicKey(raw)
	if got, _, err := decodePublicKey(exampleKey); err != nil || got != example {
		t.Errorf("the manual's key: %x, %v", got, err)
	}
	slashes := zmqauth.PublicKey([]byte(strings.Repeat("\xff\xef\xbe", 11)[:32])) // + and / in base64
	for _, key := range []zmqauth.PublicKey{example, slashes} {
		for name, text := range forms(key) {
			got, isForm, err := decodePublicKey(text)
			if err != nil || !isForm || got != key {
				t.Errorf("%s: %x, %v, %v", name, got, isForm, err)
			}
		}
	}
	standard, forURL := forms(slashes)["base64"], forms(slashes)["URL base64"]
	for name, text := range map[string]string{
		"Z85: another character":   "_" + exampleKey[1:],
		"Z85: too large a number":  "#####" + exampleKey[5:],
		"Z85: all zero":            strings.Repeat("0", 40),
		"hex: another character":   "g" + exampleHex[1:],
		"hex: a blank":             exampleHex[1:] + " ",
		"hex: all zero":            strings.Repeat("0", 64),
		"base64: both alphabets":   standard[:20] + forURL[20:],
		"base64: padded twice":     standard[:42] + "==",
		"base64: 43 with padding":  standard[:42] + "=",
		"base64: 44 digits":        standard[:43] + "A",
		"base64: bits at the end":  "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB",
		"base64: a line break":     standard[:42] + "\n=",
		"base64: all zero":         strings.Repeat("A", 43),
		"base64: a colon in it":    ":" + standard[1:],
		"Z85: a character of UTF8": "é" + exampleKey[2:],
	} {
		got, isForm, err := decodePublicKey(text)
		if err == nil || !isForm || got != (zmqauth.PublicKey{}) || strings.Contains(err.Error(), text) {
			t.Errorf("%s: %x, %v, %v", name, got, isForm, err)
		}
	}
	for _, text := range []string{"", "ann.key", exampleKey[1:], exampleKey + "0", "0x" + exampleHex} {
		got, isForm, err := decodePublicKey(text)
		if isForm || err != nil || got != (zmqauth.PublicKey{}) {
			t.Errorf("%q: %x, %v, %v", text, got, isForm, err)
		}
	}
}

// TestPublicKeyFrom: a name that may be a key or a file is an error, unless it can only be one.
func TestPublicKeyFrom(t *testing.T) {
	t.Chdir(t.TempDir())
	public, _, err := zmqauth.CreateCertificates(".", "ann", nil)
	must.OK(t, err)
	cert, err := zmqauth.LoadCertificate(public)
	must.OK(t, err)
	copyTo := func(name string) string {
		data, err := os.ReadFile(public)
		must.OK(t, err)
		must.OK(t, os.WriteFile(name, data, 0o600))
		return name
	}
	likeKey := copyTo("certificate-with-a-name-of-40-characters")
	unlikeKey := copyTo("certificate_with_a_name_of_40_characters")
	likeHex := copyTo(strings.Repeat("ab", 32))
	for _, text := range []string{
		public, "./" + likeKey, "./" + likeHex, unlikeKey,
	} {
		if key, err := publicKeyFrom("key", text); err != nil || key != cert.Public {
			t.Errorf("%s: %v, %v", text, key, err)
		}
	}
	for text, want := range map[string]string{
		likeKey:              "--key: this is a key, and a file has that name, too",
		likeHex:              "--key: this is a key, and a file has that name, too",
		"_" + exampleKey[1:]: "--key: 40 characters are Z85: character 1 is none of Z85's, and no file",
		"nothing":            "nothing: no such file or directory (nor is it a key",
	} {
		key, err := publicKeyFrom("key", text)
		if err == nil || !strings.Contains(err.Error(), want) || key != (zmqauth.PublicKey{}) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
		if len(text) >= z85Length && err != nil && strings.Contains(err.Error(), text) {
			t.Errorf("%v has the text", err)
		}
	}
	if key, err := publicKeyFrom("key", exampleKey); err != nil || key.String() != exampleKey {
		t.Errorf("%v, %v", key, err)
	}
}

// FuzzDecodePublicKey: an accepted text is one of the forms of its key.
func FuzzDecodePublicKey(f *testing.F) {
	f.Add(exampleKey)
	f.Add(exampleHex)
	f.Add("VPy6JOkySZaTFvthfIcrsMHR/xSABCfFlMv6zxvC1lI=")
	f.Add("VPy6JOkySZaTFvthfIcrsMHR_xSABCfFlMv6zxvC1lI")
	f.Fuzz(func(t *testing.T, text string) {
		key, isForm, err := decodePublicKey(text)
		if err != nil || !isForm {
			if key != (zmqauth.PublicKey{}) {
				t.Fatalf("%q: %v, %v, and yet %x", text, isForm, err, key)
			}
			return
		}
		for name, form := range forms(key) {
			if form == text || name == "hex" && form == strings.ToLower(text) {
				return
			}
		}
		t.Fatalf("%q is no form of %x", text, key)
	})
}
