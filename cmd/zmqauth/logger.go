package main

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/zmqauth/zmqauth/admin"
	"github.com/zmqauth/zmqauth/internal/logs"
)

// logOptions are the flags of the commands that run until they are ended, and log on stderr or to
// the journal.
type logOptions struct {
	format string
	quiet  bool
	each   int // refusals of one address in a minute

	// What logger makes besides.
	level    *slog.LevelVar  // may be changed
	refusals *admin.Refusals // those of late
}

const (
	formatText    = "text"
	formatJSON    = "json"
	formatJournal = "journald"
	// defaultEach is how many refusals of one address are logged in a minute.
	defaultEach = 60
)

// addLog gives a command the flags.
func (o *logOptions) addLog(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&o.format, "log", formatText, "text or json on stderr, or journald")
	flags.StringVar(&o.format, "log-format", formatText, "the same as --log")
	_ = flags.MarkHidden("log-format") // the only error is an unknown flag
	flags.BoolVar(&o.quiet, "quiet", false, "do not log acceptances")
	flags.IntVar(&o.each, "log-limit", defaultEach,
		"refusals of one address in a minute that are logged; 0: all")
	completeFlag(cmd, "log", formatText, formatJSON, formatJournal)
}

// logger checks the flags and returns the logger that they describe. SIGUSR1 changes its level.
// flush is called at the end.
func (o *logOptions) logger() (log *slog.Logger, flush func(), err error) {
	if o.each < 0 {
		return nil, nil, usagef("--log-limit is negative")
	}
	o.level, o.refusals = new(slog.LevelVar), new(admin.Refusals)
	if !o.quiet {
		o.level.Set(slog.LevelDebug)
	}
	options := &slog.HandlerOptions{Level: o.level}
	handler, ok := map[string]func(io.Writer) slog.Handler{
		formatText: func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, options) },
		formatJSON: func(w io.Writer) slog.Handler {
			return slog.NewJSONHandler(jsonWriter{w}, options)
		},
		formatJournal: func(w io.Writer) slog.Handler { return logs.NewJournal(w, o.level) },
	}[o.format]
	if !ok {
		return nil, nil, usagef("--log %q: text, json or journald", o.format)
	}
	var to io.Writer = os.Stderr
	if o.format == formatJournal {
		if to, err = logs.JournalWriter(journalSocket()); err != nil {
			return nil, nil, err
		}
	}
	writer := newPatientWriter(to, func(count int) []byte {
		var line bytes.Buffer
		slog.New(handler(&line)).Warn("zmqauth: lines of the log were left out", "lines", count)
		return line.Bytes()
	})
	all, sum := handler(writer), func() {}
	if o.each > 0 {
		limited := logs.Limit(all, o.each)
		all, sum = limited, limited.Flush
	}
	log = slog.New(o.refusals.Handler(all))
	stop := o.changeLevels(log)
	return log, func() { stop(); sum(); writer.flush() }, nil
}

// journalVariable names an environment variable with another path of the journal's socket, for
// tests and for a journal of one's own.
const journalVariable = "ZMQAUTH_JOURNAL"

func journalSocket() string {
	if path := os.Getenv(journalVariable); path != "" {
		return path
	}
	return logs.JournalSocket
}

// changeLevels has SIGUSR1, which would end the process otherwise, log acceptances or not.
func (o *logOptions) changeLevels(log *slog.Logger) (stop func()) {
	received, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(received, syscall.SIGUSR1)
	go func() {
		for {
			select {
			case <-done:
				return
			case <-received:
				to := slog.LevelDebug
				if o.level.Level() <= slog.LevelDebug {
					to = slog.LevelInfo
				}
				o.level.Set(to)
				log.Info("zmqauth: another level of the log, by SIGUSR1", "level", to.String())
			}
		}
	}()
	return func() { signal.Stop(received); close(done) }
}

// reloads returns a channel that receives SIGHUP, which would end the process otherwise. stop ends
// that. The end of the log's reader, which SIGPIPE tells, is no reason to end either.
func reloads() (reload <-chan os.Signal, stop func()) {
	signal.Ignore(syscall.SIGPIPE)
	received := make(chan os.Signal, 1)
	signal.Notify(received, syscall.SIGHUP)
	return received, func() { signal.Stop(received) }
}
