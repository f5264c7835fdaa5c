package libzmq

import (
	"context"
	"errors"
	"sync"

	"github.com/pebbe/zmq4"
)

// A Stranger is a client with credentials that nobody knows.
type Stranger struct {
	Role  func(*zmq4.Socket) error
	Types []zmq4.Type // of the sockets that it comes with, at once
}

// StrangerTypes are the types of a stranger's sockets. A server refuses clients of a type that does
// not go with its own. That refusal looks like one of a mechanism that the server does not speak.
// So a stranger comes with every type: one of them goes with the server's.
var StrangerTypes = []zmq4.Type{
	zmq4.DEALER, zmq4.ROUTER, zmq4.PUSH, zmq4.PULL, zmq4.PUB, zmq4.SUB, zmq4.PAIR,
}

// Probe dials address with each stranger in a context of its own, and returns what tells most of
// the server, for each: nil if the stranger is in, a *RefusalError, or ctx's error. err says that
// these do not tell: an attempt that could have told more has failed on this side, or has reached
// nobody. Both may be there.
func Probe(
	ctx context.Context, address string, strangers []Stranger,
) (outcomes []error, err error) {
	// A name is looked up here. Nobody could interrupt libzmq, and the end of its context would wait.
	target, err := Resolve(ctx, address)
	if err != nil {
		return nil, err
	}
	attempts := 0
	for _, s := range strangers {
		attempts += len(s.Types)
	}
	if err := CheckDescriptors(attempts); err != nil {
		return nil, err
	}
	zctx, err := zmq4.NewContext()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, zctx.Term()) }()
	outcomes = make([]error, len(strangers))
	inconclusive := make([]error, len(strangers))
	var work sync.WaitGroup
	for i, s := range strangers {
		work.Go(func() { outcomes[i], inconclusive[i] = s.probe(ctx, zctx, target) })
	}
	work.Wait()
	for _, err := range inconclusive {
		if err != nil {
			return outcomes, err
		}
	}
	return outcomes, nil
}

// probe comes with all types at once, and returns the outcome of the attempt that tells most of the
// server. inconclusive is the error of one that tells nothing, unless the server has decided: with
// that type the stranger might have got in.
func (s Stranger) probe(
	ctx context.Context, zctx *zmq4.Context, target string,
) (outcome, inconclusive error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	attempts := make(chan attempt, len(s.Types))
	for _, kind := range s.Types {
		go func() { attempts <- s.dial(ctx, zctx, kind, target) }()
	}
	var best attempt
	for i := range s.Types {
		next := <-attempts
		weight := next.weight()
		if i == 0 || weight > best.weight() {
			best = next
		}
		if weight == weightNothing && inconclusive == nil {
			inconclusive = next.err
		}
		if weight >= weightRefused { // the server has decided
			cancel()
		}
	}
	if best.weight() >= weightRefused {
		inconclusive = nil
	}
	return best.err, inconclusive
}

// dial makes one attempt.
func (s Stranger) dial(
	ctx context.Context, zctx *zmq4.Context, kind zmq4.Type, target string,
) attempt {
	socket, err := zctx.NewSocket(kind)
	if err == nil {
		defer func() { _ = socket.Close() }()
		err = socket.SetLinger(0)
	}
	if err == nil {
		err = s.Role(socket)
	}
	if err != nil {
		return attempt{err: err}
	}
	reached, err := new(Connections).Connect(ctx, socket, target)
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
	refused, isRefused := errors.AsType[*RefusalError](a.err)
	switch {
	case a.err == nil:
		return weightAccepted
	case isRefused && refused.Status != 0:
		return weightRefused
	case a.reached && errors.Is(a.err, context.DeadlineExceeded):
		return weightSilence
	case isRefused:
		return weightCutOff
	}
	return weightNothing
}
