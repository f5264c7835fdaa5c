// Package zap is the codec of the ZeroMQ Authentication Protocol, version 1.0 (RFC 27,
// https://rfc.zeromq.org/spec/27/): it turns frames into requests, and what is decided about them
// into the parts of replies. It neither decides nor touches a socket.
package zap

// Endpoint is where libzmq looks for the ZAP handler of a context (RFC 27, "Architecture").
const Endpoint = "inproc://zeromq.zap.01"

// Version is the first frame of requests and replies.
const Version = "1.0"

// The mechanisms that libzmq asks about (RFC 27, "The NULL Mechanism" and those after it; GSSAPI:
// RFC 38).
const (
	MechanismNull   = "NULL"
	MechanismPlain  = "PLAIN"
	MechanismCurve  = "CURVE"
	MechanismGSSAPI = "GSSAPI"
)

// The limits of the protocol.
const (
	// MaxCredential is how many bytes a PLAIN user name or password may have: its length takes one
	// byte on the wire (RFC 24).
	MaxCredential = 255

	// ReplyFrames is how many frames a reply has, the version first.
	ReplyFrames = 6

	// Answerable is how many frames a request must have for a reply: the version and the request id.
	Answerable = 2

	requestFrames  = 6   // of a request, without its credentials
	maxCredentials = 2   // PLAIN's user name and password
	curveKeySize   = 32  // bytes (RFC 26)
	maxNameLength  = 255 // bytes of the name of a property: its length takes one byte
)
