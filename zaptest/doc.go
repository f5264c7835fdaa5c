// Package zaptest tests a ZAP handler against RFC 27, https://rfc.zeromq.org/spec/27/. It sends
// requests as libzmq does, as libzmq never would, and as many servers at the same time, and it
// checks every frame of the replies. The RFC leaves out most of what makes a handler secure; the
// checks for that say so.
//
// To test a handler that is bound in a context of the program, call
//
//	zaptest.Run(t, ctx, zaptest.Handler{
//		Domain: "global", User: "ann", Password: "secret", Key: key, Null: true,
//		RefusedAddress: "192.0.2.66",
//	})
//
// [Handler] says which clients the handler has been set up to let in. A check that does not apply
// is skipped; it never passes. [Check] returns the same outcomes as values, for programs that print
// them.
//
// # Handlers that may crash, and handlers in other languages
//
// Some handlers panic or abort, which ends the test if they run in the same process. Run such a
// handler in a process of its own. Set [Handler].Endpoint to the endpoint where that process takes
// requests, and Restart to a function that starts it again. The process needs a ROUTER socket bound
// to that endpoint, a DEALER socket connected to inproc://zeromq.zap.01, and zmq_proxy between
// them. This adds a routing frame, which every handler must accept (RFC 27, "Proxy Handlers").
package zaptest
