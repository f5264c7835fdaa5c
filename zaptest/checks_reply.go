package zaptest

import (
	"fmt"
	"slices"
	"strings"
)

// replyChecks returns the checks of the form of replies.
func replyChecks() []check {
	return []check{
		newCheck("answers", architecture,
			"The handler is bound to the endpoint, by REP or ROUTER, and answers a request.",
			answers),
		newCheck("reply-frames", messageFormat,
			"A reply is an empty delimiter, version, request id, status code, status text, user id and "+
				"metadata: seven frames, always.",
			eachReply(checkFrames)),
		newCheck("reply-version", messageFormat,
			"The version frame of a reply is the three octets 1.0.",
			eachReply(checkVersion)),
		newCheck("reply-status-code", messageFormat,
			"The status code is 200, 300, 400 or 500.",
			eachReply(checkStatus)),
		newCheck("reply-status-text", messageFormat,
			"The status text is at most 255 characters of ASCII.",
			eachReply(checkText)),
		newCheck("reply-id", messageFormat,
			"The request id comes back as it was sent, and a later request has its own.",
			echoes("1", "0001", "2", "1")),
		newCheck("reply-id-empty", messageFormat,
			"An empty request id comes back empty.",
			echoes("")),
		newCheck("reply-id-binary", messageFormat,
			"A request id may be any octets, NUL among them.",
			echoes("\x00", "a\x00b", "\xff\xfe\x80", allBytes())),
		newCheck("reply-id-long", messageFormat,
			"A request id may have more than 255 bytes (up to 16 KiB is tried).",
			echoes(strings.Repeat("i", 256), strings.Repeat("long", 1<<12))),
		newCheck("accept-user-id", messageFormat,
			"The user id of an acceptance is at most 255 characters of ASCII.",
			acceptances(checkUserIDs),
			needClient),
		newCheck("accept-metadata-format", messageFormat,
			"Metadata has the format of ZMTP's properties: correct lengths, and names of letters, "+
				"digits and -_.+.",
			acceptances(checkMetadata),
			needClient),
		newCheck("accept-metadata-names", Beyond,
			"Metadata has each name only once, and none that libzmq sets itself: Identity, "+
				"Socket-Type, User-Id, Peer-Address, __*.",
			acceptances(checkPropertyNames),
			needClient),
		newCheck("accept-no-nul", Beyond,
			"The user id and the values of metadata have no NUL byte: for readers through libzmq the "+
				"text ends there.",
			acceptances(checkNoNUL),
			needClient),
		newCheck("accept-metadata", messageFormat,
			"Acceptances carry the metadata that the handler has been set up with.",
			wantMetadata,
			needMetadata),
		newCheck("refuse-user-id", messageFormat,
			"The user id is empty unless the client is accepted.",
			refusals("user id", frameUserID)),
		newCheck("refuse-metadata", messageFormat,
			"The metadata is empty unless the client is accepted.",
			refusals("metadata", frameMetadata)),
	}
}

// eachReply returns a check that looks at the reply to each client and each stranger. It leaves out
// GSSAPI, which is not in RFC 27.
func eachReply(look func(reply) error) func(*trial) error {
	return func(t *trial) error {
		for _, r := range slices.Concat(t.clients(), t.strangers()) {
			if r.mechanism == "GSSAPI" {
				continue
			}
			got, err := t.ask(r)
			if err != nil {
				return err
			}
			if err := look(got); err != nil {
				return fmt.Errorf("%v: %w", r, err)
			}
		}
		return nil
	}
}

func checkFrames(got reply) error {
	if len(got.envelope) > 0 || len(got.frames) != replyFrames {
		return fmt.Errorf("%d frames before the delimiter and %d behind it, should be none and %d",
			len(got.envelope), len(got.frames), replyFrames)
	}
	return nil
}

func checkVersion(got reply) error {
	if got.frame(frameVersion) != version {
		return fmt.Errorf("version %.20q", got.frame(frameVersion))
	}
	return nil
}

var statusCodes = []string{statusOK, "300", "400", "500"}

func checkStatus(got reply) error {
	if !slices.Contains(statusCodes, got.frame(frameStatus)) {
		return fmt.Errorf("status code %.20q", got.frame(frameStatus))
	}
	return nil
}

func checkText(got reply) error { return checkASCII("status text", got.frame(frameText)) }

func checkASCII(what, text string) error {
	if len(text) > maxString {
		return fmt.Errorf("%s of %d characters", what, len(text))
	}
	if i := strings.IndexFunc(text, func(r rune) bool { return r >= 0x80 }); i >= 0 {
		return fmt.Errorf("%s %.100q is not ASCII", what, text)
	}
	return nil
}

// echoes returns a check that the reply to each request carries its id.
func echoes(ids ...string) func(*trial) error {
	return func(t *trial) error {
		for _, id := range ids {
			r := t.null()
			r.id = id
			got, err := t.ask(r)
			if err != nil {
				return fmt.Errorf("request id %.40q: %w", id, err)
			}
			if back := got.frame(frameID); back != id {
				return fmt.Errorf("request id %.40q (%d bytes) came back as %.40q (%d bytes)",
					id, len(id), back, len(back))
			}
		}
		return nil
	}
}

func allBytes() string {
	var all [256]byte
	for i := range all {
		all[i] = byte(i)
	}
	return string(all[:])
}

// acceptances returns a check that looks at all acceptances together.
func acceptances(look func([]reply) error) func(*trial) error {
	return func(t *trial) error {
		var replies []reply
		for _, r := range t.clients() {
			got, err := t.ask(r)
			if err != nil {
				return err
			}
			if got.accepts() {
				replies = append(replies, got)
			}
		}
		if len(replies) == 0 {
			return notApplicable("no client gets in")
		}
		return look(replies)
	}
}

func checkUserIDs(replies []reply) error {
	for _, got := range replies {
		if err := checkASCII("user id", got.frame(frameUserID)); err != nil {
			return err
		}
	}
	return nil
}

func checkMetadata(replies []reply) error {
	for _, got := range replies {
		if _, err := parseMetadata(got.frame(frameMetadata)); err != nil {
			return err
		}
	}
	return nil
}

func checkPropertyNames(replies []reply) error {
	names := 0
	for _, got := range replies {
		properties, err := parseMetadata(got.frame(frameMetadata))
		if err != nil {
			continue // checkMetadata reports it
		}
		if err := checkNames(properties); err != nil {
			return err
		}
		names += len(properties)
	}
	return unless(names > 0, "no acceptance carries metadata that can be read")
}

func checkNoNUL(replies []reply) error {
	bytes := 0
	for _, got := range replies {
		properties, err := parseMetadata(got.frame(frameMetadata))
		if err != nil {
			properties = nil // checkMetadata reports it
		}
		for _, p := range append(properties, property{"User-Id", got.frame(frameUserID)}) {
			if strings.IndexByte(p.value, 0) >= 0 {
				return fmt.Errorf("%s %.40q", p.name, p.value)
			}
			bytes += len(p.value)
		}
	}
	return unless(bytes > 0, "no acceptance carries a user id or metadata that can be read")
}

// wantMetadata looks for Handler.Metadata in the replies to the PLAIN client and the CURVE client.
func wantMetadata(t *trial) error {
	for _, r := range t.clients() {
		if r.mechanism != "PLAIN" && r.mechanism != "CURVE" {
			continue
		}
		got, err := t.ask(r)
		if err != nil {
			return err
		}
		properties, err := parseMetadata(got.frame(frameMetadata))
		if err != nil {
			return err
		}
		for name, value := range t.Metadata {
			if !slices.Contains(properties, property{name, value}) {
				return fmt.Errorf("%v: no %.40q with the value %.40q among %.200q",
					r, name, value, properties)
			}
		}
	}
	return nil
}

// refusals returns a check that a frame is empty in the replies to strangers that are refused.
func refusals(what string, frame int) func(*trial) error {
	return func(t *trial) error {
		refused := 0
		for _, r := range t.strangers() {
			got, err := t.ask(r)
			switch {
			case err != nil:
				return err
			case got.accepts():
				continue
			case got.frame(frame) != "":
				return fmt.Errorf("%v: refused with the %s %.40q", r, what, got.frame(frame))
			}
			refused++
		}
		return unless(refused > 0, "no stranger is refused")
	}
}
