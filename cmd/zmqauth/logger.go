package main

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// logOptions are the flags of the commands that run until they are ended, and log on stderr.
type logOptions struct {
	format string
	quiet  bool
}

// addLog gives a command the flags.
func (o *logOptions) addLog(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.format, "log-format", "text", "text or json")
	cmd.Flags().BoolVar(&o.quiet, "quiet", false, "do not log acceptances")
	completeFlag(cmd, "log-format", "text", "json")
}

// logger checks the flags and returns the logger that they describe. flush is called at the end.
func (o logOptions) logger() (log *slog.Logger, flush func(), err error) {
	options := &slog.HandlerOptions{Level: slog.LevelDebug}
	if o.quiet {
		options.Level = slog.LevelInfo
	}
	handler, ok := map[string]func(io.Writer) slog.Handler{
		"text": func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, options) },
		"json": func(w io.Writer) slog.Handler { return slog.NewJSONHandler(jsonWriter{w}, options) },
	}[o.format]
	if !ok {
		return nil, nil, usagef("--log-format %q: text or json", o.format)
	}
	stderr := newPatientWriter(os.Stderr, func(count int) []byte {
		var line bytes.Buffer
		slog.New(handler(&line)).Warn("zmqauth: lines of the log were left out", "lines", count)
		return line.Bytes()
	})
	return slog.New(handler(stderr)), stderr.flush, nil
}

// reloads returns a channel that receives SIGHUP, which would end the process otherwise. stop ends
// that. The end of the log's reader, which SIGPIPE tells, is no reason to end either.
func reloads() (reload <-chan os.Signal, stop func()) {
	signal.Ignore(syscall.SIGPIPE)
	received := make(chan os.Signal, 1)
	signal.Notify(received, syscall.SIGHUP)
	return received, func() { signal.Stop(received) }
}
