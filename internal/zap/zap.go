// Package zap is the codec of the ZeroMQ Authentication Protocol, version 1.0 (RFC 27,
// https://rfc.zeromq.org/spec/27/). It decodes requests from frames and encodes the parts of
// replies. It makes no decisions and uses no sockets.
package zap

// Endpoint is where libzmq looks for the ZAP handler of a context (RFC 27, "Architecture").
const Endpoint = "inproc://zeromq.zap.01"

// Version is the first frame of requests and replies.
const Version = "1.0"

// The mechanisms of requests (RFC 27, "The NULL Mechanism" and the sections after it; RFC 38 for
// GSSAPI).
const (
	MechanismNull   = "NULL"
	MechanismPlain  = "PLAIN"
	MechanismCurve  = "CURVE"
	MechanismGSSAPI = "GSSAPI"
)

// The limits of the protocol.
const (
	// MaxCredential is the length in bytes of the longest PLAIN user name or password. On the wire
	// the length takes one byte (RFC 24).
	MaxCredential = 255

	// ReplyFrames is the number of frames in a reply. The first is the version.
	ReplyFrames = 6

	// Answerable is the number of frames that a request needs to get a reply: the version and the
	// request id.
	Answerable = 2

	requestFrames  = 6   // of a request without its credentials
	maxCredentials = 2   // PLAIN has two: user name and password
	curveKeySize   = 32  // bytes (RFC 26)
	maxNameLength  = 255 // bytes in the name of a property; the length takes one byte
)
