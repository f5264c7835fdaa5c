package zaptest

import (
	"fmt"
	"slices"
	"strings"
)

// hostileChecks returns checks that put unexpected values into each field.
func hostileChecks() []check {
	return []check{
		newCheck("identity-binary", messageFormat,
			"A client with any identity of up to 255 bytes gets in.",
			binaryIdentities,
			needClient),
		newCheck("domain-empty", Beyond,
			"A stranger is refused in an empty domain, which libzmq may send.",
			refuses(func(h *Handler) []request { return h.inField("")[:1] })),
		newCheck("hostile-nul", Beyond,
			"A stranger with NUL bytes in any field is refused, and the handler lives on.",
			refuses(func(h *Handler) []request { return h.inField("a\x00b", "\x00") })),
		newCheck("hostile-utf8", Beyond,
			"A stranger with invalid UTF-8 in any field is refused, and the handler lives on.",
			refuses(func(h *Handler) []request { return h.inField("\xff\xfe", "\xc3(", "\xed\xa0\x80") })),
		newCheck("hostile-format", Beyond,
			"A stranger with conversions of printf, paths and quotes in any field is refused, and the "+
				"handler lives on.",
			refuses(func(h *Handler) []request {
				return h.inField("%s%n%s%n%d", "../../../etc/passwd", `'";--`, "\r\n")
			})),
		newCheck("hostile-huge", Beyond,
			"A frame of 1 MiB in any field lets nobody in, and the handler lives on.",
			survives(func(h *Handler) []provocation {
				return malformed(h.inField(strings.Repeat("h", 1<<20))...)
			})),
		newCheck("hostile-frames", Beyond,
			"A request of 10,000 frames lets nobody in, and the handler lives on.",
			survives(func(h *Handler) []provocation {
				return malformed(
					h.request("PLAIN", slices.Repeat([]string{"x"}, 10_000)...),
					h.request("CURVE", slices.Repeat([]string{unknownKey}, 10_000)...),
				)
			})),
	}
}

func binaryIdentities(t *trial) error {
	admitted, err := t.admitted()
	if err != nil {
		return err
	}
	for _, client := range admitted {
		for _, client.identity = range []string{
			"identity",
			"\x00\xff\x00",
			allBytes()[:255],
			allBytes()[1:],
		} {
			if err := t.wantVerdict(client, true); err != nil {
				return fmt.Errorf("identity %.20q: %w", client.identity, err)
			}
		}
	}
	return nil
}

// inField returns requests of a stranger that have each value in each field. The first of them has
// the value in the domain.
func (h *Handler) inField(values ...string) []request {
	var requests []request
	for _, value := range values {
		for _, set := range []func(*request){
			func(r *request) { r.domain = value },
			func(r *request) { r.address = value },
			func(r *request) { r.identity = value },
			func(r *request) { r.credentials[0] = value },
			func(r *request) { r.credentials[1] = value },
		} {
			r := h.plain(nobody, nothing)
			set(&r)
			requests = append(requests, r)
		}
	}
	return requests
}
