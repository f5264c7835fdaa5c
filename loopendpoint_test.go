package zmqauth

import (
	"context"
	"slices"
	"testing"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testzap"
	"github.com/zmqauth/zmqauth/internal/testzmq"
	"github.com/zmqauth/zmqauth/internal/zap"
)

// key32 is a CURVE credential: 32 bytes.
var key32 = testzap.Key

// acceptWellFormed configures a to accept every well-formed request, so that only the form decides.
func acceptWellFormed(t testing.TB, a *Authenticator) {
	t.Helper()
	anybody := func(context.Context, string, string, string) (*Identity, error) {
		return &Identity{}, nil
	}
	must.OK(t, a.ConfigureCurve("*", CurveAllowAny))
	must.OK(t, a.ConfigurePlainCallback("*", anybody))
}

// TestBadRequests sends bad requests to the live endpoint and to HandleZAPMessage. Where there is
// enough to reply to, the reply is a refusal. The service goes on.
func TestBadRequests(t *testing.T) {
	for name, bad := range testzap.BadRequests() {
		t.Run(name, func(t *testing.T) {
			a := startAuthenticator(t, Config{})
			acceptWellFormed(t, a)
			client := newZAPClient(t, a.Context())
			client.send(bad.Frames)
			want := "400"
			if len(bad.Frames) > 5 && string(bad.Frames[5]) == zap.MechanismGSSAPI {
				want = "999"
			}
			if bad.Answerable {
				reply := client.receive()
				if reply[1] != "1" || reply[2] != want || reply[4]+reply[5] != "" {
					t.Errorf("reply %q", reply)
				}
			}
			if reply := client.ask(nullRequest()); reply[2] != "200" {
				t.Errorf("a good request afterwards: %q", reply)
			}
			direct := a.HandleZAPMessage(context.Background(), bad.Frames)
			if bad.Answerable != (direct != nil) {
				t.Fatalf("HandleZAPMessage: %q", direct)
			}
			if direct != nil && (len(direct) != zap.ReplyFrames || string(direct[2]) != want) {
				t.Errorf("HandleZAPMessage: %q", direct)
			}
			stats := a.Stats()
			if stats.Requests != 3 || stats.Denied != 2 || stats.Allowed != 1 {
				t.Errorf("%+v", stats)
			}
		})
	}
}

// TestEnvelopes: a reply finds its way back through proxies, and the request id is returned as it
// came.
func TestEnvelopes(t *testing.T) {
	a := startAuthenticator(t, Config{})
	client := newZAPClient(t, a.Context())
	request := nullRequest()
	request[1] = []byte("id \x00\xff of some length")
	client.sendRaw(append(frames("hop 1", "hop 2", ""), request...))
	reply, err := client.socket.RecvMessage(0)
	must.OK(t, err)
	want := []string{"hop 1", "hop 2", "", "1.0", string(request[1]), "200", "OK", "", ""}
	if !slices.Equal(reply, want) {
		t.Errorf("reply %q, want %q", reply, want)
	}
	client.sendRaw(frames("no", "delimiter"))
	client.sendRaw(frames(""))
	if reply := client.ask(nullRequest()); reply[2] != "200" {
		t.Errorf("a good request afterwards: %q", reply)
	}
}

// TestREQPeer: a REQ socket, the strictest of peers, gets exactly one reply for each request.
func TestREQPeer(t *testing.T) {
	a := startAuthenticator(t, Config{})
	req := testzmq.NewSocket(t, a.Context(), zmq4.REQ)
	must.OK(t, req.SetRcvtimeo(patience))
	must.OK(t, req.Connect(ZAPEndpoint))
	for range 10 {
		_, err := req.SendMessage(nullRequest())
		must.OK(t, err)
		reply, err := req.RecvMessage(0)
		must.OK(t, err)
		if want := []string{"1.0", "1", "200", "OK", "", ""}; !slices.Equal(reply, want) {
			t.Fatalf("reply %q, want %q", reply, want)
		}
	}
}
