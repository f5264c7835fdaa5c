package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/zmqauth/zmqauth/internal/files"
)

func newList() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list DIR",
		Short: "List the certificates of a directory and their problems",
		Long: "list shows each certificate of a directory with its key, the key's fingerprint, its\n" +
			"metadata, the time in which it is valid, and its problems. A problem is a file that cannot\n" +
			"be read or that others can write, a secret key that others can read, a key that another\n" +
			"file has as well, or a certificate that has expired. The directory itself is listed if\n" +
			"others can write it: a server refuses it then. The exit code is 1 if there are any\n" +
			"problems.\n\n" + fingerprintHelp,
		Args: cobra.ExactArgs(1),
		RunE: action(func(cmd *cobra.Command, args []string) error {
			certificates, err := readDirectory(args[0])
			if err != nil {
				return err
			}
			shown := certificates
			untrusted := checkTrust(args[0])
			if untrusted != nil {
				itself := certificateInfo{
					File: ".", Kind: kindDirectory, Problems: []string{untrusted.Error()},
				}
				shown = append([]certificateInfo{itself}, certificates...)
				untrusted = fmt.Errorf("%s: %w", args[0], untrusted)
			}
			if err := printList(newOutput(cmd), shown); err != nil {
				return err
			}
			return errors.Join(untrusted, countProblems(args[0], certificates))
		}),
		ValidArgsFunction: completeFirst(cobra.ShellCompDirectiveFilterDirs),
	}
	addJSON(cmd)
	return cmd
}

// checkTrust tells why a server of this user would not use a directory of certificates.
func checkTrust(dir string) error {
	stamp, err := files.StampOf(dir)
	if err != nil {
		return files.Bare(err)
	}
	return stamp.Check(dir)
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
		problems := strings.Join(c.Problems, "; ")
		row := []string{
			c.File, c.Kind, c.Key, c.Fingerprint, c.validity(), c.metadataText(), problems,
		}
		rows = append(rows, row)
	}
	header := []string{"NAME", "KIND", "KEY", "FINGERPRINT", "VALIDITY", "METADATA", "PROBLEMS"}
	return out.table(header, rows, func(row int) bool { return len(certificates[row].Problems) > 0 })
}

// countProblems returns an error if there are certificates with problems.
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
