package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

func newList() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list DIR",
		Short: "List the certificates of a directory and their problems",
		Long: "list shows each certificate of a directory with its key, its metadata, the time in\n" +
			"which it is valid, and its problems. A problem is a file that cannot be read or that\n" +
			"others can write, a secret key that others can read, a key that another file has as well,\n" +
			"or a certificate that has expired. The exit code is 1 if there are any problems.",
		Args: cobra.ExactArgs(1),
		RunE: action(func(cmd *cobra.Command, args []string) error {
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
		problems := strings.Join(c.Problems, "; ")
		row := []string{c.File, c.Kind, c.Key, c.validity(), c.metadataText(), problems}
		rows = append(rows, row)
	}
	header := []string{"NAME", "KIND", "KEY", "VALIDITY", "METADATA", "PROBLEMS"}
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
