package zmqauth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"

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

// probeTypes are the types of a stranger's sockets. A server refuses clients of a type that does
// not go with its own. That refusal looks like one of a mechanism that the server does not speak.
// So a stranger comes with every type: one of them goes with the server's.
var probeTypes = []zmq4.Type{
	zmq4.DEALER, zmq4.ROUTER, zmq4.PUSH, zmq4.PULL, zmq4.PUB, zmq4.SUB, zmq4.PAIR,
}

// Probe dials endpoint as a stranger, with each of NULL, PLAIN (a random user name and password)
// and CURVE (a random key), and reports what each attempt met, in that order. It is for a test that
// says "this port lets no stranger in": none of the results is Accepted, and the error is nil. An
// error says that the results do not tell: nobody accepts connections at endpoint, or ctx was
// cancelled.
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
	strangers, err := newStrangers()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	// A name is looked up here. Nobody could interrupt libzmq, and the end of its context would wait.
	target, err := libzmq.Resolve(ctx, endpoint)
	if err != nil {
		return nil, fmt.Errorf("zmqauth: Probe: %s: %w", endpoint, err)
	}
	if err := libzmq.CheckDescriptors(); err != nil {
		return nil, fmt.Errorf("zmqauth: Probe: %w", err)
	}
	zctx, err := zmq4.NewContext()
	if err != nil {
		return nil, fmt.Errorf("zmqauth: Probe: %w", err)
	}
	defer func() { err = errors.Join(err, zctx.Term()) }()
	results = make([]ProbeResult, len(strangers))
	inconclusive := make([]error, len(strangers))
	var attempts sync.WaitGroup
	for i, s := range strangers {
		attempts.Go(func() { results[i], inconclusive[i] = s.probe(ctx, zctx, endpoint, target) })
	}
	attempts.Wait()
	for _, err := range inconclusive {
		if err != nil {
			return results, err
		}
	}
	return results, nil
}

// stranger is a client with credentials that nobody knows.
type stranger struct {
	mechanism string
	role      func(*zmq4.Socket) error
	types     []zmq4.Type
}

func newStrangers() ([]stranger, error) {
	server, _, err := GenerateKeyPair()
	if err != nil {
		return nil, err
	}
	own, err := NewCertificate()
	if err != nil {
		return nil, err
	}
	username, password := rand.Text(), rand.Text()
	return []stranger{
		{"NULL", func(*zmq4.Socket) error { return nil }, probeTypes},
		{"PLAIN", func(s *zmq4.Socket) error { return PlainClient(s, username, password) }, probeTypes},
		// One type is enough: the server's key is wrong before types are compared.
		{"CURVE", func(s *zmq4.Socket) error { return CurveClient(s, server, own) }, probeTypes[:1]},
	}, nil
}

// probe comes with all types at once, and reports the attempt that tells most of the server. The
// error is not nil if even that one tells nothing.
func (s stranger) probe(
	ctx context.Context, zctx *zmq4.Context, endpoint, target string,
) (ProbeResult, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	attempts := make(chan attempt, len(s.types))
	for _, kind := range s.types {
		go func() { attempts <- s.dial(ctx, zctx, kind, endpoint, target) }()
	}
	best := <-attempts
	for range s.types[1:] {
		if best.weight() >= weightRefused { // the server has decided
			cancel()
		}
		if next := <-attempts; next.weight() > best.weight() {
			best = next
		}
	}
	result := ProbeResult{Mechanism: s.mechanism, Accepted: best.err == nil, Err: best.err}
	var refused *HandshakeError
	switch {
	case result.Accepted:
		result.Status = zap.StatusOK
	case errors.As(best.err, &refused):
		result.Status = refused.Status
	}
	if best.weight() == weightNothing {
		return result, best.err
	}
	return result, nil
}

// dial makes one attempt.
func (s stranger) dial(
	ctx context.Context, zctx *zmq4.Context, kind zmq4.Type, endpoint, target string,
) attempt {
	socket, err := zctx.NewSocket(kind)
	if err == nil {
		defer func() { _ = socket.Close() }()
		err = errors.Join(socket.SetLinger(0))
	}
	if err != nil {
		return attempt{err: fmt.Errorf("zmqauth: Probe: %w", err)}
	}
	if err := s.role(socket); err != nil {
		return attempt{err: err}
	}
	reached, err := connectAndWait(ctx, socket, endpoint, target)
	return attempt{reached, err}
}

// attempt is the outcome of a handshake with a socket of one type.
type attempt struct {
	reached bool // somebody has accepted the connection
	err     error
}

// How much attempts say about the server, in rising order. An attempt that is cut off may only have
// had the wrong type. A server that is silent may still let another attempt in.
const (
	weightNothing = iota
	weightCutOff
	weightSilence
	weightRefused
	weightAccepted
)

func (a attempt) weight() int {
	var refused *HandshakeError
	switch {
	case a.err == nil:
		return weightAccepted
	case errors.As(a.err, &refused) && refused.Status != 0:
		return weightRefused
	case a.reached && errors.Is(a.err, context.DeadlineExceeded):
		return weightSilence
	case refused != nil:
		return weightCutOff
	}
	return weightNothing
}
