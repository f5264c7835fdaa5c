package zmqauth

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/pebbe/zmq4"
)

// key32 is what a CURVE credential looks like.
var key32 = strings.Repeat("k", 32)

// brokenRequests are bodies that break RFC 27, each with whether it can be answered.
var brokenRequests = map[string]struct {
	body       [][]byte
	answerable bool
}{
	"nothing":                {nil, false},
	"version alone":          {frames("1.0"), false},
	"no domain":              {frames("1.0", "1"), true},
	"no address":             {frames("1.0", "1", "d"), true},
	"no routing id":          {frames("1.0", "1", "d", "127.0.0.1"), true},
	"no mechanism":           {frames("1.0", "1", "d", "127.0.0.1", ""), true},
	"empty mechanism":        {zapRequest("d", "127.0.0.1", ""), true},
	"another version":        {append(frames("2.0"), nullRequest()[1:]...), true},
	"an empty version":       {append(frames(""), nullRequest()[1:]...), true},
	"a long version":         {append(frames("1.0\x00"), nullRequest()[1:]...), true},
	"NULL with a credential": {zapRequest("d", "127.0.0.1", "NULL", "x"), true},
	"PLAIN without":          {zapRequest("d", "127.0.0.1", "PLAIN"), true},
	"PLAIN, name alone":      {zapRequest("d", "127.0.0.1", "PLAIN", "ann"), true},
	"PLAIN, three":           {zapRequest("d", "127.0.0.1", "PLAIN", "ann", "secret", "x"), true},
	"CURVE without":          {zapRequest("d", "127.0.0.1", "CURVE"), true},
	"CURVE, 31 bytes":        {zapRequest("d", "127.0.0.1", "CURVE", key32[1:]), true},
	"CURVE, 33 bytes":        {zapRequest("d", "127.0.0.1", "CURVE", key32+"k"), true},
	"CURVE, two keys":        {zapRequest("d", "127.0.0.1", "CURVE", key32, key32), true},
	"GSSAPI without":         {zapRequest("d", "127.0.0.1", "GSSAPI"), true},
	"GSSAPI, empty":          {zapRequest("d", "127.0.0.1", "GSSAPI", ""), true},
	"another mechanism":      {zapRequest("d", "127.0.0.1", "KRYPTON", "x"), true},
	"lower case":             {zapRequest("d", "127.0.0.1", "null"), true},
	"NULL with a NUL":        {zapRequest("d", "127.0.0.1", "NULL\x00"), true},
	"a hundred credentials":  {append(zapRequest("d", "127.0.0.1", "PLAIN"), slices.Repeat(frames("x"), 100)...), true},
	"a mebibyte of password": {zapRequest("d", "127.0.0.1", "PLAIN", "ann", strings.Repeat("x", 1<<20)), true},
	"QUIT":                   {frames("QUIT"), false},
}

// openHouse accepts every well-formed request, so that only the form decides.
func openHouse(t testing.TB, a *Authenticator) {
	t.Helper()
	must(t, errors.Join(a.ConfigureCurve("*", CurveAllowAny),
		a.ConfigurePlainCallback("*", func(context.Context, string, string, string) (*Identity, error) { return &Identity{}, nil })))
}

// TestBrokenRequests sends them to the live endpoint and to HandleZAPMessage: a refusal where there is enough to reply
// to, and the service goes on.
func TestBrokenRequests(t *testing.T) {
	for name, broken := range brokenRequests {
		t.Run(name, func(t *testing.T) {
			a := startAuthenticator(t, Config{})
			openHouse(t, a)
			zap := newZAPClient(t, a.Context())
			zap.send(broken.body)
			want := "400"
			if len(broken.body) > 5 && string(broken.body[5]) == mechanismGSSAPI {
				want = "999"
			}
			if broken.answerable {
				reply := zap.receive()
				if reply[1] != "1" || reply[2] != want || reply[4]+reply[5] != "" {
					t.Errorf("reply %q", reply)
				}
			}
			if reply := zap.ask(nullRequest()); reply[2] != "200" {
				t.Errorf("a good request afterwards: %q", reply)
			}
			direct := a.HandleZAPMessage(context.Background(), broken.body)
			if broken.answerable != (direct != nil) {
				t.Fatalf("HandleZAPMessage: %q", direct)
			}
			if direct != nil && (len(direct) != zapFrames || string(direct[2]) != want) {
				t.Errorf("HandleZAPMessage: %q", direct)
			}
			if stats := a.Stats(); stats.Requests != 3 || stats.Denied != 2 || stats.Allowed != 1 {
				t.Errorf("%+v", stats)
			}
		})
	}
}

// TestEnvelopes: replies find back over proxies, and the request id is returned as it came.
func TestEnvelopes(t *testing.T) {
	a := startAuthenticator(t, Config{})
	zap := newZAPClient(t, a.Context())
	request := nullRequest()
	request[1] = []byte("id \x00\xff of some length")
	zap.sendRaw(append(frames("hop 1", "hop 2", ""), request...))
	reply, err := zap.socket.RecvMessage(0)
	must(t, err)
	if want := []string{"hop 1", "hop 2", "", "1.0", string(request[1]), "200", "OK", "", ""}; !slices.Equal(reply, want) {
		t.Errorf("reply %q, want %q", reply, want)
	}
	zap.sendRaw(frames("no", "delimiter"))
	zap.sendRaw(frames(""))
	if reply := zap.ask(nullRequest()); reply[2] != "200" {
		t.Errorf("a good request afterwards: %q", reply)
	}
}

// TestREQPeer: a REQ socket, the strictest of peers, gets exactly one reply for each request.
func TestREQPeer(t *testing.T) {
	a := startAuthenticator(t, Config{})
	req := newSocket(t, a.Context(), zmq4.REQ)
	must(t, req.SetRcvtimeo(patience))
	must(t, req.Connect(ZAPEndpoint))
	for range 10 {
		_, err := req.SendMessage(nullRequest())
		must(t, err)
		reply, err := req.RecvMessage(0)
		must(t, err)
		if want := []string{"1.0", "1", "200", "OK", "", ""}; !slices.Equal(reply, want) {
			t.Fatalf("reply %q, want %q", reply, want)
		}
	}
}

func TestEncodeMetadata(t *testing.T) {
	got := encodeMetadata(map[string]string{"b": "2", "a": "one"}, []string{"Role", "b"})
	want := []byte("\x01a\x00\x00\x00\x03one\x01b\x00\x00\x00\x012\x04Role\x00\x00\x00\x00")
	if !bytes.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// parseMetadata reads a metadata frame as RFC 27 has it.
func parseMetadata(t testing.TB, frame []byte) map[string]string {
	t.Helper()
	properties := make(map[string]string)
	for len(frame) > 0 {
		name := int(frame[0])
		if len(frame) < 1+name+4 {
			t.Fatalf("metadata ends in a name: %q", frame)
		}
		value := int(binary.BigEndian.Uint32(frame[1+name:]))
		if len(frame) < 1+name+4+value {
			t.Fatalf("metadata ends in a value: %q", frame)
		}
		properties[string(frame[1:1+name])] = string(frame[1+name+4 : 1+name+4+value])
		frame = frame[1+name+4+value:]
	}
	return properties
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
		if err := checkProperty(test.name, test.value); (err == nil) != test.ok {
			t.Errorf("%.20q = %q: %v", test.name, test.value, err)
		}
	}
}
