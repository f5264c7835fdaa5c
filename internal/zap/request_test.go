package zap

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/testzap"
)

func TestDecode(t *testing.T) {
	long := strings.Repeat("x", MaxCredential)
	for name, test := range map[string]struct {
		mechanism   string
		credentials []string
	}{
		"NULL":                   {"NULL", nil},
		"PLAIN":                  {"PLAIN", []string{"ann", "secret"}},
		"PLAIN, empty":           {"PLAIN", []string{"", ""}},
		"PLAIN, longest":         {"PLAIN", []string{long, long}},
		"CURVE":                  {"CURVE", []string{testzap.Key}},
		"GSSAPI":                 {"GSSAPI", []string{"ann@EXAMPLE.ORG"}},
		"another mechanism":      {"KRYPTON", []string{"x"}},
		"another, with a deluge": {"KRYPTON", slices.Repeat([]string{"x"}, 100)},
	} {
		t.Run(name, func(t *testing.T) {
			frames := testzap.Request("d", "127.0.0.1", test.mechanism, test.credentials...)
			frames[4] = []byte("routing id")
			r := Request{Credentials: [maxCredentials][]byte{[]byte("what was"), []byte("before")}}
			if err := Decode(frames, &r); err != nil {
				t.Fatal(err)
			}
			got := [][]byte{r.ID, r.Domain, r.Address, r.RoutingID, r.Mechanism}
			if !slices.EqualFunc(got, frames[1:requestFrames], bytes.Equal) {
				t.Errorf("fields %q of %q", got, frames)
			}
			for i, credential := range r.Credentials {
				want := ""
				if i < len(test.credentials) {
					want = test.credentials[i]
				}
				if string(credential) != want {
					t.Errorf("credential %d: %q, want %q", i, credential, want)
				}
			}
		})
	}
}

// TestDecodeBadRequests: a request that breaks RFC 27 is malformed; its readable fields are set.
func TestDecodeBadRequests(t *testing.T) {
	for name, bad := range testzap.BadRequests() {
		t.Run(name, func(t *testing.T) {
			var r Request
			err := Decode(bad.Frames, &r)
			if bad.Decodes != (err == nil) || err != nil && !errors.Is(err, ErrMalformed) {
				t.Errorf("error %v", err)
			}
			if bad.Answerable != (len(bad.Frames) >= Answerable) {
				t.Errorf("%d frames are answerable: %v", len(bad.Frames), !bad.Answerable)
			}
			for i, field := range [][]byte{r.ID, r.Domain, r.Address, r.RoutingID, r.Mechanism} {
				if i+1 < len(bad.Frames) && !bytes.Equal(field, bad.Frames[i+1]) {
					t.Errorf("frame %d: %q, want %q", i+1, field, bad.Frames[i+1])
				}
			}
		})
	}
}

func TestClone(t *testing.T) {
	frames := testzap.Request("d", "127.0.0.1", "PLAIN", "ann", "secret")
	want := testzap.Request("d", "127.0.0.1", "PLAIN", "ann", "secret")
	var r Request
	if err := Decode(frames, &r); err != nil {
		t.Fatal(err)
	}
	c := r.Clone()
	for _, frame := range frames {
		clear(frame)
	}
	got := append([][]byte{[]byte(Version), c.ID, c.Domain, c.Address, c.RoutingID, c.Mechanism},
		c.Credentials[:]...)
	if !slices.EqualFunc(got, want, bytes.Equal) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestSplitEnvelope(t *testing.T) {
	for name, test := range map[string]struct {
		frames   []string
		envelope int // how many frames; 0: there is no envelope
	}{
		"nothing":              {nil, 0},
		"a peer alone":         {[]string{"peer"}, 0},
		"no delimiter":         {[]string{"peer", "1.0", "1"}, 0},
		"a peer":               {[]string{"peer", "", "1.0", "1"}, 2},
		"a peer without name":  {[]string{"", "", "1.0", "1"}, 2},
		"over proxies":         {[]string{"peer", "hop 1", "hop 2", "", "1.0", "1"}, 4},
		"a second delimiter":   {[]string{"peer", "", "1.0", ""}, 2},
		"nothing behind":       {[]string{"peer", ""}, 2},
		"the delimiter before": {[]string{"", "1.0", "1"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			frames := testzap.Frames(test.frames...)
			envelope, body := SplitEnvelope(frames)
			whole := slices.Concat(envelope, body)
			if len(envelope) != test.envelope || test.envelope == 0 && body != nil ||
				test.envelope != 0 && !slices.EqualFunc(whole, frames, bytes.Equal) {
				t.Errorf("%q and %q", envelope, body)
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	frames := testzap.Request("global", "192.0.2.1", MechanismCurve, testzap.Key)
	var r Request
	b.ReportAllocs()
	for b.Loop() {
		if err := Decode(frames, &r); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzDecodeRequest(f *testing.F) {
	for _, bad := range testzap.BadRequests() {
		if joined := bytes.Join(bad.Frames, []byte("|")); len(joined) < 1000 {
			f.Add(joined)
		}
	}
	f.Add([]byte("1.0|1|d|127.0.0.1||CURVE|" + testzap.Key))
	f.Fuzz(func(t *testing.T, data []byte) {
		body := bytes.Split(data, []byte("|"))
		var r Request
		err := Decode(body, &r)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("%v", err)
			}
			return
		}
		// The fields of an accepted request are all of its frames.
		again := [][]byte{[]byte(Version), r.ID, r.Domain, r.Address, r.RoutingID, r.Mechanism}
		count, known := credentialCount(r.Mechanism)
		again = append(again, r.Credentials[:count]...)
		if known && !bytes.Equal(bytes.Join(again, []byte("|")), data) {
			t.Fatalf("%q became %q", data, again)
		}
		c := r.Clone()
		if !bytes.Equal(c.Domain, r.Domain) || !bytes.Equal(c.Credentials[0], r.Credentials[0]) {
			t.Fatal("the clone differs")
		}
		if string(r.Mechanism) == MechanismCurve && len(r.Credentials[0]) != 32 {
			t.Fatal("a CURVE key of another length")
		}
	})
}
