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
	Domain    []byte // of the server socket
	Address   []byte // of the client, without a port
	Dialled   []byte // the address of its connection, where a front has made that; nil: Address
	RoutingID []byte // of the server socket, normally empty
	Mechanism []byte // one of the constants Mechanism…, or anything else

	// Credentials identify the client. PLAIN has user name and password. CURVE has the public key
	// in 32 raw bytes; the client has proved that it knows the secret key. GSSAPI has the
	// principal. The others are nil.
	Credentials [maxCredentials][]byte
}

// Decode reads a request into r. frames are the frames after the empty delimiter; the first is the
// version. The only error is ErrMalformed. r then has the fields that could be read, so that a
// refusal can be sent. Only the request id is reliable in that case.
//
// A mechanism that the protocol does not name is not an error, whatever its credentials are.
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

// credentialCount returns how many credential frames a mechanism has. known is false for a
// mechanism that the protocol does not name.
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

// Origin is the address that libzmq knows.
func (r *Request) Origin() []byte {
	if r.Dialled != nil {
		return r.Dialled
	}
	return r.Address
}

// Clone returns a copy of the request that does not alias the frames.
func (r *Request) Clone() Request {
	c := Request{
		ID:        slices.Clone(r.ID),
		Domain:    slices.Clone(r.Domain),
		Address:   slices.Clone(r.Address),
		Dialled:   slices.Clone(r.Dialled),
		RoutingID: slices.Clone(r.RoutingID),
		Mechanism: slices.Clone(r.Mechanism),
	}
	for i, credential := range r.Credentials {
		c.Credentials[i] = slices.Clone(credential)
	}
	return c
}

// SplitEnvelope splits a message that a ROUTER has received. The envelope is what routes the reply
// back, including the empty delimiter (RFC 28). The body is the request. Without a delimiter both
// are nil.
func SplitEnvelope(frames [][]byte) (envelope, body [][]byte) {
	for i := 1; i < len(frames); i++ {
		if len(frames[i]) == 0 {
			return frames[:i+1], frames[i+1:]
		}
	}
	return nil, nil
}
