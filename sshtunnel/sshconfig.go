package sshtunnel

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
)

// This package does not use kevinburke/ssh_config. Version 1.6.0 takes "Match host a user b" for
// three hosts and "Host a<TAB>b" for one. It cuts off a file name at a #, its ? may match nothing,
// and it cannot say in which of the included files an error is. A test compares the result of this
// package with ssh -G.

// systemConfig is the file that ssh reads after the user's.
const systemConfig = "/etc/ssh/ssh_config"

// configReader reads ssh_config files for one host.
type configReader struct {
	ctx       context.Context
	given     string // the host as it was given
	user      string // as it was given; "": not given
	localUser string
	home      string
	system    string // the system's file
	run       func(ctx context.Context, command string) (bool, error)
	lookup    lookup

	// ssh reads the files a second time if they ask for it with "Match final", or if the host is
	// canonicalised. Then Host and Match see the name that will be dialled.
	name      string // what Host patterns match: the host as given, in the second pass as dialled
	final     bool   // this is the second pass
	wantFinal bool   // the files ask for it
	found     settings
}

// configuration is what ssh_config files say about a host.
type configuration struct {
	settings
	host string // to dial
	own  bool   // from the default files, which the program has not named
}

// readConfig reads the file of Config.ConfigFile, or the default files.
func readConfig(ctx context.Context, configFile, host, user string) (*configuration, error) {
	local, home := localUser()
	r := &configReader{
		ctx: ctx, given: host, user: user, localUser: local, home: home,
		system: systemConfig, run: runInShell, lookup: lookupHost,
	}
	return r.readAll(configFile)
}

// readAll reads the files once or twice, and finds the name to dial.
func (r *configReader) readAll(configFile string) (*configuration, error) {
	r.name, r.found = r.given, settings{}
	if err := r.readFiles(configFile); err != nil {
		return nil, err
	}
	host, err := r.hostName()
	if err == nil {
		host, err = r.canonical(host)
	}
	if err != nil {
		return nil, err
	}
	if r.wantFinal || r.found.yes("canonicalizehostname", false) {
		r.name, r.final = host, true
		if err := r.readFiles(configFile); err != nil {
			return nil, err
		}
	}
	return &configuration{settings: r.found, host: host, own: configFile == ""}, nil
}

// readFiles reads all files. As with ssh -F, a file that is named is the only one.
func (r *configReader) readFiles(configFile string) error {
	switch configFile {
	case "none":
		return nil
	case "":
		files := []source{{file: r.system, system: true, active: true}}
		if r.home != "" {
			own := source{file: filepath.Join(r.home, ".ssh", "config"), active: true}
			files = []source{own, files[0]}
		}
		for _, from := range files {
			if err := r.read(from); err != nil && !isMissing(err, from.file) {
				return err
			}
		}
		return nil
	default:
		path, err := expandHome(configFile, r.home)
		if err != nil {
			return fmt.Errorf("sshtunnel: Config.ConfigFile: %w", err)
		}
		return r.read(source{file: path, active: true})
	}
}

// source is a file that is read.
type source struct {
	file   string
	depth  int  // how many files it is included by
	system bool // it is the system's, or included by that
	active bool // it applies up to its first Host or Match
	parse  bool // it is included by a part that does not apply, so it is only checked
}

// isMissing reports whether err is that the file itself does not exist.
func isMissing(err error, file string) bool {
	var fault *FileError
	return errors.As(err, &fault) && fault.File == file && fault.Line == 0 &&
		errors.Is(err, fs.ErrNotExist)
}

func (r *configReader) read(from source) error {
	data, err := readTextFile(from.file, maxConfigFile)
	if err != nil {
		return err
	}
	return r.parse(from, string(data))
}

// parse reads the lines of one file. Like ssh, it checks lines that do not apply, too.
func (r *configReader) parse(from source, text string) error {
	active := from.active
	for i, line := range strings.Split(text, "\n") {
		d := directive{file: from.file, line: i + 1, system: from.system}
		d.keyword, d.text = splitKeyword(line)
		if d.keyword == "" {
			continue
		}
		if err := r.obey(d, from, &active); err != nil {
			return err
		}
	}
	return nil
}

// obey does what one line says. active tells whether the part of the file that it is in applies.
func (r *configReader) obey(d directive, from source, active *bool) (err error) {
	name := strings.ToLower(d.keyword)
	if old, ok := oldNames[name]; ok {
		name = old
	}
	known, ok := keywordNamed(name)
	special := name == "host" || name == "match" || name == "include"
	if d.text == "" {
		return d.errorf("there is nothing behind it: %s", visible(d.keyword))
	}
	if !ok && !special {
		if matchList(name, strings.Split(strings.ToLower(r.found.word("ignoreunknown")), ",")) {
			_, err := splitWords(d.text)
			return d.wrap(err)
		}
		return d.errorf("ssh has no setting %s", visible(d.keyword))
	}
	if d.words, err = splitWords(d.text); err != nil {
		return d.wrap(err)
	}
	if len(d.words) == 0 {
		return d.errorf("there is nothing behind it: %s", d.keyword)
	}
	if name != "match" && !slices.Contains(commands, name) && slices.Contains(d.words, "") {
		return d.errorf("%s: an empty value", d.keyword)
	}
	switch name {
	case "host":
		*active = !from.parse && matchList(r.name, d.words)
	case "match":
		applies, err := r.match(d)
		*active = applies && !from.parse
		return err
	case "include":
		from.active, from.parse = *active, !*active
		return r.include(d, from)
	default:
		if err := known.check(d.words); err != nil {
			return d.errorf("%s: %w", d.keyword, err)
		}
		if *active {
			r.found.add(name, d)
		}
	}
	return nil
}

func (d directive) wrap(err error) error {
	if err == nil {
		return nil
	}
	return d.errorf("%s: %w", d.keyword, err)
}

// visible returns a word for an error. It is quoted if it has a character that nobody sees, such as
// a no-break space.
func visible(word string) string {
	for _, c := range word {
		if c == unicode.ReplacementChar || !unicode.IsGraphic(c) || unicode.IsSpace(c) {
			return fmt.Sprintf("%+q (there is a character in it that cannot be seen)", word)
		}
	}
	return word
}
