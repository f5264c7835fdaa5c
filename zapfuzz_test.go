package zmqauth

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func FuzzDecodeRequest(f *testing.F) {
	for _, broken := range brokenRequests {
		if joined := bytes.Join(broken.body, []byte("|")); len(joined) < 1000 {
			f.Add(joined)
		}
	}
	f.Add([]byte("1.0|1|d|127.0.0.1||CURVE|" + key32))
	f.Fuzz(func(t *testing.T, data []byte) {
		body := bytes.Split(data, []byte("|"))
		var r request
		err := decodeRequest(body, &r)
		if err != nil {
			if !errors.Is(err, errMalformed) {
				t.Fatalf("%v", err)
			}
			return
		}
		// What is accepted is all that came, and it holds together.
		again := [][]byte{[]byte(zapVersion), r.id, r.domain, r.address, r.routingID, r.mechanism}
		count, known := credentialCount(r.mechanism)
		again = append(again, r.credentials[:count]...)
		if known && !bytes.Equal(bytes.Join(again, []byte("|")), data) {
			t.Fatalf("%q became %q", data, again)
		}
		if c := r.clone(); !bytes.Equal(c.domain, r.domain) || !bytes.Equal(c.credentials[0], r.credentials[0]) {
			t.Fatal("the clone differs")
		}
		if string(r.mechanism) == mechanismCurve && len(r.credentials[0]) != 32 {
			t.Fatal("a CURVE key of another length")
		}
	})
}

// FuzzLiveEndpoint sends anything to a served endpoint: what can be answered gets exactly one well-formed reply, what
// cannot gets none; only what may be accepted is, here and by HandleZAPMessage; and the service goes on.
func FuzzLiveEndpoint(f *testing.F) {
	a := startAuthenticator(f, Config{Properties: []string{"Role"}})
	must(f, a.ConfigurePlain("*", map[string]string{"ann": "secret"}))
	must(f, a.ConfigurePlainCallback("ask", func(_ context.Context, _, name, _ string) (*Identity, error) { return &Identity{UserID: name}, nil }))
	must(f, a.ConfigureCurve("*", CurveAllowAny))
	must(f, a.ConfigureGSSAPI("*", "*@EXAMPLE.ORG"))
	must(f, a.AllowDomain("near", "127.0.0.0/8", "ipc"))
	a.loop.held.release() // refusals over GSSAPI go out at once
	zap := newZAPClient(f, a.Context())
	for _, broken := range brokenRequests {
		if joined := bytes.Join(broken.body, []byte("|")); len(joined) < 1000 {
			f.Add(append([]byte("|"), joined...))
		}
	}
	f.Add([]byte("hop||1.0|1|d|||CURVE|" + key32))
	f.Fuzz(func(t *testing.T, data []byte) {
		message := bytes.Split(data, []byte("|"))
		// The ROUTER sees its own frame first; here it is "".
		envelope, body := splitEnvelope(append([][]byte{[]byte("r")}, message...))
		zap.t = t
		zap.sendRaw(message)
		// Of more frames than libzmq ever makes the handler sees the first, and has to find all of that among them.
		const seen = 24
		if len(body) >= answerable && len(envelope)+answerable <= seen {
			reply, err := zap.socket.RecvMessageBytes(0)
			must(t, err)
			lead := len(envelope) - 1
			if len(reply) != lead+zapFrames {
				t.Fatalf("%q: reply %q", message, reply)
			}
			checkReply(t, body, reply[lead:])
			// Longer messages are cut off on their way through libzmq.
			if direct := a.HandleZAPMessage(t.Context(), body); len(message) < 20 && len(data) < 1<<15 && !bytes.Equal(direct[2], reply[lead+2]) {
				t.Fatalf("%q: status %s, from HandleZAPMessage %s", message, reply[lead+2], direct[2])
			}
		}
		marker := nullRequest()
		marker[1] = []byte("marker")
		if reply := zap.ask(marker); reply[1] != "marker" || reply[2] != "200" {
			t.Fatalf("after %q a good client got %q", message, reply)
		}
	})
}

func checkReply(t *testing.T, body, reply [][]byte) {
	t.Helper()
	if string(reply[0]) != "1.0" || !bytes.Equal(reply[1], body[1]) {
		t.Fatalf("%q: reply %q", body, reply)
	}
	switch string(reply[2]) {
	case "200":
		properties := parseMetadata(t, reply[5])
		if _, ok := properties["Role"]; !ok || bytes.IndexByte(reply[4], 0) >= 0 || !mayAccept(body) {
			t.Fatalf("%q: acceptance %q", body, reply)
		}
	case "300", "400", "500", "999":
		if len(reply[4])+len(reply[5]) != 0 {
			t.Fatalf("%q: refusal %q", body, reply)
		}
	default:
		t.Fatalf("%q: status %q", body, reply[2])
	}
}

// mayAccept tells, by the words of RFC 27 and of FuzzLiveEndpoint's setup, whether a request may be accepted.
func mayAccept(body [][]byte) bool {
	if len(body) < 6 || string(body[0]) != "1.0" {
		return false
	}
	domain, address, mechanism := string(body[2]), string(body[3]), string(body[5])
	if domain == "near" && !strings.HasPrefix(address, "localhost") {
		ip, err := netip.ParseAddr(address)
		if err != nil || !ip.Unmap().IsLoopback() || !ip.Unmap().Is4() {
			return false
		}
	}
	credentials := body[6:]
	switch {
	case mechanism == "NULL" && len(credentials) == 0:
		return true
	case mechanism == "PLAIN" && len(credentials) == 2 && domain == "ask":
		return len(credentials[0]) < 256 && len(credentials[1]) < 256 && !bytes.Contains(credentials[0], []byte("\x00"))
	case mechanism == "PLAIN" && len(credentials) == 2:
		return string(credentials[0]) == "ann" && string(credentials[1]) == "secret"
	case mechanism == "CURVE" && len(credentials) == 1:
		return len(credentials[0]) == 32
	case mechanism == "GSSAPI" && len(credentials) == 1:
		return bytes.HasSuffix(credentials[0], []byte("@EXAMPLE.ORG")) && !bytes.Contains(credentials[0], []byte("\x00"))
	}
	return false
}

// FuzzMetadata: what is let through is what a reader of the frame finds, and nothing that is libzmq's.
func FuzzMetadata(f *testing.F) {
	f.Fuzz(func(t *testing.T, name, value, other, required string) {
		properties := map[string]string{name: value, other: "x"}
		if checkMetadata(properties) != nil || checkProperty(required, "") != nil {
			return
		}
		want := map[string]string{required: ""}
		maps.Copy(want, properties)
		got := parseMetadata(t, encodeMetadata(properties, []string{required}))
		if !maps.Equal(got, want) {
			t.Fatalf("%q became %q", want, got)
		}
		for name, value := range got {
			if name == "" || len(name) > 255 || strings.Contains(name+value, "\x00") || slices.Contains([]string{"identity", "socket-type", "user-id", "peer-address"}, strings.ToLower(name)) {
				t.Fatalf("%q: %q", name, value)
			}
		}
	})
}
