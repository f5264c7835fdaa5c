package fleet

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
)

// sameAsJSON parses a value with and without the scanner, and compares.
func sameAsJSON(t *testing.T, key, text string) {
	t.Helper()
	bare, err := parseKey(key)
	if err != nil || len(text) > MaxValue {
		return
	}
	got, err := parseInto(map[string]string{"x": "y"}, key, text)
	want, wanted := bare.unmarshal(text)
	if fmt.Sprint(err) != fmt.Sprint(wanted) || err == nil && !reflect.DeepEqual(got, want) {
		t.Fatalf("%s %q: %v, %v\nnot %v, %v", key, text, plain(got), err, plain(want), wanted)
	}
}

// TestScan: the scanner takes what administrators write, and not only package json. Whatever is
// changed in it, by any byte, both say the same.
func TestScan(t *testing.T) {
	for key, e := range validEntries() {
		if e.Kind == KindServer || e.Name == "\x00a?" {
			continue
		}
		if e.Metadata != nil {
			e.Metadata["Role"], e.Metadata["Z"] = "führt\u2027", "\x7f\ufffd"
		}
		must.OK(t, e.Sign(testFleet, signerOf(1)))
		encoded, err := e.Encode()
		must.OK(t, err)
		text := string(encoded)
		bare, err := parseKey(key)
		must.OK(t, err)
		if _, ok := bare.scan(text, nil); !ok {
			t.Errorf("%s is left to package json", text)
		}
		sameAsJSON(t, key, text)
		for i := range len(text) {
			for _, b := range []string{"", " ", "0", "9", "a", "A", "=", "+", "/", "\n", "\r", "\x00", `"`,
				`\`, `\"`, "<", ">", "&", "{", "}", "[", "]", ",", ":", ".", "-", "\x7f", "\x80", "\xff",
				"\u2028", "\u00fc"} {
				sameAsJSON(t, key, text[:i]+b+text[i+1:])
				sameAsJSON(t, key, text[:i]+b+text[i:])
			}
			sameAsJSON(t, key, text[:i])
		}
	}
}

// hostileValues are what whoever has the store may give in place of the value of a key.
func hostileValues() map[string]string {
	const end = `,"revision":1}`
	deep := strings.Repeat("[", 100_000)
	return map[string]string{
		"a field twice":        `{"state":"granted","revision":1,"revision":1}`,
		"a null":               `{"state":"granted","user":null` + end,
		"an empty field":       `{"state":"granted","user":""` + end,
		"an escape":            `{"state":"gr\u0061nted"` + end,
		"an escaped name":      `{"st\u0061te":"granted"` + end,
		"a NUL":                `{"state":"granted","user":"a\u0000"` + end,
		"a raw NUL":            "{\"state\":\"granted\",\"user\":\"a\x00\"" + end,
		"a raw line end":       "{\"state\":\"granted\",\"user\":\"a\n\"" + end,
		"no UTF-8":             "{\"state\":\"granted\",\"user\":\"a\xff\"" + end,
		"half a surrogate":     `{"state":"granted","user":"\ud800"` + end,
		"a line separator":     "{\"state\":\"granted\",\"user\":\"\u2028\"" + end,
		"HTML":                 `{"state":"granted","user":"<b>"` + end,
		"no metadata":          `{"state":"granted","metadata":{}` + end,
		"metadata twice":       `{"state":"granted","metadata":{"a":"1","a":"1"}` + end,
		"metadata out of line": `{"state":"granted","metadata":{"b":"1","a":"1"}` + end,
		"deep metadata":        `{"state":"granted","metadata":{"a":{"b":"1"}}` + end,
		"metadata without end": `{"state":"granted","metadata":{"a":"1",`,
		"deep nesting":         `{"state":"granted","metadata":` + deep,
		"deep nesting inside":  `{"state":"granted","x":` + deep + strings.Repeat("]", len(deep)) + end,
		"a leading zero":       `{"state":"granted","revision":01}`,
		"a sign":               `{"state":"granted","revision":+1}`,
		"a negative number":    `{"state":"granted","revision":-1}`,
		"a fraction":           `{"state":"granted","revision":1.0}`,
		"an exponent":          `{"state":"granted","revision":1e0}`,
		"a huge exponent":      `{"state":"granted","revision":1e999999999}`,
		"a number of 2^64":     `{"state":"granted","revision":18446744073709551616}`,
		"a number of 2^64+1":   `{"state":"granted","revision":18446744073709551617}`,
		"endless digits":       `{"state":"granted","revision":` + strings.Repeat("1", 100_000) + `}`,
		"no revision":          `{"state":"granted","revision":`,
		"a text as revision":   `{"state":"granted","revision":"1"}`,
		"the zero time":        `{"state":"granted","at":"0001-01-01T00:00:00Z"` + end,
		"the year 0":           `{"state":"granted","at":"0000-12-31T23:59:59Z"` + end,
		"zeros of a second":    `{"state":"granted","at":"2026-01-01T00:00:00.10Z"` + end,
		"a comma of a second":  `{"state":"granted","at":"2026-01-01T00:00:00,1Z"` + end,
		"too many digits":      `{"state":"granted","at":"2026-01-01T00:00:00.0000000001Z"` + end,
		"no zone":              `{"state":"granted","at":"2026-01-01T00:00:00"` + end,
		"zone zero":            `{"state":"granted","at":"2026-01-01T00:00:00+00:00"` + end,
		"loose bits":           `{"state":"granted","revision":1,"signature":"AB=="}`,
		"no padding":           `{"state":"granted","revision":1,"signature":"AA"}`,
		"base64 of URLs":       `{"state":"granted","revision":1,"signature":"_w=="}`,
		"a line end in base64": `{"state":"granted","revision":1,"signature":"AA\n=="}`,
		"an empty signature":   `{"state":"granted","revision":1,"signature":""}`,
		"a null signature":     `{"state":"granted","revision":1,"signature":null}`,
		"a list as signature":  `{"state":"granted","revision":1,"signature":[1]}`,
		"behind the end":       `{"state":"granted","revision":1}x`,
		"a NUL behind the end": "{\"state\":\"granted\",\"revision\":1}\x00",
		"nothing":              ``,
		"an empty object":      `{}`,
		"a comma first":        `{,"state":"granted","revision":1}`,
		"a comma last":         `{"state":"granted","revision":1,}`,
		"no beginning":         `"state":"granted","revision":1}`,
	}
}

// TestHostileValues: none of them counts, the errors are those of package json and have no value.
func TestHostileValues(t *testing.T) {
	for _, key := range []string{"c.d.01" + strings.Repeat("0", 62), "u.d.YW5u", "a.d", "meta",
		"sums.0"} {
		for name, value := range hostileValues() {
			sameAsJSON(t, key, value)
			if e, err := ParseEntry(key, []byte(value)); err == nil || e.Err() == nil ||
				e.State != "" || !strings.Contains(err.Error(), key) {
				t.Errorf("%s: %s: %v, %v", key, name, e, err)
			}
		}
	}
}
