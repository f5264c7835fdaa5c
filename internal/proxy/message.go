package proxy

// The messages of the log that report the life of the proxy, a reload, and the end of a frontend.
const (
	MessageReady    = "zmqauth: the proxy is ready"
	MessageEnds     = "zmqauth: the proxy ends"
	MessageReloaded = "zmqauth: reloaded"
	MessageWrong    = "zmqauth: the policy is wrong, everything stays as it was"
	MessagePartly   = "zmqauth: reloaded, but for some of the frontends or links"
	MessageWaits    = "zmqauth: frontends end before the rules of their domains change"
	MessageAway     = "zmqauth: the service of a frontend is away, the clients wait"
	MessageBack     = "zmqauth: the service of a frontend is back"
	MessageStalled  = "zmqauth: the service of a frontend takes no subscriptions, " +
		"it is connected again"
	MessageFleet    = "zmqauth: the proxy joins a fleet"
	MessageJoined   = "zmqauth: the proxy has joined the fleet"
	MessageShortage = "zmqauth: clients are turned away, their connections cannot be accepted"
	MessageLimits   = "zmqauth: a frontend has other limits"
	MessageEnded    = "zmqauth: a frontend has ended"
	MessageLost     = "zmqauth: a frontend has ended with messages " +
		"that were not passed on or not answered"
)
