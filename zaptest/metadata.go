package zaptest

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// property is one of an acceptance's metadata.
type property struct{ name, value string }

// parseMetadata reads a metadata frame by RFC 27's grammar: a property is one byte for the name's
// length, the name, four bytes in network order for the value's length, the value.
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
			return nil, fmt.Errorf("metadata %.100q: %.40q at byte %d has a value of %d bytes, %d are left", frame, name, at, size, len(rest2)-4)
		}
		if err := checkName(name); err != nil {
			return nil, fmt.Errorf("metadata %.100q: at byte %d: %w", frame, at, err)
		}
		properties = append(properties, property{name, value})
		rest = rest3
	}
	return properties, nil
}

func cutBytes(text string, size int) (head, tail string, ok bool) {
	if size < 0 || len(text) < size { // negative: beyond a 32-bit int
		return "", "", false
	}
	return text[:size], text[size:], true
}

// checkName holds a name against RFC 27's 1*name-char.
func checkName(name string) error {
	if name == "" {
		return fmt.Errorf("an empty name")
	}
	for _, c := range []byte(name) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && strings.IndexByte("-_.+", c) < 0 {
			return fmt.Errorf("the name %.40q has %q, only letters, digits and -_.+ are allowed", name, c)
		}
	}
	return nil
}

// reserved are the properties that libzmq sets itself: where the handler sets them too, the
// application reads those.
var reserved = []string{"Identity", "Routing-Id", "Socket-Type", "User-Id", "Peer-Address"}

// checkNames looks for properties that are not the handler's to set.
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
