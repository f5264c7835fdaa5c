package zapproxy

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/zmqauth/zmqauth/internal/zap"
	"github.com/zmqauth/zmqauth/internal/zmtp"
)

// A message on a link is a ZAP message with what routes it back before it, as a ROUTER has it: some
// frames, an empty one, the request. The service returns those frames as they came. A relay of this
// package has two: a tag of 16 bytes, and the word extended. The service answers that with the
// word, and four bytes more where the client may be let in again without it: milliseconds,
// big-endian.
const extended = "zmqauth-1"

// The limits of a link.
const (
	maxFrames  = 32       // of a message
	maxMessage = 64 << 10 // bytes of one; libzmq's requests have some hundred
	maxUnsent  = 4 << 20  // bytes that wait for the other end to take them

	handshakeTime = 5 * time.Second
)

// The socket types of the two ends.
const (
	relayType   = "DEALER"
	serviceType = "ROUTER"
)

func serviceConfig(curve *zmtp.Curve) zmtp.Config {
	return zmtp.Config{SocketType: serviceType, Peers: []string{relayType, "REQ", serviceType},
		Curve: curve, MaxFrames: maxFrames, MaxMessage: maxMessage, MaxUnsent: maxUnsent,
		HandshakeTime: handshakeTime}
}

func relayConfig(curve *zmtp.Curve) zmtp.Config {
	return zmtp.Config{SocketType: relayType, Peers: []string{serviceType, "REP", relayType},
		Curve: curve, MaxFrames: maxFrames, MaxMessage: maxMessage, MaxUnsent: maxUnsent,
		HandshakeTime: handshakeTime}
}

// split takes a message apart. Without an empty frame both parts are nil.
func split(frames [][]byte) (envelope, body [][]byte) {
	at := slices.IndexFunc(frames, func(frame []byte) bool { return len(frame) == 0 })
	if at < 0 {
		return nil, nil
	}
	return frames[:at+1], frames[at+1:]
}

// isExtended tells whether a request is from a relay of this package.
func isExtended(envelope [][]byte) bool {
	return len(envelope) == 3 && string(envelope[1]) == extended
}

// graceFrame is the frame that tells a relay how long it may let the client in again.
func graceFrame(grace time.Duration) []byte {
	if grace <= 0 {
		return []byte(extended)
	}
	return binary.BigEndian.AppendUint32([]byte(extended), uint32(grace/time.Millisecond))
}

// graceOf reads that frame.
func graceOf(frame []byte) time.Duration {
	if len(frame) != len(extended)+4 {
		return 0
	}
	grace := time.Duration(binary.BigEndian.Uint32(frame[len(extended):])) * time.Millisecond
	return min(grace, MaxGrace)
}

// answer is the reply to a request, without its version.
type answer struct {
	status   int
	userID   []byte
	metadata []byte
}

// frames are the reply to a request with that id and mechanism.
func (a answer) frames(id, mechanism []byte) [][]byte {
	code, text := zap.WireStatus(a.status, mechanism)
	reply := [][]byte{[]byte(zap.Version), id, []byte(code), []byte(text), nil, nil}
	if a.status == zap.StatusOK {
		reply[4], reply[5] = a.userID, a.metadata
	}
	return reply
}

// requestFields are the frames of a request that routing needs; nil where it has no such frame.
func requestFields(body [][]byte) (id, domain, mechanism []byte) {
	for i, field := range []*[]byte{1: &id, 2: &domain, 5: &mechanism} {
		if field != nil && i < len(body) {
			*field = body[i]
		}
	}
	return id, domain, mechanism
}

// readAnswer reads the reply to a request with that id. A reply of another form is nobody's.
func readAnswer(body [][]byte, id []byte) (a answer, ok bool) {
	if len(body) != zap.ReplyFrames || string(body[0]) != zap.Version ||
		string(body[1]) != string(id) {
		return a, false
	}
	switch string(body[2]) {
	case "200":
		return answer{zap.StatusOK, body[4], body[5]}, true
	case "300":
		a.status = zap.StatusTemporary
	case "400", "999":
		a.status = zap.StatusDenied
	case "500":
		a.status = zap.StatusError
	default:
		return a, false
	}
	return a, true
}
