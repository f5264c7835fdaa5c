// Command zmqauth-engine keeps the credentials of a fleet of servers: a nats-server with JetStream,
// set up for that and for nothing else. "zmqauth fleet init" makes its file.
//
//	zmqauth-engine fleet/engine-1.engine
//
// The exit code is 1 for an error, and 2 for an invalid command line.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/spf13/pflag"

	"github.com/zmqauth/zmqauth/internal/notify"
)

const (
	exitFailure = 1
	exitUsage   = 2
)

const usage = `usage: zmqauth-engine FILE.engine

zmqauth-engine runs an engine of a fleet, which keeps the credentials of many servers. The
file comes from "zmqauth fleet init". Beside it lies the list of members. When that changes, or
after SIGHUP, the engine reads it again, and ends the connections of who is no member any more.

The log goes to stderr. SIGTERM and SIGINT end the engine.

`

func main() { os.Exit(run(os.Args[1:], os.Stderr)) }

// linkedVersion is the version that a build without version control was told by the linker.
var linkedVersion string

// run executes one command line and returns the exit code.
func run(args []string, stderr io.Writer) int {
	flags := pflag.NewFlagSet("zmqauth-engine", pflag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprint(stderr, usage, flags.FlagUsages()) }
	format := flags.String("log-format", "text", "text or json")
	version := flags.Bool("version", false, "print the version")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			return 0
		}
		fmt.Fprintf(stderr, "zmqauth-engine: %v\n", err)
		flags.Usage()
		return exitUsage
	}
	if *version {
		fmt.Println("zmqauth-engine", programVersion(), "nats-server", server.VERSION)
		return 0
	}
	log := newLogger(*format, stderr)
	if flags.NArg() != 1 || log == nil {
		flags.Usage()
		return exitUsage
	}
	signal.Ignore(syscall.SIGPIPE) // the reader of the log may end
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // after that a second signal kills the process
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	if err := serve(ctx, flags.Arg(0), log, notify.New(log), reload); err != nil {
		fmt.Fprintln(stderr, "zmqauth-engine:", err)
		return exitFailure
	}
	return 0
}

// newLogger returns nil for a format that there is not.
func newLogger(format string, w io.Writer) *slog.Logger {
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, nil))
	case "json":
		return slog.New(slog.NewJSONHandler(w, nil))
	}
	return nil
}

func programVersion() string {
	if linkedVersion != "" {
		return linkedVersion
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
