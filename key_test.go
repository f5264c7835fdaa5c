package zmqauth

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"testing"

	"github.com/pebbe/zmq4"
)

// keyVectors are the key pairs of the example in libzmq's manual (zmq_curve), as text and bytes.
var keyVectors = map[string]struct {
	z85 string
	raw [32]byte
}{
	"server public": {"rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7", [32]byte{
		0x54, 0xfc, 0xba, 0x24, 0xe9, 0x32, 0x49, 0x96, 0x93, 0x16, 0xfb, 0x61, 0x7c, 0x87, 0x2b, 0xb0,
		0xc1, 0xd1, 0xff, 0x14, 0x80, 0x04, 0x27, 0xc5, 0x94, 0xcb, 0xfa, 0xcf, 0x1b, 0xc2, 0xd6, 0x52}},
	"server secret": {"JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6", [32]byte{
		0x8e, 0x0b, 0xdd, 0x69, 0x76, 0x28, 0xb9, 0x1d, 0x8f, 0x24, 0x55, 0x87, 0xee, 0x95, 0xc5, 0xb0,
		0x4d, 0x48, 0x96, 0x3f, 0x79, 0x25, 0x98, 0x77, 0xb4, 0x9c, 0xd9, 0x06, 0x3a, 0xea, 0xd3, 0xb7}},
	"client public": {"Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID", [32]byte{
		0xbb, 0x88, 0x47, 0x1d, 0x65, 0xe2, 0x65, 0x9b, 0x30, 0xc5, 0x5a, 0x53, 0x21, 0xce, 0xbb, 0x5a,
		0xab, 0x2b, 0x70, 0xa3, 0x98, 0x64, 0x5c, 0x26, 0xdc, 0xa2, 0xb2, 0xfc, 0xb4, 0x3f, 0xc5, 0x18}},
	"client secret": {"D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs", [32]byte{
		0x7b, 0xb8, 0x64, 0xb4, 0x89, 0xaf, 0xa3, 0x67, 0x1f, 0xbe, 0x69, 0x10, 0x1f, 0x94, 0xb3, 0x89,
		0x72, 0xf2, 0x48, 0x16, 0xdf, 0xb0, 0x1b, 0x51, 0x65, 0x6b, 0x3f, 0xec, 0x8d, 0xfd, 0x08, 0x88}},
}

func TestKeyVectors(t *testing.T) {
	for name, vector := range keyVectors {
		t.Run(name, func(t *testing.T) {
			public, err := ParsePublicKey(vector.z85)
			if err != nil || public != vector.raw || public.String() != vector.z85 {
				t.Errorf("%x, %v, %s", public[:], err, public)
			}
			secret, err := ParseSecretKey(vector.z85)
			if err != nil || secret != vector.raw || secret.Z85() != vector.z85 {
				t.Errorf("another secret, %v", err)
			}
		})
	}
}

// TestKeyTextAgainstLibzmq: libzmq writes the same texts, and its texts are read back.
func TestKeyTextAgainstLibzmq(t *testing.T) {
	keys := []PublicKey{{}, {0: 1}, {31: 1},
		PublicKey(bytes.Repeat([]byte{0xff}, 32)), PublicKey(bytes.Repeat([]byte{0x80}, 32))}
	for range 100 {
		public, secret, err := GenerateKeyPair()
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, public, PublicKey(secret))
	}
	for _, key := range keys {
		want := zmq4.Z85encode(string(key[:]))
		if got := key.String(); got != want {
			t.Errorf("%x: %s, libzmq %s", key[:], got, want)
		}
		if back, err := ParsePublicKey(want); err != nil || back != key {
			t.Errorf("%s: %x, %v", want, back[:], err)
		}
	}
}

// notKeys are texts that are no keys. Package z85 has more cases.
var notKeys = map[string]struct {
	text, want string
}{
	"too short":     {"Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hI", "not 40 characters of Z85"},
	"no character":  {"Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hI~", "character 40 is none of Z85's"},
	"no four bytes": {"#####w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID", "characters 1 to 5 are no Z85"},
}

func TestKeyRefusals(t *testing.T) {
	for name, test := range notKeys {
		t.Run(name, func(t *testing.T) {
			public, err := ParsePublicKey(test.text)
			want := "zmqauth: public key: " + test.want
			if public != (PublicKey{}) || err == nil || err.Error() != want {
				t.Errorf("%s, %v, want %s", public, err, want)
			}
			secret, err := ParseSecretKey(test.text)
			want = "zmqauth: secret key: " + test.want
			if secret != (SecretKey{}) || err == nil || err.Error() != want {
				t.Errorf("%v, want %s", err, want)
			}
		})
	}
}

func TestPublicKeyText(t *testing.T) {
	key := PublicKey(keyVectors["client public"].raw)
	text, err := json.Marshal(map[PublicKey]PublicKey{key: key})
	if err != nil {
		t.Fatal(err)
	}
	var back map[PublicKey]PublicKey
	if err := json.Unmarshal(text, &back); err != nil || back[key] != key {
		t.Errorf("%s: %v, %v", text, back, err)
	}
	before := key
	if err := key.UnmarshalText([]byte("short")); err == nil || key != before {
		t.Errorf("a broken text: %v, key changed: %t", err, key != before)
	}
}

func TestKeyPairsAgainstLibzmq(t *testing.T) {
	for name, pair := range map[string][2]string{
		"server": {"server public", "server secret"},
		"client": {"client public", "client secret"},
	} {
		if secret := SecretKey(keyVectors[pair[1]].raw); secret.Public() != keyVectors[pair[0]].raw {
			t.Errorf("%s: public key %s", name, secret.Public())
		}
	}
	for range 20 {
		public, secret, err := GenerateKeyPair()
		if err != nil {
			t.Fatal(err)
		}
		derived, err := zmq4.AuthCurvePublic(secret.Z85())
		if err != nil || derived != public.String() || secret.Public() != public {
			t.Errorf("libzmq derives %s, %v; ours is %s", derived, err, public)
		}
		theirPublic, theirSecret, err := zmq4.NewCurveKeypair()
		if err != nil {
			t.Fatal(err)
		}
		their, err := ParseSecretKey(theirSecret)
		if err != nil || their.Public().String() != theirPublic {
			t.Errorf("of libzmq's pair %s: %s, %v", theirPublic, their.Public(), err)
		}
	}
}

func TestSecretKeyEqual(t *testing.T) {
	a, b := SecretKey{1}, SecretKey{1}
	if !a.Equal(b) || a.Equal(SecretKey{1, 31: 1}) || a.Equal(SecretKey{}) {
		t.Error("not equality")
	}
}

// formatted turns a value into text in every way in which programs do that.
func formatted(t *testing.T, value any) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%#x", "% x", "%d", "%q", "%o",
		"%b", "%c", "%U", "%08d", "%t", "%T", "%!"} {
		texts[verb] = fmt.Sprintf(verb, value)
	}
	texts["Sprint"] = fmt.Sprint(value)
	texts["error"] = fmt.Errorf("wrapped: %w, %v", fmt.Errorf("%+v", value), value).Error()
	var out bytes.Buffer
	options := &slog.HandlerOptions{Level: slog.LevelDebug}
	for name, handler := range map[string]slog.Handler{
		"slog text": slog.NewTextHandler(&out, options),
		"slog JSON": slog.NewJSONHandler(&out, options),
	} {
		logger := slog.New(handler).With("with", value)
		group, list := slog.Group("group", "inner", value), slog.Any("list", []any{value})
		logger.Debug("m", "value", value, group, list)
		texts[name] = out.String()
		out.Reset()
	}
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	texts["JSON"] = string(text)
	texts["panic"] = func() (text string) {
		defer func() { text = fmt.Sprint(recover()) }()
		panic(value)
	}()
	return texts
}

// hides fails where a text holds a part of the secret, in whatever base.
func hides(t *testing.T, secret SecretKey, texts map[string]string) {
	t.Helper()
	text, part := secret.Z85(), secret[4:8]
	decimal := strings.Trim(fmt.Sprint(part), "[]")
	traces := map[string]string{
		"Z85":        text[:10],
		"Z85's end":  text[30:],
		"raw":        string(part),
		"quoted":     strings.Trim(fmt.Sprintf("%q", part), `"`),
		"hex":        fmt.Sprintf("%x", part),
		"HEX":        fmt.Sprintf("%X", part),
		"spaced hex": fmt.Sprintf("% x", part),
		"decimal":    decimal,
		"JSON":       strings.ReplaceAll(decimal, " ", ","),
		"Go":         strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", part), "[]byte{"), "}"),
	}
	for way, text := range texts {
		for base, trace := range traces {
			if strings.Contains(text, trace) {
				t.Errorf("%s shows the secret (%s): %s", way, base, text)
			}
		}
	}
}

func TestSecretKeyHidesItself(t *testing.T) {
	secret := SecretKey(keyVectors["server secret"].raw)
	type record struct {
		Secret  SecretKey
		Pointer *SecretKey
		List    []SecretKey
		Map     map[string]SecretKey
		Any     any
	}
	values := map[string]any{
		"value": secret, "pointer": &secret, "slice": []SecretKey{secret}, "array": [1]SecretKey{secret},
		"map":    map[string]*SecretKey{"k": &secret},
		"struct": record{secret, &secret, []SecretKey{secret}, map[string]SecretKey{"k": secret}, secret},
	}
	for name, value := range values {
		t.Run(name, func(t *testing.T) { hides(t, secret, formatted(t, value)) })
	}
	// Behind two pointers fmt calls no methods for a verb that pointers do not have, such as %s. go
	// vet finds such a call.
	t.Run("nested", func(t *testing.T) {
		texts := formatted(t, struct{ Record *record }{&record{Secret: secret, Any: &secret}})
		maps.DeleteFunc(texts, func(way, _ string) bool {
			return strings.HasPrefix(way, "%") && !strings.HasSuffix(way, "v")
		})
		hides(t, secret, texts)
	})
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		if got := fmt.Sprintf(verb, secret); got != redacted {
			t.Errorf("%s: %s", verb, got)
		}
	}
}

// TestHidesFinds: the tests above would find a secret.
func TestHidesFinds(t *testing.T) {
	secret := keyVectors["server secret"].raw
	for _, verb := range []string{"%v", "%#v", "%x", "%X", "% x", "%s", "%q"} {
		var probe testing.T
		hides(&probe, secret, map[string]string{verb: fmt.Sprintf(verb, secret[:])})
		if !probe.Failed() {
			t.Errorf("%s is not found", verb)
		}
	}
}

// FuzzKey: a text is a public key if and only if it is a secret key, and libzmq reads the same
// bytes. An error repeats nothing of a text that may be a secret. Package z85 has a fuzz target of
// its own.
func FuzzKey(f *testing.F) {
	for _, vector := range keyVectors {
		f.Add(vector.z85)
	}
	for _, not := range notKeys {
		f.Add(not.text)
	}
	for _, extreme := range []string{"0", "%nSc0", "%nSc1", "#", "\x00", "å", `"`} {
		f.Add(strings.Repeat(extreme, 40/len(extreme)))
	}
	f.Fuzz(func(t *testing.T, text string) {
		public, err := ParsePublicKey(text)
		secret, secretErr := ParseSecretKey(text)
		if (err == nil) != (secretErr == nil) {
			t.Fatalf("%q: %v, %v", text, err, secretErr)
		}
		var unmarshalled PublicKey
		unmarshalErr := unmarshalled.UnmarshalText([]byte(text))
		if (unmarshalErr == nil) != (err == nil) || unmarshalled != public {
			t.Fatalf("%q: %v, %v", text, err, unmarshalErr)
		}
		if err != nil {
			repeated := len(text) > 8 && strings.Contains(secretErr.Error(), text)
			if public != (PublicKey{}) || secret != (SecretKey{}) || repeated {
				t.Fatalf("%q: %v", text, secretErr)
			}
			return
		}
		if public.String() != text || secret.Z85() != text || public != PublicKey(secret) {
			t.Fatalf("%q became %q", text, public)
		}
		if raw := zmq4.Z85decode(text); raw != string(public[:]) {
			t.Fatalf("%q: %x, libzmq says %x", text, public[:], raw)
		}
	})
}
