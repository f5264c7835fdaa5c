package passhash

// MaxFileSize is how many bytes a password file may have: more than half a million users with
// hashes.
const MaxFileSize = 64 << 20

// SplitLine parts a line of a password file, with or without its ending (LF or CRLF), at the first
// = or :. The separator is that character, name is what stands before it and password what stands
// behind it, a hash perhaps. ok is false for a line without a user: IsBlank reports whether that is
// meant.
func SplitLine[T string | []byte](line T) (name, password T, separator byte, ok bool) {
	line = trimEnding(line)
	if holdsNothing(line) {
		return name, password, 0, false
	}
	for i := range len(line) {
		if c := line[i]; c == '=' || c == ':' {
			return line[:i], line[i+1:], c, true
		}
	}
	return name, password, 0, false
}

// IsBlank reports whether a line of a password file, with or without its ending, is empty or a
// comment, which begins with #.
func IsBlank[T string | []byte](line T) bool {
	return holdsNothing(trimEnding(line))
}

func holdsNothing[T string | []byte](line T) bool { return len(line) == 0 || line[0] == '#' }

func trimEnding[T string | []byte](line T) T {
	if n := len(line); n > 0 && line[n-1] == '\n' {
		line = line[:n-1]
	}
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	return line
}
