package z85

import (
	"bytes"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
)

// vectors are the keys of the example in libzmq's manual page zmq_curve, and others.
var vectors = map[string]struct {
	text string
	key  [32]byte
}{
	"server public": {"rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7", [32]byte{
		0x54, 0xfc, 0xba, 0x24, 0xe9, 0x32, 0x49, 0x96, 0x93, 0x16, 0xfb, 0x61, 0x7c, 0x87, 0x2b, 0xb0,
		0xc1, 0xd1, 0xff, 0x14, 0x80, 0x04, 0x27, 0xc5, 0x94, 0xcb, 0xfa, 0xcf, 0x1b, 0xc2, 0xd6, 0x52,
	}},
	"server secret": {"JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6", [32]byte{
		0x8e, 0x0b, 0xdd, 0x69, 0x76, 0x28, 0xb9, 0x1d, 0x8f, 0x24, 0x55, 0x87, 0xee, 0x95, 0xc5, 0xb0,
		0x4d, 0x48, 0x96, 0x3f, 0x79, 0x25, 0x98, 0x77, 0xb4, 0x9c, 0xd9, 0x06, 0x3a, 0xea, 0xd3, 0xb7,
	}},
	"client public": {"Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID", [32]byte{
		0xbb, 0x88, 0x47, 0x1d, 0x65, 0xe2, 0x65, 0x9b, 0x30, 0xc5, 0x5a, 0x53, 0x21, 0xce, 0xbb, 0x5a,
		0xab, 0x2b, 0x70, 0xa3, 0x98, 0x64, 0x5c, 0x26, 0xdc, 0xa2, 0xb2, 0xfc, 0xb4, 0x3f, 0xc5, 0x18,
	}},
	"client secret": {"D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs", [32]byte{
		0x7b, 0xb8, 0x64, 0xb4, 0x89, 0xaf, 0xa3, 0x67, 0x1f, 0xbe, 0x69, 0x10, 0x1f, 0x94, 0xb3, 0x89,
		0x72, 0xf2, 0x48, 0x16, 0xdf, 0xb0, 0x1b, 0x51, 0x65, 0x6b, 0x3f, 0xec, 0x8d, 0xfd, 0x08, 0x88,
	}},
	"RFC 32's test case": {"HelloWorld" + strings.Repeat("0", 30), [32]byte{
		0x86, 0x4f, 0xd2, 0x6f, 0xb5, 0x59, 0xf7, 0x5b, // the test case; the rest is padding
	}},
	"zeros":         {strings.Repeat("0", 40), [32]byte{}},
	"ones":          {strings.Repeat("%nSc0", 8), [32]byte(bytes.Repeat([]byte{0xff}, 32))},
	"the first bit": {"00001" + strings.Repeat("0", 35), [32]byte{3: 1}},
	"the last bit":  {strings.Repeat("0", 39) + "1", [32]byte{31: 1}},
}

func TestVectors(t *testing.T) {
	for name, vector := range vectors {
		t.Run(name, func(t *testing.T) {
			if text := Encode(vector.key); text != vector.text {
				t.Errorf("%x: %s, want %s", vector.key, text, vector.text)
			}
			if key, err := Decode(vector.text); err != nil || key != vector.key {
				t.Errorf("%s: %x, %v, want %x", vector.text, key, err, vector.key)
			}
		})
	}
}

// TestRoundTrips: Decode returns the key that Encode was given. A test of the package zmqauth
// compares with libzmq's own functions.
func TestRoundTrips(t *testing.T) {
	for range 1000 {
		var key [32]byte
		_, _ = rand.Read(key[:]) // never fails
		text := Encode(key)
		if back, err := Decode(text); len(text) != Length || err != nil || back != key {
			t.Fatalf("%x: %s, %x, %v", key, text, back, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	good := vectors["client public"].text
	for name, test := range map[string]struct {
		text, want string
	}{
		"empty":              {"", "not 40 characters of Z85"},
		"39 characters":      {good[:39], "not 40 characters of Z85"},
		"41 characters":      {good + "0", "not 40 characters of Z85"},
		"a tilde":            {"~" + good[1:], "character 1 is none of Z85's"},
		"a quote, last":      {good[:39] + `"`, "character 40 is none of Z85's"},
		"a blank":            {good[:7] + " " + good[8:], "character 8 is none of Z85's"},
		"UTF-8":              {good[:38] + "é", "character 39 is none of Z85's"},
		"group too great":    {"#####" + good[5:], "characters 1 to 5 are no Z85"},
		"group one too much": {good[:35] + "%nSc1", "characters 36 to 40 are no Z85"},
	} {
		t.Run(name, func(t *testing.T) {
			key, err := Decode(test.text)
			if key != [32]byte{} || err == nil || err.Error() != test.want {
				t.Errorf("%x, %v, want %s", key, err, test.want)
			}
			if is := errors.Is(err, ErrLength); is != (len(test.text) != Length) {
				t.Errorf("%v is ErrLength: %t", err, is)
			}
		})
	}
	key, err := Decode("%nSc0" + good[5:])
	if err != nil || [4]byte(key[:4]) != [4]byte{0xff, 0xff, 0xff, 0xff} {
		t.Errorf("the greatest group: %x, %v", key[:4], err)
	}
}

// FuzzZ85: Encode returns the text that Decode has accepted. No error repeats the text.
func FuzzZ85(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		key, err := Decode(text)
		if err != nil {
			if key != [32]byte{} || len(text) > 8 && strings.Contains(err.Error(), text) {
				t.Fatalf("%q: %x, %v", text, key, err)
			}
			return
		}
		if again := Encode(key); again != text {
			t.Fatalf("%q became %q", text, again)
		}
	})
}
