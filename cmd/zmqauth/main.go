// Command zmqauth makes and looks after the keys, passwords and policies of ZeroMQ servers, tells
// what a policy decides and what a server lets in, and puts an authenticated front before a service
// that has none.
//
// Errors go to stderr. The exit code is 1 for them, and for an answer that is no: a client that
// would be refused, a certificate with a problem, a port that lets strangers in. It is 2 for a
// command line that makes no sense.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
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
	context.AfterFunc(ctx, stop) // the second signal ends the process at once
	root := newRoot()
	root.SetArgs(args)
	command, err := root.ExecuteContextC(ctx)
	var failed *failure
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errNo):
		return exitFailure
	case errors.As(err, &failed):
		complain(failed.err)
		return exitFailure
	default:
		complain(err)
		fmt.Fprintf(os.Stderr, "usage: %s\n%s --help says more\n", usage(command), command.CommandPath())
		return exitUsage
	}
}

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
		Long: "zmqauth makes and looks after the keys, passwords and policies of ZeroMQ servers, tells what a policy decides\n" +
			"and what a server lets in, and puts an authenticated front before a service that has none.\n\n" +
			"The exit code is 1 for errors and for an answer that is no, 2 for a command line that makes no sense.",
		Args:          cobra.NoArgs, // an unknown command
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       version(),
	}
	root.AddCommand(newKeygen(), newList(), newShow(), newPubkey(), newPasswd(), newCheck(), newProbe(), newConnect(), newProxy(), newHealth())
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		switch cmd.Name() { // cobra's own take any argument
		case "help":
			cmd.Args = isCommand
		case "completion":
			cmd.RunE = root.RunE
		}
	}
	return root
}

// isCommand tells whether arguments are the words of a command.
func isCommand(cmd *cobra.Command, args []string) error {
	if _, rest, err := cmd.Root().Find(args); err != nil || len(rest) > 0 {
		return fmt.Errorf("unknown command %q", strings.Join(args, " "))
	}
	return nil
}

// completeFirst completes the first argument; the others are no files.
func completeFirst(directive cobra.ShellCompDirective) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return nil, directive
	}
}

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return info.Main.Version
}

// failure is an error of what a command does, as opposed to one of its command line.
type failure struct{ err error }

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// errNo is the answer no, which has been given already.
var errNo = errors.New("no")

// usageError is an error of the command line that only the command itself finds.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// does makes a command's function tell its failures from errors of the command line.
func does(act func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		err := act(cmd, args)
		var usage usageError
		if err == nil || errors.As(err, &usage) {
			return err
		}
		return &failure{err}
	}
}

const prefix = "zmqauth: " // of the library's errors, and of ours

// complain writes an error to stderr, each of its lines with the program's name, as the library's
// have it.
func complain(err error) {
	for line := range strings.Lines(err.Error()) {
		line = strings.TrimPrefix(strings.TrimSuffix(line, "\n"), prefix)
		fmt.Fprintf(os.Stderr, "%s%s\n", prefix, printable(line))
	}
}
