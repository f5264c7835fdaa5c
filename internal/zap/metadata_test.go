package zap

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/testzap"
)

func TestEncodeMetadata(t *testing.T) {
	if DecodeMetadata(nil) != nil {
		t.Error("no frame has properties")
	}
	many := make(map[string]string)
	for c := 'z'; c >= 'a'; c-- {
		many[string(c)] = string(c)
	}
	frame, last := EncodeMetadata(many, nil), ""
	for rest := frame; len(rest) > 0; {
		var name []byte
		if name, _, rest = cutProperty(rest); string(name) <= last {
			t.Errorf("%s behind %s", name, last)
		}
		last = string(name)
	}
	if !maps.Equal(DecodeMetadata(frame), many) || cap(frame) != len(frame) {
		t.Errorf("%q", frame)
	}
	got := EncodeMetadata(map[string]string{"b": "2", "a": "one"}, []string{"Role", "b"})
	want := []byte("\x01a\x00\x00\x00\x03one\x01b\x00\x00\x00\x012\x04Role\x00\x00\x00\x00")
	if !bytes.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestCheckProperty(t *testing.T) {
	for _, test := range []struct {
		name, value string
		ok          bool
	}{
		{"Role", "operator", true},
		{"a", "", true},
		{"X-_.+9", "any text, även å", true},
		{strings.Repeat("n", 255), "", true},
		{strings.Repeat("n", 256), "", false},
		{"", "x", false},
		{"with space", "x", false},
		{"slash/", "x", false},
		{"ümlaut", "x", false},
		{"nul\x00", "x", false},
		{"Role", "a\x00b", false},
		{"Identity", "x", false},
		{"identity", "x", false},
		{"Socket-Type", "x", false},
		{"User-Id", "x", false},
		{"USER-ID", "x", false},
		{"Peer-Address", "x", false},
		{"__fd", "x", false},
		{"_one", "x", true},
	} {
		if err := CheckProperty(test.name, test.value); (err == nil) != test.ok {
			t.Errorf("%.20q = %q: %v", test.name, test.value, err)
		}
		if err := CheckMetadata(map[string]string{test.name: test.value}); (err == nil) != test.ok {
			t.Errorf("as metadata, %.20q = %q: %v", test.name, test.value, err)
		}
	}
}

// TestCheckMetadata: the error is always about the first bad property in the order of names.
func TestCheckMetadata(t *testing.T) {
	for range 20 {
		err := CheckMetadata(map[string]string{"a": "good", "b c": "", "d e": "", "f": "\x00"})
		if err == nil || !strings.HasPrefix(err.Error(), `metadata name "b c": `) {
			t.Fatal(err)
		}
	}
	if err := CheckMetadata(nil); err != nil {
		t.Error(err)
	}
}

func TestCheckUserID(t *testing.T) {
	ids := map[string]bool{"": true, "ann": true, "grüße": true, "\x00": false, "ann\x00": false}
	for id, ok := range ids {
		if err := CheckUserID(id); (err == nil) != ok {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// FuzzMetadata: a reader of the frame finds the accepted properties, and none that libzmq sets.
func FuzzMetadata(f *testing.F) {
	f.Fuzz(func(t *testing.T, name, value, other, required string) {
		properties := map[string]string{name: value, other: "x"}
		if CheckMetadata(properties) != nil || CheckProperty(required, "") != nil {
			return
		}
		want := map[string]string{required: ""}
		maps.Copy(want, properties)
		frame := EncodeMetadata(properties, []string{required})
		got := testzap.ParseMetadata(t, frame)
		if again := DecodeMetadata(frame); !maps.Equal(got, want) || !maps.Equal(again, want) {
			t.Fatalf("%q became %q, and then %q", want, got, again)
		}
		libzmqs := []string{"identity", "socket-type", "user-id", "peer-address"}
		for name, value := range got {
			if name == "" || len(name) > 255 || strings.Contains(name+value, "\x00") ||
				slices.Contains(libzmqs, strings.ToLower(name)) {
				t.Fatalf("%q: %q", name, value)
			}
		}
	})
}
