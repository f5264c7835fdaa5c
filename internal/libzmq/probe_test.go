package libzmq

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// TestProbeDoesNotTell: where one attempt fails on this side, or reaches nobody, a server that cuts
// the others off is not called closed: it might have let that one in. Where the server has decided
// the failure does not matter.
func TestProbeDoesNotTell(t *testing.T) {
	server := testzmq.NewSocket(t, testzmq.NewContext(t), zmq4.ROUTER)
	must.OK(t, server.Bind("tcp://127.0.0.1:*"))
	endpoint, err := server.GetLastEndpoint()
	must.OK(t, err)
	cutOff := func(s *zmq4.Socket) error { // the server has no PLAIN
		return errors.Join(s.SetPlainUsername("x"), s.SetPlainPassword("x"))
	}
	failsAs := func(kind zmq4.Type, role, failure func(*zmq4.Socket) error) func(*zmq4.Socket) error {
		return func(s *zmq4.Socket) error {
			if now, err := s.GetType(); err != nil || now == kind {
				return errors.Join(err, failure(s))
			}
			return role(s)
		}
	}
	noDescriptors := func(*zmq4.Socket) error { return syscall.EMFILE }
	nowhere := func(*zmq4.Socket) error { return context.DeadlineExceeded }
	null := func(*zmq4.Socket) error { return nil }
	for name, test := range map[string]struct {
		role func(*zmq4.Socket) error
		want error
		in   bool
	}{
		"all are cut off":      {cutOff, nil, false},
		"one fails here":       {failsAs(zmq4.PUSH, cutOff, noDescriptors), syscall.EMFILE, false},
		"one reaches nobody":   {failsAs(zmq4.PUSH, cutOff, nowhere), context.DeadlineExceeded, false},
		"one fails, one is in": {failsAs(zmq4.PUSH, null, noDescriptors), nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			outcomes, err := Probe(ctx, endpoint, []Stranger{{Role: test.role, Types: StrangerTypes}})
			if len(outcomes) != 1 || !errors.Is(err, test.want) || (outcomes[0] == nil) != test.in {
				t.Fatalf("%v, %v", outcomes, err)
			}
			refused, ok := errors.AsType[*RefusalError](outcomes[0])
			if !test.in && (!ok || refused.Status != 0) {
				t.Errorf("%v", outcomes)
			}
		})
	}
}
