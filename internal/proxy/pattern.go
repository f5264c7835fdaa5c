package proxy

import "github.com/pebbe/zmq4"

// pattern says which messages a type of frontend passes between its clients and its service.
type pattern struct {
	front, back zmq4.Type
	down        bool // messages go from the service to the clients, too
	replies     bool // those messages are replies: mostly one to each message of a client
}

// patterns are the types of frontends. The clients of an xsub frontend publish, and get
// subscriptions from the service. The clients of an xpub frontend subscribe.
var patterns = map[string]pattern{
	"router": {front: zmq4.ROUTER, back: zmq4.DEALER, down: true, replies: true},
	"xsub":   {front: zmq4.XSUB, back: zmq4.XPUB, down: true},
	"xpub":   {front: zmq4.XPUB, back: zmq4.XSUB, down: true},
	"pull":   {front: zmq4.PULL, back: zmq4.PUSH},
}
