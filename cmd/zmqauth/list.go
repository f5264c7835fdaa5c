package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/zmqauth/zmqauth"
)

func newList() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list DIR",
		Short: "List the certificates of a directory, and what is wrong with them",
		Long: "list shows each certificate of a directory: its key, its metadata, the time in which it\n" +
			"is valid, and what is wrong with it: a file that cannot be read, a file that others can write,\n" +
			"a secret key that others can reach, a key that another file has already, a time that is over.\n" +
			"Where there is anything wrong, the exit code is 1.",
		Args: cobra.ExactArgs(1),
		RunE: does(func(cmd *cobra.Command, args []string) error {
			certificates, err := readDirectory(args[0])
			if err != nil {
				return err
			}
			if err := printList(newOutput(cmd), certificates); err != nil {
				return err
			}
			return countProblems(args[0], certificates)
		}),
		ValidArgsFunction: completeFirst(cobra.ShellCompDirectiveFilterDirs),
	}
	addJSON(cmd)
	return cmd
}

func printList(out output, certificates []certificateInfo) error {
	if out.json {
		if certificates == nil {
			certificates = []certificateInfo{}
		}
		return out.printJSON(certificates)
	}
	var rows [][]string
	for _, c := range certificates {
		rows = append(rows, []string{c.File, c.Kind, c.Key, c.validity(), c.metadataText(), strings.Join(c.Problems, "; ")})
	}
	header := []string{"NAME", "KIND", "KEY", "VALIDITY", "METADATA", "PROBLEMS"}
	return out.table(header, rows, func(row int) bool { return len(certificates[row].Problems) > 0 })
}

func countProblems(dir string, certificates []certificateInfo) error {
	count := 0
	for _, c := range certificates {
		if len(c.Problems) > 0 {
			count++
		}
	}
	if count > 0 {
		return fmt.Errorf("%s: %d of %d certificates have problems", dir, count, len(certificates))
	}
	return nil
}

const secretSuffix = "_secret"

// readDirectory describes the certificates of a directory in the order of their names: the files
// that a server reads, as LoadCertificates does, and the secret ones beside them.
func readDirectory(dir string) ([]certificateInfo, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, cause(err))
	}
	var certificates []certificateInfo
	first := make(map[[2]string]string) // the file that has a key first, by kind and key
	for _, entry := range entries {
		name := entry.Name()
		if entry.IsDir() || name[0] == '.' || strings.HasSuffix(name, "~") || name[0] == '#' && strings.HasSuffix(name, "#") {
			continue
		}
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.IsDir() { // behind a symbolic link
			continue
		}
		info := examine(path, name)
		if info.Key != "" {
			place := [2]string{info.Kind, info.Key}
			if other, ok := first[place]; ok {
				info.Problems = append(info.Problems, "the same key as "+other)
			} else {
				first[place] = name
			}
		}
		certificates = append(certificates, info)
	}
	return certificates, nil
}

// examine describes one file. Where there is no good certificate in it, that is its problem.
func examine(path, name string) certificateInfo {
	kind := kindPublic
	if strings.HasSuffix(name, secretSuffix) {
		kind = kindSecret
	}
	cert, err := zmqauth.LoadCertificate(path)
	if err != nil {
		return certificateInfo{File: name, Kind: kind, Problems: []string{problem(err)}}
	}
	info := describe(name, cert)
	if info.Kind != kind {
		info.Problems = append(info.Problems, map[string]string{
			kindPublic: "a secret key in a file that is named like a public certificate",
			kindSecret: "no secret key in a file that is named like a secret certificate",
		}[kind])
		info.Kind = kind
	}
	return info
}

// problem is an error without the library's prefix and the file's name, which stand before it.
func problem(err error) string {
	var fileErr *zmqauth.FileError
	if !errors.As(err, &fileErr) {
		return strings.TrimPrefix(err.Error(), prefix)
	}
	if fileErr.Line > 0 {
		return fmt.Sprintf("line %d: %v", fileErr.Line, fileErr.Err)
	}
	return fileErr.Err.Error()
}

// cause is what is wrong, without the operation and the path that package os adds.
func cause(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}
