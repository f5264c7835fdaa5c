package sshtunnel

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

// This package does not use kevinburke/ssh_config. Version 1.6.0 takes "Match host a user b" for
// three hosts and "Host a<TAB>b" for one. It cuts off a file name at a #, its ? may match nothing,
// and it cannot say in which of the included files an error is. A test compares the result of this
// package with ssh -G.

// maxIncludes is how deep files may include each other, as in ssh.
const maxIncludes = 16

// configReader reads ssh_config files for one host.
type configReader struct {
	name      string // the host as it was given, which Host patterns match
	user      string // as it was given; "": not given
	localUser string
	home      string
	found     settings
}

// readConfig reads the file of Config.ConfigFile. own means that it is the user's default file,
// which the program has not named.
func readConfig(configFile, name, user string) (found settings, own bool, err error) {
	local, home := localUser()
	r := &configReader{name: name, user: user, localUser: local, home: home, found: settings{}}
	switch configFile {
	case "none":
		return r.found, false, nil
	case "":
		if home == "" {
			return r.found, true, nil
		}
		err := r.read(filepath.Join(home, ".ssh", "config"), 0)
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return r.found, true, err
	default:
		return r.found, false, r.read(expandHome(configFile, home), 0)
	}
}

func (r *configReader) read(path string, depth int) error {
	data, err := readTextFile(path, maxConfigFile)
	if err != nil {
		return err
	}
	return r.parse(path, string(data), depth)
}

// parse reads the lines of one file. A file is included only from a part that applies, so it begins
// as one.
func (r *configReader) parse(path, text string, depth int) error {
	active := true
	for i, line := range strings.Split(text, "\n") {
		keyword, rest := splitKeyword(line)
		if keyword == "" {
			continue
		}
		d := directive{file: path, line: i + 1}
		known := keyword == "host" || keyword == "match" || keyword == "include"
		if old, ok := oldNames[keyword]; ok {
			keyword = old
		}
		if _, ok := keywords[keyword]; !known && (!ok || !active) {
			continue
		}
		var err error
		if d.words, err = splitWords(rest); err != nil {
			return d.errorf("%w", err)
		}
		if len(d.words) == 0 {
			return d.errorf("%s: there is nothing behind it", keyword)
		}
		switch keyword {
		case "host":
			active = matchList(r.name, d.words)
		case "match":
			active, err = r.match(d)
		case "include":
			if active {
				err = r.include(d, depth)
			}
		default:
			err = r.set(keyword, d)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// set records a directive. The first one of a keyword counts.
func (r *configReader) set(keyword string, d directive) error {
	if keywords[keyword] == oneWord && len(d.words) != 1 {
		return d.errorf("%s: one value is wanted, there are %d", keyword, len(d.words))
	}
	if slices.Contains(d.words, "") {
		return d.errorf("%s: an empty value", keyword)
	}
	switch keyword {
	case "proxycommand":
		if r.found["proxyjump"] != nil {
			return nil
		}
	case "proxyjump":
		if r.found["proxycommand"] != nil {
			return nil
		}
	}
	if r.found[keyword] == nil || slices.Contains(repeatable, keyword) {
		r.found[keyword] = append(r.found[keyword], d)
	}
	return nil
}

// include reads the files that match the patterns. Relative patterns are in ~/.ssh.
func (r *configReader) include(d directive, depth int) error {
	if depth == maxIncludes {
		return d.errorf("include: more than %d files deep; does one include itself?", maxIncludes)
	}
	for _, pattern := range d.words {
		pattern = expandHome(pattern, r.home)
		if !filepath.IsAbs(pattern) {
			pattern = filepath.Join(r.home, ".ssh", pattern)
		}
		files, err := filepath.Glob(pattern)
		if err != nil {
			return d.errorf("include: %q: %w", pattern, err)
		}
		for _, file := range files {
			err := r.read(file, depth+1)
			var fault *FileError
			if errors.As(err, &fault) && fault.File == file && fault.Line == 0 &&
				errors.Is(err, fs.ErrNotExist) {
				continue // gone since it was listed
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// match reports whether the lines after a Match line apply. It evaluates the criteria from left to
// right. So an unsupported criterion is an error only if all criteria before it are true.
func (r *configReader) match(d directive) (bool, error) {
	words := d.words
	if strings.EqualFold(words[0], "all") {
		if len(words) != 1 {
			return false, d.errorf("match: all stands alone")
		}
		return true, nil
	}
	for len(words) > 0 {
		criterion, value, joined := strings.Cut(words[0], "=")
		words = words[1:]
		if !joined {
			if len(words) == 0 {
				return false, d.errorf("match: nothing behind %q", criterion)
			}
			value, words = words[0], words[1:]
		}
		criterion, negated := strings.CutPrefix(strings.ToLower(criterion), "!")
		subject, err := r.subject(criterion)
		if err != nil {
			return false, d.errorf("match: %w", err)
		}
		if matchList(subject, strings.Split(value, ",")) == negated {
			return false, nil
		}
	}
	return true, nil
}

// subject returns the value that a criterion of Match is compared with.
func (r *configReader) subject(criterion string) (string, error) {
	switch criterion {
	case "originalhost":
		return r.name, nil
	case "host":
		if set := r.found["hostname"]; set != nil {
			return expand(set[0].words[0], map[byte]string{'h': r.name})
		}
		return r.name, nil
	case "user":
		if r.user != "" {
			return r.user, nil
		}
		if set := r.found["user"]; set != nil {
			return set[0].words[0], nil
		}
		return r.localUser, nil
	case "localuser":
		return r.localUser, nil
	case "exec":
		return "", errors.New("exec would run a program, which this package never does; " +
			"describe the host in a file of its own and name it in Config.ConfigFile")
	default:
		return "", fmt.Errorf("%q is not supported; "+
			"describe the host in a file of its own and name it in Config.ConfigFile", criterion)
	}
}
