// Package zaptest holds a ZAP handler against RFC 27, https://rfc.zeromq.org/spec/27/: it asks as
// libzmq does, as libzmq never would, and as many servers at once, and looks at every frame that
// comes back. Most of what a handler must do to guard a door is not in the RFC; those checks say
// so.
//
// A handler that is bound in a context of the program's own, by whatever means, is tested with
//
//	zaptest.Run(t, ctx, zaptest.Handler{
//		Domain: "global", User: "ann", Password: "secret", Key: key, Null: true,
//		RefusedAddress: "192.0.2.66",
//	})
//
// where [Handler] says whom the handler has been set up to let in. What does not apply is skipped,
// never passed. [Check] returns the same outcomes as values, for a program that prints them.
//
// # Handlers that may crash, and handlers in other languages
//
// A handler in the same process takes the test down with it when it panics or aborts, which some
// do. Run it in a process of its own and set [Handler].Endpoint to where that process takes
// requests for it, and Restart to what brings it back. There, a ROUTER socket bound to that
// endpoint, a DEALER connected to inproc://zeromq.zap.01, and zmq_proxy between them are all that
// is needed: a terminal handler must cope with the routing frame that this adds (RFC 27, "Proxy
// Handlers").
package zaptest
