package natsstore

import (
	"slices"

	"github.com/nats-io/nats.go"
)

// The fields that the engine adds to what it has, and those of its own answers. Put and Record add
// the two last ones of the first list.
var (
	storedFields = []string{"Nats-Stream", headerSubject, headerSequence, headerTime,
		"Nats-Num-Pending", "Nats-Last-Sequence", headerExpect, nats.MsgIdHdr}
	statusFields = []string{headerStatus, headerDescription, "Nats-Num-Pending",
		"Nats-Last-Sequence", "Nats-UpTo-Sequence"}
)

// isBelieved tells whether a header says what the engine has added to it, and nothing else. Who may
// publish chooses the header of his message. The engine appends to that, and clients take the first
// of two fields, and nothing behind an empty line. So each field must be there once, be one of
// these, and all of them must be as long as the header was: what the engine appends has more than
// 100 bytes, and shorter lines hide less than 50.
func isBelieved(m *nats.Msg, fields []string) bool {
	size := len("NATS/1.0\r\n\r\n")
	for name, values := range m.Header {
		if len(values) != 1 || !slices.Contains(fields, name) {
			return false
		}
		size += len(name) + len(": ") + len(values[0]) + len("\r\n")
	}
	// A status and its description stand in the first line, which is shorter.
	inFirst := size
	for _, name := range []string{headerStatus, headerDescription} {
		if _, there := m.Header[name]; there {
			inFirst -= len(name) + len(":\r\n")
		}
	}
	had := m.Size() - len(m.Subject) - len(m.Reply) - len(m.Data)
	return had == size || had == inFirst
}
