package main

import (
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func newMan() *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "Write the manual pages of all commands to a directory",
		Long: "man writes a manual page for every command to a directory, for packages of the tool.\n" +
			"SOURCE_DATE_EPOCH is their date, in seconds since 1970; without it, today.",
		Example: "  zmqauth man /usr/share/man/man1",
		Args:    cobra.ExactArgs(1),
		Hidden:  true,
		RunE: action(func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			root := cmd.Root()
			root.DisableAutoGenTag = true
			for _, c := range root.Commands() {
				escape(c)
			}
			header := &doc.GenManHeader{Section: "1", Source: "zmqauth " + thisBuild().version,
				Manual: "zmqauth"}
			return doc.GenManTree(root, header, args[0])
		}),
		ValidArgsFunction: completeFirst(cobra.ShellCompDirectiveFilterDirs),
	}
}

// escape has a command's help, and those of its subcommands, stay as it is in what cobra takes for
// Markdown. Cobra's own help is Markdown.
func escape(cmd *cobra.Command) {
	if cmd.Name() == "completion" {
		return
	}
	cmd.Long = strings.NewReplacer("*", `\*`, "_", `\_`, "<", `\<`).Replace(cmd.Long)
	for _, c := range cmd.Commands() {
		escape(c)
	}
}
