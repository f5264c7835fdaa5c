// Package testzap has what the tests of the ZAP codec share with the tests of its users: requests
// as libzmq makes them, requests that must be refused, and a parser of metadata.
package testzap

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"
)

// Key has the form of a CURVE credential: 32 bytes.
var Key = strings.Repeat("k", 32)

// Request returns the frames of a request as libzmq makes it. The version is the first frame.
func Request(domain, address, mechanism string, credentials ...string) [][]byte {
	head := []string{"1.0", "1", domain, address, "", mechanism}
	return Frames(append(head, credentials...)...)
}

// Frames returns the texts as frames.
func Frames(texts ...string) [][]byte {
	var frames [][]byte
	for _, text := range texts {
		frames = append(frames, []byte(text))
	}
	return frames
}

// BadRequest is a request that every handler refuses because of its form.
type BadRequest struct {
	Frames     [][]byte
	Answerable bool // it has enough frames for a reply
	Decodes    bool // RFC 27 allows its form: its mechanism is unknown, or its credential is empty
}

// BadRequests returns bad requests. Each has the name of what is bad about it.
func BadRequests() map[string]BadRequest {
	null := Request("d", "127.0.0.1", "NULL")
	version := func(v string) [][]byte { return append(Frames(v), null[1:]...) }
	request := func(mechanism string, credentials ...string) [][]byte {
		return Request("d", "127.0.0.1", mechanism, credentials...)
	}
	malformed := func(frames [][]byte) BadRequest { return BadRequest{frames, true, false} }
	decodes := func(frames [][]byte) BadRequest { return BadRequest{frames, true, true} }
	tooShort := func(frames [][]byte) BadRequest { return BadRequest{frames, false, false} }
	return map[string]BadRequest{
		"nothing":                tooShort(nil),
		"version alone":          tooShort(Frames("1.0")),
		"QUIT":                   tooShort(Frames("QUIT")),
		"no domain":              malformed(null[:2]),
		"no address":             malformed(null[:3]),
		"no routing id":          malformed(null[:4]),
		"no mechanism":           malformed(null[:5]),
		"another version":        malformed(version("2.0")),
		"an empty version":       malformed(version("")),
		"a long version":         malformed(version("1.0\x00")),
		"NULL with a credential": malformed(request("NULL", "x")),
		"PLAIN without":          malformed(request("PLAIN")),
		"PLAIN, name alone":      malformed(request("PLAIN", "ann")),
		"PLAIN, three":           malformed(request("PLAIN", "ann", "secret", "x")),
		"CURVE without":          malformed(request("CURVE")),
		"CURVE, 31 bytes":        malformed(request("CURVE", Key[1:])),
		"CURVE, 33 bytes":        malformed(request("CURVE", Key+"k")),
		"CURVE, two keys":        malformed(request("CURVE", Key, Key)),
		"GSSAPI without":         malformed(request("GSSAPI")),
		"GSSAPI, empty":          decodes(request("GSSAPI", "")),
		"empty mechanism":        decodes(request("")),
		"another mechanism":      decodes(request("KRYPTON", "x")),
		"lower case":             decodes(request("null")),
		"NULL with a NUL":        decodes(request("NULL\x00")),
		"a hundred credentials":  malformed(request("PLAIN", slices.Repeat([]string{"x"}, 100)...)),
		"a mebibyte of password": malformed(request("PLAIN", "ann", strings.Repeat("x", 1<<20))),
	}
}

// ParseMetadata parses a metadata frame (RFC 27, "Message Format").
func ParseMetadata(t testing.TB, frame []byte) map[string]string {
	t.Helper()
	properties := make(map[string]string)
	for len(frame) > 0 {
		name := int(frame[0])
		if len(frame) < 1+name+4 {
			t.Fatalf("metadata ends in a name: %q", frame)
		}
		value := int(binary.BigEndian.Uint32(frame[1+name:]))
		if len(frame) < 1+name+4+value {
			t.Fatalf("metadata ends in a value: %q", frame)
		}
		properties[string(frame[1:1+name])] = string(frame[1+name+4 : 1+name+4+value])
		frame = frame[1+name+4+value:]
	}
	return properties
}
