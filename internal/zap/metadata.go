package zap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// EncodeMetadata returns the metadata frame of an acceptance. It has the properties, sorted by
// name, and then an empty value for each name in required that is not among them. CheckProperty
// must have accepted all of them. Without any property the frame is nil.
func EncodeMetadata(properties map[string]string, required []string) []byte {
	if len(properties) == 0 {
		return CompleteMetadata(nil, required)
	}
	size := 0
	names := make([]string, 0, 8) // of most, without garbage
	for name, value := range properties {
		size += propertySize(name, value)
		names = append(names, name)
	}
	slices.Sort(names)
	frame := make([]byte, 0, size)
	for _, name := range names {
		frame = AppendProperty(frame, name, properties[name])
	}
	return CompleteMetadata(frame, required)
}

// CompleteMetadata returns a metadata frame with an empty value for each name in required that is
// not in it. It does not change the frame.
func CompleteMetadata(frame []byte, required []string) []byte {
	complete := slices.Clip(frame)
	for _, name := range required {
		if !hasProperty(frame, name) {
			complete = AppendProperty(complete, name, "")
		}
	}
	return complete
}

func hasProperty(frame []byte, name string) bool {
	for len(frame) > 0 {
		known, _, rest := cutProperty(frame)
		if string(known) == name {
			return true
		}
		frame = rest
	}
	return false
}

// cutProperty returns the first property of a frame and what follows it.
func cutProperty(frame []byte) (name, value, rest []byte) {
	begin := 1 + int(frame[0])
	name, frame = frame[1:begin], frame[begin:]
	end := lengthSize + int(binary.BigEndian.Uint32(frame))
	return name, frame[lengthSize:end], frame[end:]
}

// DecodeMetadata is the properties of a frame that EncodeMetadata has made, required ones among
// them; nil: there are none.
func DecodeMetadata(frame []byte) map[string]string {
	if len(frame) == 0 {
		return nil
	}
	properties := make(map[string]string)
	for len(frame) > 0 {
		name, value, rest := cutProperty(frame)
		properties[string(name)], frame = string(value), rest
	}
	return properties
}

// propertySize is how many bytes AppendProperty appends.
func propertySize(name, value string) int { return 1 + len(name) + lengthSize + len(value) }

// lengthSize is the size of the length of a value.
const lengthSize = 4

// AppendProperty appends one property: the length of the name in one byte, the name, the length of
// the value in four big-endian bytes, the value (RFC 27, "Message Format").
func AppendProperty(dst []byte, name, value string) []byte {
	dst = append(dst, byte(len(name)))
	dst = append(dst, name...)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(value)))
	return append(dst, value...)
}

// CheckMetadata checks all properties with CheckProperty, and returns the error of the one whose
// name is the first.
func CheckMetadata(properties map[string]string) (err error) {
	var first string
	for name, value := range properties {
		if fault := CheckProperty(name, value); fault != nil && (err == nil || name < first) {
			first, err = name, fault
		}
	}
	return err
}

// CheckProperty returns an error if libzmq cannot carry the property, or if libzmq sets a property
// of that name itself. A name has 1 to 255 ASCII letters, digits and -_.+ characters. A value has
// no NUL bytes.
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

// CheckUserID returns an error if a user id has a NUL byte. libzmq gives the id to applications as
// a C string, which would end there.
func CheckUserID(id string) error {
	if strings.IndexByte(id, 0) >= 0 {
		return errors.New("a NUL byte in the user id")
	}
	return nil
}
