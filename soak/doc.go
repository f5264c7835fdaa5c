// Package soak tests an Authenticator under load for a given time. Clients connect and leave with
// every mechanism while the rules change, callbacks misbehave, the service stops and starts, and
// hostile peers break the protocol. Sessions are ended in every way while others stay, and floods
// are turned away, with a front and without. The package has only a test; make soak runs it for
// five minutes.
//
// The test knows which clients must get in. A client has a standing: it is always in, always out,
// or changed by the test itself. A handshake takes some time, and the standing may change
// meanwhile. So an acceptance is an error only if the client was out during the whole handshake:
// from before its first byte until after the acceptance, without any change in between.
package soak
