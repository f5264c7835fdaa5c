package proxy

import (
	"errors"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/libzmq"
)

// pattern says which messages a type of frontend passes between its clients and its service.
type pattern struct {
	front, back zmq4.Type
	options     libzmq.ForwarderOptions

	// gated says that nothing is taken from clients while the service is away.
	gated bool

	// replies says that what the service sends are replies: mostly one to each message of a client.
	replies bool

	// subscriptions says that clients send subscriptions, which nobody is owed at the end.
	subscriptions bool
}

// subscriptionWindow is how many subscriptions may be under way to a service. One that takes no
// more is connected again: then they are dropped, and it gets those that are in force.
const subscriptionWindow = 250_000

// patterns are the types of frontends. The clients of an xsub frontend publish, and get
// subscriptions from the service. The clients of an xpub frontend subscribe.
var patterns = map[string]pattern{
	"router": {
		front: zmq4.ROUTER, back: zmq4.DEALER, gated: true, replies: true,
		options: libzmq.ForwarderOptions{
			Down: true, CountUp: true, CountDown: true, Delimiters: true},
	},
	"xsub": {
		front: zmq4.XSUB, back: zmq4.XPUB, gated: true,
		options: libzmq.ForwarderOptions{Down: true, CountUp: true},
	},
	"xpub": {
		front: zmq4.XPUB, back: zmq4.XSUB, subscriptions: true,
		options: libzmq.ForwarderOptions{
			Down: true, CountUp: true, Window: subscriptionWindow, Subscriptions: true},
	},
	"pull": {
		front: zmq4.PULL, back: zmq4.PUSH, gated: true,
		options: libzmq.ForwarderOptions{CountUp: true},
	},
}

// stalledTime is how long a peer may leave subscriptions in the connection's buffers, until it is
// cut off. It gets all of them again when it connects again.
const stalledTime = time.Minute

// prepare sets what the sockets of the pattern need, before they are connected or bound.
func (p pattern) prepare(front, back *zmq4.Socket) error {
	var errs []error
	for _, socket := range []*zmq4.Socket{front, back} {
		kind, err := socket.GetType()
		errs = append(errs, err)
		if kind == zmq4.XSUB {
			// What XSUB sends are subscriptions, and it drops what its queue has no room for: the
			// subscription would be lost for good. So the queue has no limit of its own. The window
			// limits it, and a peer that takes nothing is cut off.
			errs = append(errs, socket.SetSndhwm(0), socket.SetTcpMaxrt(stalledTime))
		}
	}
	switch p.back {
	case zmq4.XPUB:
		// There is one service, not many subscribers: the publishers wait for it when it is slow.
		errs = append(errs, back.SetXpubNodrop(true))
	case zmq4.XSUB:
		// While there is no service nothing is queued for it. It gets all subscriptions at once
		// when it is connected.
		errs = append(errs, back.SetImmediate(true))
	}
	return errors.Join(errs...)
}
