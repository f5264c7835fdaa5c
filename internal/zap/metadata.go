package zap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// EncodeMetadata returns the metadata frame of an acceptance: the properties in the order of their
// names, then those of required that are not among them, with an empty value. All have passed
// CheckProperty. With no property at all the frame is nil.
func EncodeMetadata(properties map[string]string, required []string) []byte {
	var frame []byte
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		frame = appendProperty(frame, name, properties[name])
	}
	for _, name := range required {
		if _, ok := properties[name]; !ok {
			frame = appendProperty(frame, name, "")
		}
	}
	return frame
}

// appendProperty appends one property: one byte for the length of the name, the name, four bytes,
// big-endian, for that of the value, the value (RFC 27, "Message Format").
func appendProperty(dst []byte, name, value string) []byte {
	dst = append(dst, byte(len(name)))
	dst = append(dst, name...)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(value)))
	return append(dst, value...)
}

// CheckMetadata returns CheckProperty's error about the first property, in the order of names, that
// has one.
func CheckMetadata(properties map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		if err := CheckProperty(name, properties[name]); err != nil {
			return err
		}
	}
	return nil
}

// CheckProperty returns an error where libzmq cannot carry the property, or where it sets one of
// that name itself. Names are 1 to 255 of ASCII's letters, digits and -_.+; values are without NUL
// bytes.
func CheckProperty(name, value string) error {
	if name == "" || len(name) > maxNameLength {
		return fmt.Errorf("metadata name %.40q: 1 to %d characters", name, maxNameLength)
	}
	for _, c := range []byte(name) {
		if !isNameByte(c) {
			return fmt.Errorf("metadata name %q: only letters, digits and -_.+ can be sent", name)
		}
	}
	for _, own := range []string{"Identity", "Socket-Type", "User-Id", "Peer-Address"} {
		if strings.EqualFold(name, own) {
			return fmt.Errorf("metadata name %q: libzmq sets it itself", name)
		}
	}
	if strings.HasPrefix(name, "__") {
		return fmt.Errorf("metadata name %q: names that begin with __ are libzmq's", name)
	}
	if strings.IndexByte(value, 0) >= 0 {
		return fmt.Errorf("metadata %q: a NUL byte in the value", name)
	}
	return nil
}

func isNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		strings.IndexByte("-_.+", c) >= 0
}

// CheckUserID returns an error where libzmq's readers, which are C strings, would not see the whole
// of a user id.
func CheckUserID(id string) error {
	if strings.IndexByte(id, 0) >= 0 {
		return errors.New("a NUL byte in the user id")
	}
	return nil
}
