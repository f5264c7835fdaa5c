package zaptest

import "fmt"

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

// reply is a message from the handler. It may be malformed: each check looks at its own part.
type reply struct {
	envelope []string // the frames before the first empty one; all frames if there is none
	frames   []string // the frames behind it
}

func parseReply(message []string) reply {
	for i, frame := range message {
		if frame == "" {
			return reply{message[:i], message[i+1:]}
		}
	}
	return reply{envelope: message}
}

// frame returns a frame by its constant, or "" if the reply is too short.
func (r reply) frame(i int) string {
	if i >= len(r.frames) {
		return ""
	}
	return r.frames[i]
}

const statusOK = "200"

func (r reply) accepts() bool { return r.frame(frameStatus) == statusOK }

// verdict is an error if the reply does not give the request the wanted verdict.
func (r reply) verdict(to request, accepted bool) error {
	if r.accepts() == accepted {
		return nil
	}
	want := "a refusal"
	if accepted {
		want = statusOK
	}
	return fmt.Errorf("%v: status %.20q, should be %s", to, r.frame(frameStatus), want)
}
