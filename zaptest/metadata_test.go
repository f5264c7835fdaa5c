package zaptest

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"
)

func TestParseMetadata(t *testing.T) {
	for _, test := range []struct {
		name, frame string
		want        []property
		ok          bool
	}{
		{"none", "", nil, true},
		{"two", "\x01a\x00\x00\x00\x03one\x03X-b\x00\x00\x00\x00",
			[]property{{"a", "one"}, {"X-b", ""}}, true},
		{"the longest name", "\xff" + strings.Repeat("n", 255) + "\x00\x00\x00\x00",
			[]property{{strings.Repeat("n", 255), ""}}, true},
		{"binary value", "\x01a\x00\x00\x00\x02\x00\xff", []property{{"a", "\x00\xff"}}, true},
		{"a name that ends early", "\x05abc", nil, false},
		{"no value", "\x01a", nil, false},
		{"half a length", "\x01a\x00\x00", nil, false},
		{"a value that ends early", "\x01a\x00\x00\x00\x03on", nil, false},
		{"a value of 4 GiB", "\x01a\xff\xff\xff\xffx", nil, false},
		{"an empty name", "\x00\x00\x00\x00\x01v", nil, false},
		{"a blank in a name", "\x03a b\x00\x00\x00\x00", nil, false},
		{"a name in UTF-8", "\x02\xc3\xa5\x00\x00\x00\x00", nil, false},
		{"one byte too many", "\x01a\x00\x00\x00\x00\x00", nil, false},
	} {
		got, err := parseMetadata(test.frame)
		if (err == nil) != test.ok || !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, %v", test.name, got, err)
		}
	}
}

// FuzzParseMetadata makes sure that the parsed properties account for every byte of the frame.
func FuzzParseMetadata(f *testing.F) {
	for _, seed := range []string{
		"",
		"\x01a\x00\x00\x00\x03one",
		"\x01a\xff\xff\xff\xffx",
		"\x00\x00\x00\x00\x01v",
		"\xffa",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, frame string) {
		properties, err := parseMetadata(frame)
		if err != nil {
			return
		}
		var again []byte
		for _, p := range properties {
			again = append(append(again, byte(len(p.name))), p.name...)
			again = append(binary.BigEndian.AppendUint32(again, uint32(len(p.value))), p.value...)
		}
		if string(again) != frame {
			t.Fatalf("%q became %q", frame, again)
		}
	})
}
