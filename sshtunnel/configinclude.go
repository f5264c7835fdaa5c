package sshtunnel

import (
	"path/filepath"
	"slices"
	"strings"
)

// maxIncludes is how deep files may include each other, as in ssh.
const maxIncludes = 16

// include reads the files that the patterns of a line match. from is the file with the line.
func (r *configReader) include(d directive, from source) error {
	for _, pattern := range d.words {
		if from.system && strings.HasPrefix(pattern, "~") {
			return d.errorf("%s: %q: there is no home directory in the system's file", d.keyword, pattern)
		}
		path, err := expandHome(pattern, r.home)
		if err != nil {
			continue // as if no file matched
		}
		switch {
		case filepath.IsAbs(path):
		case from.system:
			path = filepath.Join(filepath.Dir(r.system), path)
		default:
			path = filepath.Join(r.home, ".ssh", path)
		}
		files, err := glob(path)
		if err != nil {
			return d.errorf("%s: %q: %w", d.keyword, pattern, err)
		}
		for _, file := range files {
			if from.depth == maxIncludes {
				return d.errorf("%s: more than %d files deep; does one include itself?", d.keyword, maxIncludes)
			}
			included := from
			included.file, included.depth = file, from.depth+1
			if err := r.read(included); err != nil && !isMissing(err, file) {
				return err
			}
		}
	}
	return nil
}

// glob returns the files that match a pattern, sorted, as glob(3) does: a wildcard does not match
// the dot at the beginning of a name, and [!a] is any character but a.
func glob(pattern string) ([]string, error) {
	files, err := filepath.Glob(strings.ReplaceAll(pattern, "[!", "[^"))
	if err != nil {
		return nil, err
	}
	names := strings.Split(filepath.ToSlash(pattern), "/")
	files = slices.DeleteFunc(files, func(file string) bool {
		found := strings.Split(filepath.ToSlash(file), "/")
		if len(found) != len(names) {
			return false
		}
		for i, name := range found {
			if strings.HasPrefix(name, ".") && !strings.HasPrefix(names[i], ".") {
				return true
			}
		}
		return false
	})
	slices.Sort(files)
	return files, nil
}
