package zmqauth

import (
	"bytes"
	"context"
	"net/netip"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testzap"
	"github.com/zmqauth/zmqauth/internal/zap"
)

// FuzzLiveEndpoint sends anything to a served endpoint. A message that can be answered gets exactly
// one well-formed reply, any other gets none. Only a request that may be accepted is accepted, here
// and by HandleZAPMessage. The service goes on.
func FuzzLiveEndpoint(f *testing.F) {
	a := startAuthenticator(f, Config{Properties: []string{"Role"}})
	must.OK(f, a.ConfigurePlain("*", map[string]string{"ann": "secret"}))
	anybody := func(_ context.Context, _, name, _ string) (*Identity, error) {
		return &Identity{UserID: name}, nil
	}
	must.OK(f, a.ConfigurePlainCallback("ask", anybody))
	must.OK(f, a.ConfigureCurve("*", CurveAllowAny))
	must.OK(f, a.ConfigureGSSAPI("*", "*@EXAMPLE.ORG"))
	must.OK(f, a.AllowDomain("near", "127.0.0.0/8", "ipc"))
	a.loop.held.Release() // refusals over GSSAPI go out at once
	client := newZAPClient(f, a.Context())
	for _, bad := range testzap.BadRequests() {
		if joined := bytes.Join(bad.Frames, []byte("|")); len(joined) < 1000 {
			f.Add(append([]byte("|"), joined...))
		}
	}
	f.Add([]byte("hop||1.0|1|d|||CURVE|" + key32))
	f.Fuzz(func(t *testing.T, data []byte) {
		message := bytes.Split(data, []byte("|"))
		// The ROUTER sees its own frame first; here it is "".
		envelope, body := zap.SplitEnvelope(append([][]byte{[]byte("r")}, message...))
		client.t = t
		client.sendRaw(message)
		// Of a message with more frames than libzmq ever makes the handler sees the first ones. They
		// have to hold all that it needs.
		const seen = 24
		if len(body) >= zap.Answerable && len(envelope)+zap.Answerable <= seen {
			reply, err := client.socket.RecvMessageBytes(0)
			must.OK(t, err)
			lead := len(envelope) - 1
			if len(reply) != lead+zap.ReplyFrames {
				t.Fatalf("%q: reply %q", message, reply)
			}
			checkReply(t, body, reply[lead:])
			// Longer messages are cut off on their way through libzmq.
			direct := a.HandleZAPMessage(t.Context(), body)
			whole := len(message) < 20 && len(data) < 1<<15
			if whole && !bytes.Equal(direct[2], reply[lead+2]) {
				t.Fatalf("%q: status %s, from HandleZAPMessage %s",
					message, reply[lead+2], direct[2])
			}
		}
		marker := nullRequest()
		marker[1] = []byte("marker")
		if reply := client.ask(marker); reply[1] != "marker" || reply[2] != "200" {
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
		properties := testzap.ParseMetadata(t, reply[5])
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

// mayAccept tells whether a request may be accepted by RFC 27 and the setup of FuzzLiveEndpoint.
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
		return len(credentials[0]) < 256 && len(credentials[1]) < 256 &&
			!bytes.Contains(credentials[0], []byte("\x00"))
	case mechanism == "PLAIN" && len(credentials) == 2:
		return string(credentials[0]) == "ann" && string(credentials[1]) == "secret"
	case mechanism == "CURVE" && len(credentials) == 1:
		return len(credentials[0]) == 32
	case mechanism == "GSSAPI" && len(credentials) == 1:
		return bytes.HasSuffix(credentials[0], []byte("@EXAMPLE.ORG")) &&
			!bytes.Contains(credentials[0], []byte("\x00"))
	}
	return false
}
