package passhash

// MaxFileSize is the size of the largest password file in bytes. It has room for more than half a
// million users with hashes.
const MaxFileSize = 64 << 20

// SplitLine splits a line of a password file at the first = or :, which is the separator. name is
// the part before it. password is the part after it, and may be a hash. The line may have its
// ending (LF or CRLF). ok is false for a line without a user; IsBlank tells whether that is an
// error.
func SplitLine[T string | []byte](line T) (name, password T, separator byte, ok bool) {
	line = trimEnding(line)
	if isBlank(line) {
		return name, password, 0, false
	}
	for i := range len(line) {
		if c := line[i]; c == '=' || c == ':' {
			return line[:i], line[i+1:], c, true
		}
	}
	return name, password, 0, false
}

// IsBlank reports whether a line of a password file is empty or a comment, which begins with #. The
// line may have its ending.
func IsBlank[T string | []byte](line T) bool { return isBlank(trimEnding(line)) }

// isBlank is IsBlank for a line without its ending.
func isBlank[T string | []byte](line T) bool { return len(line) == 0 || line[0] == '#' }

func trimEnding[T string | []byte](line T) T {
	if n := len(line); n > 0 && line[n-1] == '\n' {
		line = line[:n-1]
	}
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	return line
}
