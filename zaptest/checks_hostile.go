package zaptest

import (
	"fmt"
	"slices"
	"strings"
)

// hostileChecks put into each field what it should not hold.
func hostileChecks() []check {
	return []check{
		{Requirement{"identity-binary", messageFormat, "An identity of up to 255 bytes of any value keeps nobody out."},
			[]need{needClient}, binaryIdentities},
		{Requirement{"domain-empty", Beyond, "A request with an empty domain, which libzmq sends, gets a stranger refused."},
			nil, refuses(func(h *Handler) []request { return h.inField("")[:1] })},
		{Requirement{"hostile-nul", Beyond, "NUL bytes in any field get a stranger refused, and the handler lives on."},
			nil, refuses(func(h *Handler) []request { return h.inField("a\x00b", "\x00") })},
		{Requirement{"hostile-utf8", Beyond, "Invalid UTF-8 in any field gets a stranger refused, and the handler lives on."},
			nil, refuses(func(h *Handler) []request { return h.inField("\xff\xfe", "\xc3(", "\xed\xa0\x80") })},
		{Requirement{"hostile-format", Beyond, "Conversions of printf, paths and quotes in any field get a stranger refused, and the handler lives on."},
			nil, refuses(func(h *Handler) []request { return h.inField("%s%n%s%n%d", "../../../etc/passwd", `'";--`, "\r\n") })},
		{Requirement{"hostile-huge", Beyond, "A frame of 1 MiB in any field lets nobody in, and the handler lives on."},
			nil, survives(func(h *Handler) []provocation { return malformed(h.inField(strings.Repeat("h", 1<<20))...) })},
		{Requirement{"hostile-frames", Beyond, "A request of 10,000 frames lets nobody in, and the handler lives on."},
			nil, survives(func(h *Handler) []provocation {
				return malformed(h.request("PLAIN", slices.Repeat([]string{"x"}, 10_000)...), h.request("CURVE", slices.Repeat([]string{unknownKey}, 10_000)...))
			})},
	}
}

func binaryIdentities(t *trial) error {
	admitted, err := t.admitted()
	if err != nil {
		return err
	}
	for _, client := range admitted {
		for _, client.identity = range []string{"identity", "\x00\xff\x00", allBytes()[:255], allBytes()[1:]} {
			if err := t.wantVerdict(client, true); err != nil {
				return fmt.Errorf("identity %.20q: %w", client.identity, err)
			}
		}
	}
	return nil
}

// inField are requests of a stranger with a value in each field in turn, the domain first.
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
