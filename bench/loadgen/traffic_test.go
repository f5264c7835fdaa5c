package loadgen

import (
	"errors"
	"testing"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

func openTraffic(t *testing.T, ctx *zmq4.Context, pattern Pattern, secret string) *Traffic {
	t.Helper()
	traffic, err := OpenTraffic(ctx, pattern, secret)
	must.OK(t, err)
	t.Cleanup(traffic.Close)
	return traffic
}

// TestTraffic makes sure that all messages of all patterns arrive, run after run.
func TestTraffic(t *testing.T) {
	public, secret, err := zmq4.NewCurveKeypair()
	must.OK(t, err)
	for name, test := range map[string]struct {
		pattern       Pattern
		secret        string
		clients, size int
	}{
		"one client":       {Push, "", 1, 100},
		"CURVE":            {Push, secret, 3, 100},
		"empty messages":   {Push, "", 1, 0},
		"large messages":   {Push, "", 2, 1 << 20},
		"many clients":     {Push, "", 100, 100},
		"one REQ":          {Request, "", 1, 100},
		"many REQ":         {Request, "", 64, 100},
		"one subscriber":   {Subscribe, "", 1, 100},
		"many subscribers": {Subscribe, "", 100, 100},
	} {
		t.Run(name, func(t *testing.T) {
			traffic := openTraffic(t, testzmq.NewContext(t), test.pattern, test.secret)
			client := Client{Endpoint: traffic.Endpoint()}
			if test.secret != "" {
				client.ServerKey, client.PublicKey, client.SecretKey = public, public, secret
			}
			must.OK(t, traffic.Connect(client, test.clients))
			for _, messages := range []int{1, 300, 7} {
				elapsed, err := traffic.Run(messages, test.size)
				if err != nil || elapsed <= 0 {
					t.Errorf("%d messages: %v, %v", messages, elapsed, err)
				}
			}
		})
	}
}

// TestTrafficKnowsItsOwn makes sure that a proxy that passes on something else is an error.
func TestTrafficKnowsItsOwn(t *testing.T) {
	ctx := testzmq.NewContext(t)
	traffic := openTraffic(t, ctx, Push, "")
	front := testzmq.NewSocket(t, ctx, zmq4.PULL)
	must.OK(t, front.Bind("tcp://127.0.0.1:*"))
	back := testzmq.NewSocket(t, ctx, zmq4.PUSH)
	must.OK(t, back.Connect(traffic.Endpoint()))
	endpoint, err := front.GetLastEndpoint()
	must.OK(t, err)
	must.OK(t, traffic.Connect(Client{Endpoint: endpoint}, 1))
	_, err = back.Send("something else", 0)
	must.OK(t, err)
	if _, err := traffic.Run(1, 1); !errors.Is(err, ErrBadReply) {
		t.Error(err)
	}
}

func TestTrafficArguments(t *testing.T) {
	ctx := testzmq.NewContext(t)
	if _, err := OpenTraffic(ctx, Subscribe+1, ""); err == nil {
		t.Error("an unknown pattern: no error")
	}
	if _, err := OpenTraffic(ctx, Push, "no key"); err == nil {
		t.Error("no key: no error")
	}
	traffic := openTraffic(t, ctx, Push, "")
	if err := traffic.Connect(Client{Endpoint: traffic.Endpoint()}, 0); err == nil {
		t.Error("no clients: no error")
	}
	must.OK(t, traffic.Connect(Client{Endpoint: traffic.Endpoint()}, 1))
	if err := traffic.Connect(Client{Endpoint: traffic.Endpoint()}, 1); err == nil {
		t.Error("connected twice: no error")
	}
	if _, err := traffic.Run(0, 1); err == nil {
		t.Error("no messages: no error")
	}
}
