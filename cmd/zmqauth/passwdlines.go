package main

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/zmqauth/zmqauth/internal/passhash"
)

// isUser tells whether a line of a password file is about a user.
func isUser(line []byte, user string) bool {
	name, _, _, ok := passhash.SplitLine(line)
	return ok && string(name) == user
}

// lineOf returns the number, from 1, of the line that is in force for a user. That is the last of
// several lines. It is 0 if there is none.
func lineOf(content []byte, user string) (line int) {
	number := 0
	for text := range bytes.Lines(content) {
		if number++; isUser(text, user) {
			line = number
		}
	}
	return line
}

// setUser returns the content of a password file with a new hash for a user. The hash replaces the
// line in force, or is added at the end. Other lines of the user are removed: they would come into
// force when that line is deleted.
func setUser(content []byte, user, hash string) []byte {
	entry := user + ":" + hash
	lines := slices.Collect(bytes.Lines(content))
	last := -1
	for i, line := range lines {
		if isUser(line, user) {
			last = i
		}
	}
	var out []byte
	for i, line := range lines {
		switch {
		case i == last:
			out = append(append(out, entry...), ending(line)...)
		case !isUser(line, user):
			out = append(out, line...)
		}
	}
	if last >= 0 {
		return out
	}
	newline := []byte("\n")
	if len(lines) > 0 {
		if end := ending(lines[0]); len(end) > 0 {
			newline = end // CRLF if the other lines have it
		}
		if len(ending(lines[len(lines)-1])) == 0 {
			out = append(out, newline...)
		}
	}
	return append(append(out, entry...), newline...)
}

// deleteUser returns the content of a password file without a user.
func deleteUser(content []byte, user string) ([]byte, error) {
	var out []byte
	found := false
	for line := range bytes.Lines(content) {
		if isUser(line, user) {
			found = true
		} else {
			out = append(out, line...)
		}
	}
	if !found {
		return nil, fmt.Errorf("there is no user %q", user)
	}
	return out, nil
}

// ending returns the ending of a line: LF, CRLF or nothing.
func ending(line []byte) []byte {
	if bytes.HasSuffix(line, []byte("\r\n")) {
		return line[len(line)-2:]
	}
	if bytes.HasSuffix(line, []byte("\n")) {
		return line[len(line)-1:]
	}
	return nil
}
