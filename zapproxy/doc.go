// Package zapproxy answers the authentication questions of other processes. libzmq asks a handler
// in its own context (ZAP, RFC 27), so each process needs one. A relay passes the questions on to a
// service, which has the rules of all: one policy for the programs of a host or of a pod, in
// whatever language they are.
//
// [Serve] is the service. Its handler is what a [zmqauth.Authenticator] is already. [Relay] is the
// relay of a program in Go. Those of other languages are a ROUTER, a DEALER and zmq_proxy, as
// docs/languages.md has them.
//
// # Who may ask
//
// The link is a Unix socket, ipc:///PATH, in a directory that nobody can enter but the service's
// user and group. The kernel tells the service which process has connected: user, group, process
// id. Or the link is TCP with CURVE (RFC 26): the relays' keys are known to the service, and the
// service's key to the relays. Passwords never cross a link in clear between hosts. [Rules] limit
// which domains a program may ask for.
//
// # While the service is away
//
// A relay refuses everybody, with the status 300: libzmq's clients come back by themselves once
// their handshake interval ends (see the roles of sockets in the root package). It asks nothing
// then, and keeps nothing, so there is nothing stale when the service is back. That it is away is
// known at once where the connection ends, and after 250 ms where the service stands still: with a
// question open, a relay wants a sign of life, which is not the answer. An answer counts for the
// one question that it was made for, while that is open, and once.
//
// With [Rules].Grace a relay lets those in meanwhile whom the service has let in shortly before:
// the same client, that is the same domain, address, mechanism and credentials.
package zapproxy
