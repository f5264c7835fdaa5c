package zaptest

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// property is a name and its value in metadata.
type property struct{ name, value string }

// parseMetadata parses a metadata frame (RFC 27, "Message Format"). A property is the length of its
// name in one byte, the name, the length of its value in four bytes in network order, and the
// value.
func parseMetadata(frame string) ([]property, error) {
	var properties []property
	for rest := frame; rest != ""; {
		at := len(frame) - len(rest)
		name, rest2, ok := cutBytes(rest[1:], int(rest[0]))
		if !ok || len(rest2) < 4 {
			return nil, fmt.Errorf("metadata %.100q: ends within the property at byte %d", frame, at)
		}
		size := binary.BigEndian.Uint32([]byte(rest2))
		value, rest3, ok := cutBytes(rest2[4:], int(size))
		if !ok {
			return nil, fmt.Errorf(
				"metadata %.100q: %.40q at byte %d has a value of %d bytes, %d are left",
				frame, name, at, size, len(rest2)-4)
		}
		if err := checkName(name); err != nil {
			return nil, fmt.Errorf("metadata %.100q: at byte %d: %w", frame, at, err)
		}
		properties = append(properties, property{name, value})
		rest = rest3
	}
	return properties, nil
}

// cutBytes splits text after size bytes. It is not ok if the text is shorter.
func cutBytes(text string, size int) (head, tail string, ok bool) {
	if size < 0 || len(text) < size { // size is negative if it exceeds an int of 32 bits
		return "", "", false
	}
	return text[:size], text[size:], true
}

// checkName checks that a name is 1*name-char (RFC 27, "Message Format").
func checkName(name string) error {
	if name == "" {
		return fmt.Errorf("an empty name")
	}
	for _, c := range []byte(name) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && strings.IndexByte("-_.+", c) < 0 {
			return fmt.Errorf("the name %.40q has %q, only letters, digits and -_.+ are allowed",
				name, c)
		}
	}
	return nil
}

// reserved are the properties that libzmq sets itself. If the handler sets them too, applications
// read the handler's value instead of libzmq's.
var reserved = []string{"Identity", "Routing-Id", "Socket-Type", "User-Id", "Peer-Address"}

// checkNames returns an error for properties that a handler must not set.
func checkNames(properties []property) error {
	seen := make(map[string]bool)
	for _, p := range properties {
		for _, name := range reserved {
			if strings.EqualFold(p.name, name) {
				return fmt.Errorf("metadata sets %q", p.name)
			}
		}
		if strings.HasPrefix(p.name, "__") {
			return fmt.Errorf("metadata sets %.40q", p.name)
		}
		if seen[strings.ToLower(p.name)] {
			return fmt.Errorf("metadata has %.40q twice", p.name)
		}
		seen[strings.ToLower(p.name)] = true
	}
	return nil
}
