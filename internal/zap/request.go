package zap

import (
	"errors"
	"slices"
)

// ErrMalformed says that a request breaks RFC 27.
var ErrMalformed = errors.New("malformed ZAP request")

// Request is one decoded request (RFC 27, "Message Format"). Its fields alias the frames it was
// decoded from.
type Request struct {
	ID        []byte // opaque to the handler; libzmq always sends "1"
	Domain    []byte // as the server socket has it
	Address   []byte // of the client, without a port
	RoutingID []byte // the server socket's own, normally empty
	Mechanism []byte // one of the constants Mechanism…, or anything else

	// Credentials are what the client proves who it is with. PLAIN: user name and password; CURVE: its
	// public key, 32 bytes, which it has proved to hold; GSSAPI: its principal. Those that a mechanism
	// does not have are nil.
	Credentials [maxCredentials][]byte
}

// Decode reads the frames behind the empty delimiter, version first, into r. The only error is
// ErrMalformed. On an error r holds what could be read, so that the refusal can be sent: nothing
// but the request id is certain then.
//
// A mechanism that the protocol does not name is no error, whatever the number of its credentials.
func Decode(frames [][]byte, r *Request) error {
	*r = Request{}
	for i, field := range []*[]byte{nil, &r.ID, &r.Domain, &r.Address, &r.RoutingID, &r.Mechanism} {
		if i < len(frames) && field != nil {
			*field = frames[i]
		}
	}
	if len(frames) < requestFrames || string(frames[0]) != Version {
		return ErrMalformed
	}
	credentials := frames[requestFrames:]
	if want, known := credentialCount(r.Mechanism); known && len(credentials) != want {
		return ErrMalformed
	}
	copy(r.Credentials[:], credentials)
	switch string(r.Mechanism) {
	case MechanismCurve:
		if len(r.Credentials[0]) != curveKeySize {
			return ErrMalformed
		}
	case MechanismPlain:
		if len(r.Credentials[0]) > MaxCredential || len(r.Credentials[1]) > MaxCredential {
			return ErrMalformed
		}
	}
	return nil
}

// credentialCount returns how many credential frames a request has, where the protocol names its
// mechanism.
func credentialCount(mechanism []byte) (count int, known bool) {
	switch string(mechanism) {
	case MechanismNull:
		return 0, true
	case MechanismPlain:
		return 2, true
	case MechanismCurve, MechanismGSSAPI:
		return 1, true
	}
	return 0, false
}

// Clone returns a copy of the request that shares no memory with the frames it came in.
func (r *Request) Clone() Request {
	c := Request{
		ID:        slices.Clone(r.ID),
		Domain:    slices.Clone(r.Domain),
		Address:   slices.Clone(r.Address),
		RoutingID: slices.Clone(r.RoutingID),
		Mechanism: slices.Clone(r.Mechanism),
	}
	for i, credential := range r.Credentials {
		c.Credentials[i] = slices.Clone(credential)
	}
	return c
}

// SplitEnvelope parts what a ROUTER receives: the frames that lead the reply back, up to and with
// the empty delimiter (RFC 28), and the request. Both are nil where there is no delimiter.
func SplitEnvelope(frames [][]byte) (envelope, body [][]byte) {
	for i := 1; i < len(frames); i++ {
		if len(frames[i]) == 0 {
			return frames[:i+1], frames[i+1:]
		}
	}
	return nil, nil
}
