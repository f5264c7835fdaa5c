package zmqauth

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// ZAP 1.0, RFC 27: https://rfc.zeromq.org/spec/27/. This file turns frames into requests and verdicts into frames; it
// neither judges nor touches a socket.

// ZAPEndpoint is where libzmq looks for the ZAP handler of a context (RFC 27, "Architecture").
const ZAPEndpoint = "inproc://zeromq.zap.01"

const (
	zapVersion     = "1.0"
	zapFrames      = 6 // of a request without its credentials, and of a reply
	maxCredentials = 2 // PLAIN's user name and password
	maxNameLength  = 255
)

// The mechanisms that libzmq asks about (RFC 27, "The NULL Mechanism" and those after it; GSSAPI: RFC 38).
const (
	mechanismNull   = "NULL"
	mechanismPlain  = "PLAIN"
	mechanismCurve  = "CURVE"
	mechanismGSSAPI = "GSSAPI"
)

// errMalformed is a request that breaks RFC 27.
var errMalformed = errors.New("malformed ZAP request")

// request is one decoded ZAP request. Its fields alias the frames it was decoded from.
type request struct {
	id          []byte // opaque to the handler; libzmq always sends "1"
	domain      []byte
	address     []byte
	routingID   []byte // the server socket's own, normally empty
	mechanism   []byte
	credentials [maxCredentials][]byte
}

// decodeRequest reads the frames behind the empty delimiter, version first. On an error r holds what could be read, so
// that the refusal can be sent: nothing beyond the request id is certain then.
func decodeRequest(frames [][]byte, r *request) error {
	*r = request{}
	for i, field := range []*[]byte{nil, &r.id, &r.domain, &r.address, &r.routingID, &r.mechanism} {
		if i < len(frames) && field != nil {
			*field = frames[i]
		}
	}
	if len(frames) < zapFrames || string(frames[0]) != zapVersion {
		return errMalformed
	}
	credentials := frames[zapFrames:]
	if want, known := credentialCount(r.mechanism); known && len(credentials) != want {
		return errMalformed
	}
	copy(r.credentials[:], credentials)
	switch string(r.mechanism) {
	case mechanismCurve:
		if len(r.credentials[0]) != len(PublicKey{}) {
			return errMalformed
		}
	case mechanismPlain:
		if len(r.credentials[0]) > maxPlainLength || len(r.credentials[1]) > maxPlainLength {
			return errMalformed
		}
	}
	return nil
}

// credentialCount is how many credential frames a request of the mechanism has, where the mechanism is one we know.
func credentialCount(mechanism []byte) (count int, known bool) {
	switch string(mechanism) {
	case mechanismNull:
		return 0, true
	case mechanismPlain:
		return 2, true
	case mechanismCurve, mechanismGSSAPI:
		return 1, true
	}
	return 0, false
}

// The status codes of a reply (RFC 27, "Message Format").
const (
	statusOK        = 200
	statusTemporary = 300
	statusDenied    = 400
	statusError     = 500

	// statusCut is none of RFC 27's: libzmq (to 4.3.5) lets a GSSAPI client in whatever valid status it reads, and cuts
	// the connection only for a reply that is invalid.
	statusCut = 999
)

// wireStatus is the code and text of a reply with that verdict. The text never leaves the server's process.
func wireStatus(status int, mechanism []byte) (code, text string) {
	if status != statusOK && string(mechanism) == mechanismGSSAPI {
		status = statusCut
	}
	switch status {
	case statusOK:
		return "200", "OK"
	case statusTemporary:
		return "300", "Try again later"
	case statusError:
		return "500", "Error"
	case statusCut:
		return "999", "Denied"
	default:
		return "400", "Denied"
	}
}

// appendProperty appends one metadata property (RFC 27, "Message Format"): one byte for the name's length, the name, four
// bytes, big-endian, for the value's, the value. The property has passed checkProperty.
func appendProperty(dst []byte, name, value string) []byte {
	dst = append(dst, byte(len(name)))
	dst = append(dst, name...)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(value)))
	return append(dst, value...)
}

// encodeMetadata is the metadata frame of an acceptance: the properties in the order of their names, and after them
// those of required that are not among them, with an empty value.
func encodeMetadata(properties map[string]string, required []string) []byte {
	var frame []byte
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		frame = appendProperty(frame, name, properties[name])
	}
	for _, name := range required {
		if _, ok := properties[name]; !ok {
			frame = appendProperty(frame, name, "")
		}
	}
	return frame
}

// checkMetadata tells whether libzmq can carry the properties; the error names the first, in order, that it cannot.
func checkMetadata(properties map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		if err := checkProperty(name, properties[name]); err != nil {
			return err
		}
	}
	return nil
}

// checkProperty tells whether libzmq can carry a metadata property and whether the name is the application's to set.
func checkProperty(name, value string) error {
	if name == "" || len(name) > maxNameLength {
		return fmt.Errorf("metadata name %.40q: 1 to %d characters", name, maxNameLength)
	}
	for _, c := range []byte(name) {
		if !isNameByte(c) {
			return fmt.Errorf("metadata name %q: only letters, digits and -_.+ can be sent", name)
		}
	}
	for _, own := range []string{"Identity", "Socket-Type", "User-Id", "Peer-Address"} {
		if strings.EqualFold(name, own) {
			return fmt.Errorf("metadata name %q: libzmq sets it itself", name)
		}
	}
	if strings.HasPrefix(name, "__") {
		return fmt.Errorf("metadata name %q: names that begin with __ are libzmq's", name)
	}
	if strings.IndexByte(value, 0) >= 0 {
		return fmt.Errorf("metadata %q: a NUL byte in the value", name)
	}
	return nil
}

func isNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-_.+", c) >= 0
}

// checkUserID tells whether libzmq's readers, which are C strings, see the whole of a user id.
func checkUserID(id string) error {
	if strings.IndexByte(id, 0) >= 0 {
		return errors.New("a NUL byte in the user id")
	}
	return nil
}

// clone is a copy of the request that shares no memory with the frames it came in.
func (r *request) clone() request {
	c := request{
		id:        slices.Clone(r.id),
		domain:    slices.Clone(r.domain),
		address:   slices.Clone(r.address),
		routingID: slices.Clone(r.routingID),
		mechanism: slices.Clone(r.mechanism),
	}
	for i, credential := range r.credentials {
		c.credentials[i] = slices.Clone(credential)
	}
	return c
}
