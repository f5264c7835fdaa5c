package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/zmqauth/zmqauth/internal/files"
	"github.com/zmqauth/zmqauth/internal/passhash"
	"github.com/zmqauth/zmqauth/internal/passwd"
)

// passwordFile is a password file as a server reads it.
type passwordFile struct {
	content []byte
	users   map[string]*passwd.User[struct{}] // those in force
	broken  []passwd.Problem
	refused error // why a server of this user would not use the file; nil: it would
}

// loadPasswords reads a password file. The caller clears its content.
func loadPasswords(path string) (*passwordFile, error) {
	content, stamp, err := readPasswords(path, false)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, files.Bare(err))
	}
	f := &passwordFile{content: content}
	var inClear int
	f.users, f.broken, inClear, err = passwd.ParseFile(content, passwd.MaxUsers, struct{}{})
	if many, ok := errors.AsType[*passwd.TooManyError](err); ok {
		clear(content)
		return nil, fmt.Errorf("%s:%d: %w", path, many.Line, err)
	}
	if err := stamp.Check(path); err != nil {
		f.refused = fmt.Errorf("%s: %w", path, err)
	} else if err := stamp.CheckSecret(path); err != nil && inClear > 0 {
		f.refused = fmt.Errorf("%s:%d: a password in clear: %w", path, inClear, err)
	}
	return f, nil
}

// checkInForce checks that a server which reads the content of a password file would know a user.
func checkInForce(content []byte, user string) error {
	if len(content) > passhash.MaxFileSize {
		return fmt.Errorf("with user %q it would have more than the %d bytes that a server reads",
			user, passhash.MaxFileSize)
	}
	users, _, _, err := passwd.ParseFile(content, passwd.MaxUsers, struct{}{})
	if err != nil {
		return fmt.Errorf("with user %q it would have %w", user, err)
	}
	if users[user] == nil {
		return fmt.Errorf("a server would not accept the line of user %q", user)
	}
	return nil
}

// userInfo is what passwd --list shows of a user. It has neither a password nor a hash.
type userInfo struct {
	Line       int    `json:"line"`
	User       string `json:"user"`
	Kind       string `json:"kind"` // "argon2id", "bcrypt" or "clear"
	Parameters string `json:"parameters,omitempty"`
}

// kindClear is the kind of a password that is no hash.
const kindClear = "clear"

// brokenInfo is what passwd --list shows of a broken line.
type brokenInfo struct {
	Line    int    `json:"line"`
	Problem string `json:"problem"`
}

// list describes the users in force, in the order of their lines.
func (f *passwordFile) list() []userInfo {
	lines := make(map[string]userInfo, len(f.users))
	number := 0
	for line := range bytes.Lines(f.content) {
		number++
		name, password, separator, ok := passhash.SplitLine(line)
		if !ok || f.users[string(name)] == nil {
			continue
		}
		info := userInfo{Line: number, User: string(name), Kind: kindClear}
		text := string(password)
		if separator == ':' {
			text, _, _ = strings.Cut(text, ":")
		}
		if hash, _, _ := passhash.Parse(text); hash != nil {
			info.Kind, info.Parameters = hash.Kind(), hash.Parameters()
		}
		lines[info.User] = info // the last line of a user is in force
	}
	users := make([]userInfo, 0, len(lines))
	for _, info := range lines {
		users = append(users, info)
	}
	slices.SortFunc(users, func(a, b userInfo) int { return cmp.Compare(a.Line, b.Line) })
	return users
}

// listPasswords shows the users of a password file and its broken lines.
func listPasswords(out output, path string) error {
	f, err := loadPasswords(path)
	if err != nil {
		return err
	}
	defer clear(f.content)
	users, broken := f.list(), make([]brokenInfo, 0, len(f.broken))
	count := 0
	for _, p := range f.broken {
		broken = append(broken, brokenInfo{p.Line, p.Err.Error()})
		count += 1 + p.More
	}
	if err := printUsers(out, users, broken, f.refused); err != nil {
		return err
	}
	if count > 0 {
		err = fmt.Errorf("%s: broken lines: %d", path, count)
	}
	return errors.Join(f.refused, err)
}

func printUsers(out output, users []userInfo, broken []brokenInfo, refused error) error {
	if out.json {
		list := struct {
			Users   []userInfo   `json:"users"`
			Broken  []brokenInfo `json:"broken"`
			Problem string       `json:"problem,omitempty"` // of the file
		}{users, broken, ""}
		if refused != nil {
			list.Problem = refused.Error()
		}
		return out.printJSON(list)
	}
	type row struct {
		line  int
		cells []string
	}
	var rows []row
	for _, u := range users {
		rows = append(rows, row{u.Line, []string{fmt.Sprint(u.Line), u.User, u.Kind, u.Parameters, ""}})
	}
	for _, b := range broken {
		rows = append(rows, row{b.Line, []string{fmt.Sprint(b.Line), "", "", "", b.Problem}})
	}
	slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(a.line, b.line) })
	cells := make([][]string, len(rows))
	for i, r := range rows {
		cells[i] = r.cells
	}
	header := []string{"LINE", "USER", "KIND", "PARAMETERS", "PROBLEM"}
	return out.table(header, cells, func(i int) bool { return cells[i][4] != "" })
}

// verifyPassword asks for a password and tells whether it is that of a user. As in a server, a
// wrong password and an unknown user take the same time.
func verifyPassword(cmd *cobra.Command, path, user string) error {
	f, err := loadPasswords(path)
	if err != nil {
		return err
	}
	clear(f.content)
	if f.refused != nil {
		return f.refused
	}
	password, err := readSecret(cmd.Context(), askFor(user))
	if err != nil {
		return err
	}
	if err := passhash.CheckPassword(password); err != nil {
		return err
	}
	users := passwd.NewTable(len(f.users), maps.All(f.users))
	_, isRight, attempt := users.Check([]byte(user), []byte(password))
	if !isRight && attempt != nil {
		isRight = attempt.Matches([]byte(password))
	}
	if err := printVerified(newOutput(cmd), user, isRight); err != nil {
		return err
	}
	if !isRight {
		return errNo
	}
	return nil
}

func printVerified(out output, user string, isRight bool) (err error) {
	switch {
	case out.json:
		return out.printJSON(struct {
			User  string `json:"user"`
			Right bool   `json:"right"`
		}{user, isRight})
	case isRight:
		_, err = fmt.Fprintln(out.w, "right")
	default:
		_, err = fmt.Fprintln(out.w, "wrong user or password")
	}
	return err
}
