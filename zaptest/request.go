package zaptest

import "fmt"

const version = "1.0"

// request is an authentication request as a server sends it (RFC 27, "Message Format"). A string
// holds any bytes.
type request struct {
	version, id                          string
	domain, address, identity, mechanism string
	credentials                          []string
}

// request is one that libzmq would send: it uses the same request id for all.
func (h *Handler) request(mechanism string, credentials ...string) request {
	return request{version: version, id: "1", domain: h.Domain, address: h.Address, mechanism: mechanism, credentials: credentials}
}

func (h *Handler) null() request                       { return h.request("NULL") }
func (h *Handler) plain(user, password string) request { return h.request("PLAIN", user, password) }
func (h *Handler) curve(key string) request            { return h.request("CURVE", key) }

// body is the request's frames behind the empty delimiter, version first.
func (r request) body() []string {
	return append([]string{r.version, r.id, r.domain, r.address, r.identity, r.mechanism}, r.credentials...)
}

// String names the request in an error. It does not show credentials.
func (r request) String() string {
	return fmt.Sprintf("a %.20q request of %d credential frames for domain %.40q from %.40q", r.mechanism, len(r.credentials), r.domain, r.address)
}

// The frames of a reply behind the empty delimiter (RFC 27, "Message Format").
const (
	frameVersion = iota
	frameID
	frameStatus
	frameText
	frameUserID
	frameMetadata
	replyFrames
)

// reply is what came back. Its parts are not checked: each check looks at those that it is about.
type reply struct {
	envelope []string // before the first empty frame; all frames where there is none
	frames   []string // behind it
}

func parseReply(message []string) reply {
	for i, frame := range message {
		if frame == "" {
			return reply{message[:i], message[i+1:]}
		}
	}
	return reply{envelope: message}
}

// frame is one of the constants above; "" where the reply is too short.
func (r reply) frame(i int) string {
	if i >= len(r.frames) {
		return ""
	}
	return r.frames[i]
}

const statusOK = "200"

func (r reply) accepts() bool { return r.frame(frameStatus) == statusOK }

// verdict is nil where the reply says what the request has to be told.
func (r reply) verdict(to request, accepted bool) error {
	if r.accepts() == accepted {
		return nil
	}
	return fmt.Errorf("%v: status %.20q, should be %s", to, r.frame(frameStatus), map[bool]string{true: "200", false: "a refusal"}[accepted])
}
