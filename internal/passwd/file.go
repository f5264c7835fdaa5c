package passwd

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/zmqauth/zmqauth/internal/passhash"
	"github.com/zmqauth/zmqauth/internal/pause"
)

// Limits of a password file. For its size see passhash.MaxFileSize.
const (
	MaxLine   = 1024    // bytes: twice what a name and a password take
	MaxUsers  = 1 << 20 // whose names and passwords are short
	MaxBroken = 100     // lines that are told one by one: a file with more is something else
)

// Problem is a line that is left out of a file.
type Problem struct {
	Line int // from 1
	Err  error
	More int // further broken lines behind it, which are not told one by one
}

// TooManyError says that a file has more users than it may.
type TooManyError struct {
	Line  int // where there is one too many
	Users int // how many there may be
}

// Error says how many are too many.
func (e *TooManyError) Error() string { return fmt.Sprintf("more than %d users", e.Users) }

// ParseFile reads the lines of a password file. Of two lines with one name the last counts. A
// broken line lets nobody in, and neither does an earlier one with the same name: whoever has
// broken it meant to change something. clear is the first line with a password in clear; 0: there
// is none. The one error is a *TooManyError.
func ParseFile[V any](data []byte, maxUsers int, value V) (
	users map[string]*User[V], problems []Problem, clear int, err error) {
	users = make(map[string]*User[V])
	number, more := 0, 0
	var pauses pause.Pauses
	for line := range bytes.Lines(data) {
		number++
		pauses.Step()
		name, u, isClear, err := parseLine(line, number, value)
		if name != "" {
			delete(users, name)
		}
		if u != nil {
			users[name] = u
		}
		if isClear && clear == 0 {
			clear = number
		}
		switch {
		case len(users) > maxUsers:
			return nil, nil, 0, &TooManyError{number, maxUsers}
		case err != nil && len(problems) < MaxBroken:
			problems = append(problems, Problem{Line: number, Err: err})
		case err != nil && more == 0:
			more = 1
			problems = append(problems, Problem{Line: number})
		case err != nil:
			more++
		}
	}
	if more > 0 {
		last := &problems[len(problems)-1]
		last.More = more - 1
		last.Err = fmt.Errorf("this line and %d more after it are broken, too", last.More)
	}
	return users, problems, clear, nil
}

// byteOrderMark is what some editors write at the beginning of a text in UTF-8.
const byteOrderMark = "\ufeff"

// parseLine reads a line of a file, with its ending. name is "" where the line is nobody's; u is
// nil where it is broken, or nobody's. isClear tells that it holds a password in clear, or perhaps
// does.
func parseLine[V any](line []byte, number int, value V) (
	name string, u *User[V], isClear bool, err error) {
	text := string(line)
	switch {
	case len(line) > MaxLine:
		name, _, _, _ := passhash.SplitLine(text)
		return name, nil, false, fmt.Errorf("longer than %d bytes", MaxLine)
	case number == 1 && strings.HasPrefix(text, byteOrderMark):
		name, _, _, _ := passhash.SplitLine(strings.TrimPrefix(text, byteOrderMark))
		return name, nil, true, errors.New(
			"the file begins with a byte order mark: save it without, as UTF-8")
	case strings.IndexByte(text, 0) >= 0:
		name, _, _, _ := passhash.SplitLine(text)
		return name, nil, true, errors.New("a NUL byte: save the file as UTF-8")
	case passhash.IsBlank(text):
		return "", nil, false, nil
	}
	name, password, separator, ok := passhash.SplitLine(text)
	if !ok { // it may be a password all the same
		return "", nil, true, errors.New("neither name=password nor name:hash")
	}
	name = strings.Clone(name) // the password is not to stay in memory with it
	if separator == ':' {
		password, _, _ = strings.Cut(password, ":") // htpasswd's lines may have further fields
	}
	_, recognised, err := passhash.Parse(password)
	foreign, isForeign := errors.AsType[*passhash.ForeignError](err)
	isClear = !recognised || isForeign && foreign.Clear
	if separator == ':' && !recognised {
		return name, nil, true, errors.New("after a : only a bcrypt or argon2id hash is valid")
	}
	u, err = NewUser(name, password, value)
	return name, u, isClear, err
}
