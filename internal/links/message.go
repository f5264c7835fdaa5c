package links

// The messages of the log that report the life of links, and decisions.
const (
	MessageListening  = "zmqauth: listening"
	MessageEnded      = "zmqauth: a link has ended"
	MessageAccepted   = "zmqauth: accepted"
	MessageRefused    = "zmqauth: a client is not let in"
	MessageConnected  = "zmqauth: connected"
	MessageBroken     = "zmqauth: a connection broke"
	MessageAway       = "zmqauth: connections cannot be carried on"
	MessageBack       = "zmqauth: connections can be carried on again"
	MessageReady      = "zmqauth: ready"
	MessageEnds       = "zmqauth: the end"
	MessageLooked     = "zmqauth: the files are good"
	MessageWrong      = "zmqauth: the files are wrong"
	MessageLoggedIn   = "zmqauth: logged in to the gateway"
	MessageNoLogin    = "zmqauth: the gateway cannot be logged in to, it is tried again"
	MessageReverse    = "zmqauth: the gateway listens"
	MessageNoReverse  = "zmqauth: the gateway does not listen, it is asked again"
	MessageNoGateway  = "zmqauth: the gateway is away, a connection is closed"
	MessageSOCKSEnded = "zmqauth: a connection by SOCKS could not be served"
)
