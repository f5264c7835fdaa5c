package zaptest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// malformedChecks returns checks with messages that RFC 27 does not allow. The RFC does not say
// what a handler must do with them: a refusal and no reply are both right.
func malformedChecks() []check {
	return []check{
		newCheck("malformed-version", Beyond,
			"A request of another version than 1.0 is not accepted, and the handler lives on.",
			survives((*Handler).otherVersions)),
		newCheck("malformed-mechanism", Beyond,
			"A request with an empty mechanism is not accepted, and the handler lives on.",
			survives(func(h *Handler) []provocation {
				return malformed(h.request(""), h.request("", "a", "b"))
			})),
		newCheck("malformed-null", Beyond,
			"A NULL request with credentials is not accepted, and the handler lives on.",
			survives(func(h *Handler) []provocation {
				return malformed(h.request("NULL", ""), h.request("NULL", "a", "b", "c"))
			})),
		newCheck("malformed-plain", Beyond,
			"A PLAIN request with other than two credentials is not accepted, and the handler lives on.",
			survives((*Handler).otherPlain)),
		newCheck("malformed-curve", Beyond,
			"A CURVE request with other than one credential is not accepted, and the handler lives on.",
			survives((*Handler).otherCurve)),
		newCheck("malformed-curve-key", Beyond,
			"A CURVE key of other than 32 bytes is not accepted, and the handler lives on.",
			survives((*Handler).otherKeys)),
		newCheck("malformed-gssapi", Beyond,
			"A GSSAPI request with other than one credential is not accepted, and the handler lives on.",
			survives(func(h *Handler) []provocation {
				return malformed(h.request("GSSAPI"), h.request("GSSAPI", "a", "b"))
			})),
		newCheck("malformed-short", Beyond,
			"A request of two to five frames is not accepted, and the handler lives on.",
			survives(func(h *Handler) []provocation { return h.shortened(2, 3, 4, 5) })),
		newCheck("malformed-one-frame", Beyond,
			"A request of one frame or none is not accepted, and the handler lives on.",
			survives(func(h *Handler) []provocation {
				empty := provocation{"a request of one empty frame", []string{"", ""}}
				return append(h.shortened(1, 0), empty)
			})),
		newCheck("malformed-command", Beyond,
			"A request that is a word, such as a handler may use to stop itself, does not stop it.",
			survives(commands)),
		newCheck("malformed-envelope", Beyond,
			"A message without an empty delimiter is not accepted, and the handler lives on.",
			survives(noDelimiter)),
		newCheck("malformed-reply", Beyond,
			"What a malformed request is told, if anything, is a refusal of seven frames with its "+
				"request id.",
			malformedReplies),
	}
}

func (h *Handler) otherVersions() []provocation {
	var requests []request
	for _, other := range []string{"2.0", "1.1", "1", "", "1.0.", "1.0\x00", "01.0"} {
		r := append(h.clients(), h.null())[0]
		r.version = other
		requests = append(requests, r)
	}
	return malformed(requests...)
}

func (h *Handler) otherPlain() []provocation {
	user, password := h.User, h.Password
	if user == "" {
		user, password = nobody, nothing
	}
	return malformed(
		h.request("PLAIN"),
		h.request("PLAIN", user),
		h.request("PLAIN", user, password, ""),
		h.request("PLAIN", user, password, password),
		h.request("PLAIN", slices.Repeat([]string{user, password}, 500)...),
	)
}

func (h *Handler) otherCurve() []provocation {
	key := h.someKey()
	return malformed(
		h.request("CURVE"),
		h.request("CURVE", key, key),
		h.request("CURVE", key, ""),
		h.request("CURVE", slices.Repeat([]string{key}, 1000)...),
	)
}

func (h *Handler) someKey() string {
	if h.Key == nil {
		return unknownKey
	}
	return string(h.Key)
}

func (h *Handler) otherKeys() []provocation {
	key := h.someKey()
	var requests []request
	for _, other := range []string{
		"",
		key[1:],
		key[:keySize-1],
		key + "\x00",
		"\x00" + key,
		key + key,
		strings.Repeat("z", 40),
		strings.Repeat("0", 64),
	} {
		requests = append(requests, h.curve(other))
	}
	return malformed(requests...)
}

// shortened returns messages with the first frames of a good request.
func (h *Handler) shortened(sizes ...int) []provocation {
	var all []provocation
	for _, size := range sizes {
		what := fmt.Sprintf("a request of %d frames", size)
		all = append(all, provocation{what, append([]string{""}, h.null().body()[:size]...)})
	}
	return all
}

func commands(*Handler) []provocation {
	var all []provocation
	for _, word := range []string{"QUIT", "STOP", "TERMINATE", "$TERM", "KILL", "EXIT", "PAUSE"} {
		all = append(all, provocation{"the request " + word, []string{"", word}})
	}
	return all
}

func noDelimiter(h *Handler) []provocation {
	r := h.null()
	r.identity = "no empty frame"
	var all []provocation
	for _, frames := range [][]string{{"no delimiter"}, {"no", "delimiter"}, r.body()} {
		all = append(all, provocation{fmt.Sprintf("the message %q", frames), frames})
	}
	return all
}

func malformedReplies(t *trial) error {
	const id = "malformed"
	newer := t.null()
	newer.version = "2.0"
	requests := []request{
		newer,
		t.request("PLAIN", nobody),
		t.request("CURVE", unknownKey, unknownKey),
		t.request(""),
	}
	for i := range requests {
		requests[i].id = id
	}
	short := provocation{"a request of three frames", []string{"", version, id, t.Domain}}
	replies, err := t.provoke(append(malformed(requests...), short))
	if err != nil {
		return err
	}
	for _, got := range replies {
		err := errors.Join(checkFrames(got.reply), checkVersion(got.reply), checkStatus(got.reply))
		if back := got.frame(frameID); err == nil && back != id {
			err = fmt.Errorf("request id %.40q came back as %.40q", id, back)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", got.what, err)
		}
	}
	return unless(len(replies) > 0, "malformed requests get no reply")
}
