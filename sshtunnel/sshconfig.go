package sshtunnel

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The files are read here and not with kevinburke/ssh_config, which (v1.6.0) takes "Match host a
// user b" for three hosts, does not see that "Host a<TAB>b" are two, cuts a file name off at a #,
// lets ? match nothing, and cannot say in which of the included files an error is. A test compares
// what comes out with ssh -G.

// directive is one line of an ssh_config that counts for the host asked about.
type directive struct {
	file  string
	line  int
	words []string // what follows the keyword; never empty
}

func (d directive) errorf(format string, args ...any) error {
	return &FileError{File: d.file, Line: d.line, Err: fmt.Errorf(format, args...)}
}

// settings are the directives that count, by keyword in lower case. All but those of severalTimes
// have one.
type settings map[string][]directive

// How many words the directives have that count here: one, or any number.
const (
	oneWord = iota
	manyWords
)

var keywords = map[string]int{
	"addressfamily": oneWord, "certificatefile": oneWord, "ciphers": oneWord, "connecttimeout": oneWord,
	"globalknownhostsfile": manyWords, "hashknownhosts": oneWord, "hostkeyalgorithms": oneWord, "hostkeyalias": oneWord,
	"hostname": oneWord, "identitiesonly": oneWord, "identityagent": oneWord, "identityfile": oneWord,
	"kbdinteractiveauthentication": oneWord, "kexalgorithms": oneWord, "macs": oneWord, "passwordauthentication": oneWord,
	"port": oneWord, "preferredauthentications": oneWord, "proxycommand": manyWords, "proxyjump": oneWord,
	"pubkeyauthentication": oneWord, "revokedhostkeys": oneWord, "serveralivecountmax": oneWord,
	"serveraliveinterval": oneWord, "stricthostkeychecking": oneWord, "user": oneWord, "userknownhostsfile": manyWords,
}

// Other names of the same, from older versions of ssh.
var oldNames = map[string]string{
	"challengeresponseauthentication": "kbdinteractiveauthentication",
	"skeyauthentication":              "kbdinteractiveauthentication",
	"dsaauthentication":               "pubkeyauthentication",
}

var severalTimes = []string{"identityfile", "certificatefile"}

// maxIncludes is how deep files may include each other, as in ssh.
const maxIncludes = 16

// configReader reads ssh_config files for one host.
type configReader struct {
	name      string // the host as it was given, which Host patterns are compared to
	user      string // as it was given; "": not
	localUser string
	home      string
	found     settings
}

// readConfig reads the file that the Config means. own tells that it is the user's, which nobody
// has named.
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
	data, err := readFile(path, maxConfigFile)
	if err != nil {
		return err
	}
	return r.parse(path, string(data), depth)
}

// parse takes the lines of one file. Where it is included, it is in a part that counts.
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

// set takes note of a directive: the first one counts.
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
	if r.found[keyword] == nil || slices.Contains(severalTimes, keyword) {
		r.found[keyword] = append(r.found[keyword], d)
	}
	return nil
}

// include reads the files that the patterns name: those without a directory are in ~/.ssh.
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
			if errors.As(err, &fault) && fault.File == file && fault.Line == 0 && errors.Is(err, fs.ErrNotExist) {
				continue // gone since it was listed
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// match tells whether what follows counts. Criteria hold from left to right, so that one that is
// not supported is an error only where those before it all hold.
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

// subject is what a criterion of Match is about.
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
		return "", errors.New("exec would run a program, which this package never does; describe the host in a file of its " +
			"own and name it in Config.ConfigFile")
	default:
		return "", fmt.Errorf("%q is not supported; describe the host in a file of its own and name it in Config.ConfigFile", criterion)
	}
}

// expand replaces %X by what X stands for, and %% by %.
func expand(text string, tokens map[byte]string) (string, error) {
	if !strings.Contains(text, "%") {
		return text, nil
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '%' {
			b.WriteByte(text[i])
			continue
		}
		i++
		switch {
		case i == len(text):
			return "", fmt.Errorf("%q ends with a %%", text)
		case text[i] == '%':
			b.WriteByte('%')
		default:
			value, ok := tokens[text[i]]
			if !ok {
				return "", fmt.Errorf("%q: %%%c is not known here", text, text[i])
			}
			b.WriteString(value)
		}
	}
	return b.String(), nil
}

// expandVariables replaces ${NAME} by the environment's value.
func expandVariables(text string) (string, error) {
	var b strings.Builder
	for {
		before, after, ok := strings.Cut(text, "${")
		b.WriteString(before)
		if !ok {
			return b.String(), nil
		}
		name, rest, ok := strings.Cut(after, "}")
		if !ok {
			return "", errors.New("a ${ without its end")
		}
		value, ok := os.LookupEnv(name)
		if !ok {
			return "", fmt.Errorf("the environment has no %s", name)
		}
		b.WriteString(value)
		text = rest
	}
}
