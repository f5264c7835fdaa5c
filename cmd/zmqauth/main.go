// Command zmqauth makes and checks the keys, passwords and policies of ZeroMQ servers. It shows
// what a policy decides and which clients a server lets in. It puts an authenticated frontend
// before a service that has no authentication of its own.
//
// Errors go to stderr. The exit code is 1 for an error and for the answer no: a client that would
// be refused, a certificate with a problem, a port that lets strangers in. It is 2 for an invalid
// command line.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	_ "github.com/zmqauth/zmqauth/fastcurve" // for the proxy's handshakes
)

const (
	exitFailure = 1
	exitUsage   = 2
)

func main() { os.Exit(run(os.Args[1:])) }

// run executes one command line and returns the exit code.
func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // after that a second signal kills the process
	root := newRoot()
	root.SetArgs(args)
	command, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	if errors.Is(err, errNo) {
		return exitFailure
	}
	if failed, ok := errors.AsType[*failure](err); ok {
		printError(failed.err)
		return exitFailure
	}
	printError(err)
	path := command.CommandPath()
	fmt.Fprintf(os.Stderr, "usage: %s\n%s --help says more\n", usage(command), path)
	return exitUsage
}

// usage returns the line that shows how to use a command.
func usage(command *cobra.Command) string {
	if command.HasSubCommands() {
		return command.CommandPath() + " COMMAND"
	}
	return command.UseLine()
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "zmqauth",
		Short: "Authentication for ZeroMQ servers",
		Long: "zmqauth makes and checks the keys, passwords and policies of ZeroMQ servers. It shows\n" +
			"what a policy decides and which clients a server lets in. It puts an authenticated\n" +
			"frontend before a service that has no authentication of its own.\n\n" +
			"The exit code is 1 for an error and for the answer no, and 2 for an invalid command line.",
		Args:          cobra.NoArgs, // an argument would be an unknown command
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       thisBuild().version,
	}
	root.SetVersionTemplate(thisBuild().text())
	root.AddCommand(newKeygen(), newList(), newShow(), newPubkey(), newPasswd(), newCheck(),
		newProbe(), newDoctor(), newConnect(), newProxy(), newServe(), newSessions(), newKick(),
		newPending(), newApprove(), newDeny(), newStatus(), newTop(), newReload(), newLogLevel(),
		newTLSServe(), newTLSConnect(), newTunnel(), newHealth(), newFleet(), newMan(),
		newVersion())
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		switch cmd.Name() { // cobra's own commands accept any argument
		case "help":
			cmd.Args = isCommand
		case "completion":
			cmd.RunE = root.RunE
		}
	}
	return root
}

// isCommand returns an error if arguments are not the name of a command.
func isCommand(cmd *cobra.Command, args []string) error {
	if _, rest, err := cmd.Root().Find(args); err != nil || len(rest) > 0 {
		return fmt.Errorf("unknown command %q", strings.Join(args, " "))
	}
	return nil
}

// completeFirst completes the first argument of a command. The others are not files.
func completeFirst(directive cobra.ShellCompDirective) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return nil, directive
	}
}

// completeFlag completes a flag that has one of several values.
func completeFlag(cmd *cobra.Command, flag string, values ...string) {
	complete := cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)
	_ = cmd.RegisterFlagCompletionFunc(flag, complete) // the only error is an unknown flag
}
