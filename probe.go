package zmqauth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/libzmq"
	"github.com/zmqauth/zmqauth/internal/zap"
)

// ProbeResult is what a stranger with one mechanism has met.
type ProbeResult struct {
	Mechanism string // "NULL", "PLAIN" or "CURVE"
	Accepted  bool   // the handshake has succeeded: a stranger is in

	// Status is 200 for accepted, 400 and 500 for refused by the ZAP handler; 0: none was heard.
	Status int

	// Err is nil where the stranger is in. A *HandshakeError says that the server has refused (it
	// matches ErrDenied for 400) or cuts every handshake off (Status 0); context.DeadlineExceeded that
	// there was no answer in time.
	Err error
}

// String is the mechanism and the outcome in a few words: "NULL: accepted", "PLAIN: refused (status
// 400)".
func (r ProbeResult) String() string {
	var refused *HandshakeError
	outcome := "no answer in time"
	switch {
	case r.Accepted:
		outcome = "accepted"
	case r.Status != 0:
		outcome = fmt.Sprintf("refused (status %d)", r.Status)
	case errors.As(r.Err, &refused):
		outcome = "cut off"
	case !errors.Is(r.Err, context.DeadlineExceeded):
		outcome = fmt.Sprint(r.Err)
	}
	return r.Mechanism + ": " + outcome
}

// probeTime is as long as a server socket with one of our roles keeps a handshake open. What has
// not been answered by then never will be.
const probeTime = handshakeInterval

// Probe dials endpoint as a stranger, with each of NULL, PLAIN (a random user name and password)
// and CURVE (a random key), and reports what each attempt met, in that order. It is for a test that
// says "this port lets no stranger in": none of the results is Accepted, and the error is nil. An
// error says that the results do not tell: nobody accepts connections at endpoint, ctx was
// cancelled, or an attempt has failed on this side, such as for lack of descriptors (Probe needs
// some 140).
//
// It comes back as soon as the server has answered, but a server need not: one that asks for
// another try (300), that is slow, or that fails closed without a ZAP handler is silent. Where ctx,
// or 10 seconds, end before it answers, the result is "no answer in time".
//
// A CURVE server proves its own key first, and a stranger does not know that key: CURVE is always
// cut off, even where the server would accept every client that has its key ([CurveAllowAny]).
//
// Probe sends no messages. It makes a libzmq context and connections of its own, several for each
// mechanism, because a server only speaks to socket types that go with its own. So the server's log
// may have several refusals of one probe. An open PUSH or DEALER server may hand one of its
// messages to a stranger.
func Probe(ctx context.Context, endpoint string) (results []ProbeResult, err error) {
	if strings.HasPrefix(endpoint, "inproc://") {
		return nil, fmt.Errorf("zmqauth: Probe: %s: inproc is for one context alone, and libzmq asks "+
			"nobody about its clients", endpoint)
	}
	mechanisms, strangers, err := newStrangers()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	outcomes, err := libzmq.Probe(ctx, endpoint, strangers)
	if err != nil {
		err = fmt.Errorf("zmqauth: Probe: %s: %w", endpoint, err)
	}
	for i, outcome := range outcomes {
		result := ProbeResult{Mechanism: mechanisms[i], Accepted: outcome == nil,
			Err: handshakeError(endpoint, outcome)}
		if refused, ok := errors.AsType[*libzmq.RefusalError](outcome); ok {
			result.Status = refused.Status
		} else if result.Accepted {
			result.Status = zap.StatusOK
		}
		results = append(results, result)
	}
	return results, err
}

// newStrangers are clients with credentials that nobody knows, and the mechanism of each.
func newStrangers() (mechanisms []string, strangers []libzmq.Stranger, err error) {
	server, _, err := GenerateKeyPair()
	if err != nil {
		return nil, nil, err
	}
	own, err := NewCertificate()
	if err != nil {
		return nil, nil, err
	}
	username, password := rand.Text(), rand.Text()
	null := func(*zmq4.Socket) error { return nil }
	plain := func(s *zmq4.Socket) error { return PlainClient(s, username, password) }
	curve := func(s *zmq4.Socket) error { return CurveClient(s, server, own) }
	return []string{"NULL", "PLAIN", "CURVE"}, []libzmq.Stranger{
		{Role: null, Types: libzmq.StrangerTypes},
		{Role: plain, Types: libzmq.StrangerTypes},
		// One type is enough: the server's key is wrong before types are compared.
		{Role: curve, Types: libzmq.StrangerTypes[:1]},
	}, nil
}
