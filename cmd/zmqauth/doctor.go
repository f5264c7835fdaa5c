package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/doctor"
	"github.com/zmqauth/zmqauth/internal/endpoint"
)

func newDoctor() *cobra.Command {
	var c connection
	var config string
	cmd := &cobra.Command{
		Use: "doctor ENDPOINT [--config FILE] [--cert FILE --server-key KEY | " +
			"--username USER | --service SERVICE@HOST]",
		Short: "Find what stands between a client and a server, step by step",
		Long: "doctor takes the way of a client to a server. It says of each step what it has seen\n" +
			"and what to try: the addresses of the name, the connection, what the port speaks, the\n" +
			"mechanism, the server's key, and whether the server accepts the client. The flags name\n" +
			"the client's credentials as those of connect do. With --config it says which frontend and\n" +
			"which line of a policy decide about the client.\n\n" +
			"It makes several connections. To a port that does not speak ZeroMQ it sends the\n" +
			"beginning of TLS and an HTTP request. It sends no messages. The exit code is 0 if nothing\n" +
			"stands in the way.",
		Example: "  zmqauth doctor tcp://127.0.0.1:5555 " +
			"--cert keys/ann.key_secret --server-key keys/server.key",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: action(func(cmd *cobra.Command, args []string) error {
			return c.diagnose(cmd, args[0], config)
		}),
	}
	c.addFlags(cmd)
	cmd.Flags().StringVar(&config, "config", "", "the policy of the server's proxy")
	addJSON(cmd)
	return cmd
}

// diagnose takes all steps, and shows them.
func (c *connection) diagnose(cmd *cobra.Command, text, config string) error {
	kind, err := c.check(cmd)
	if err := errors.Join(checkEndpoint(text), err); err != nil {
		return err
	}
	if cmd.Flags().Changed("config") && config == "" {
		return usagef("--config is empty")
	}
	at, err := parseEndpoint(text)
	if err != nil {
		return usagef("%s: %w", text, err)
	}
	role, mechanism, err := c.role(cmd.Context())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), c.timeout)
	defer cancel()
	report := doctor.Examine(ctx, at, doctor.Client{
		Mechanism: mechanism, ServerKey: c.server, Socket: strings.ToUpper(c.socketType),
		Enter: func(ctx context.Context) error { return dial(ctx, at.String(), kind, role) },
	})
	if err := cmd.Context().Err(); err != nil {
		return err
	}
	if config != "" {
		report.Steps = append(report.Steps, c.consult(cmd.Context(), config, at, mechanism, report)...)
	}
	if err := printReport(newOutput(cmd), text, report); err != nil {
		return err
	}
	if !report.Well() {
		return errNo
	}
	return nil
}

// parseEndpoint reads an endpoint to connect to. libzmq takes relative paths, too.
func parseEndpoint(text string) (endpoint.Endpoint, error) {
	path, isIPC := strings.CutPrefix(text, endpoint.IPC+"://")
	if isIPC && path != "" && path[0] != '/' && path[0] != '@' {
		absolute, err := filepath.Abs(path)
		if err != nil {
			return endpoint.Endpoint{}, err
		}
		text = endpoint.IPC + "://" + absolute
	}
	return endpoint.ParseConnect(text)
}

// printReport shows the steps: each with its result and what was seen, and below it what to try.
func printReport(out output, text string, report *doctor.Report) error {
	if out.json {
		return out.printJSON(struct {
			Endpoint string        `json:"endpoint"`
			Well     bool          `json:"well"`
			Steps    []doctor.Step `json:"steps"`
		}{text, report.Well(), report.Steps})
	}
	for _, step := range report.Steps {
		result := fmt.Sprintf("%-4s", step.Result)
		if step.Result == doctor.Bad {
			result = out.red(result)
		}
		_, err := fmt.Fprintf(out.w, "%-10s  %s  %s\n", step.Name, result, printable(step.Seen))
		if step.Try != "" && err == nil {
			_, err = fmt.Fprintf(out.w, "%-10s  try   %s\n", "", printable(step.Try))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// explainTime is how long connect and probe look for what is in the way, after they have failed.
const explainTime = 2 * time.Second

// explained is an error of an attempt to connect, in the words of doctor where nobody has accepted
// a connection in time. Where the server has cut the client off, doctor knows more.
func explained(ctx context.Context, text string, err error) error {
	refused, ok := errors.AsType[*zmqauth.HandshakeError](err)
	if ok && refused.Status == 0 {
		return fmt.Errorf("%w\ntry: zmqauth doctor, which finds out which of them it is", err)
	}
	if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
		return err
	}
	at, failed := parseEndpoint(text)
	if failed != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, explainTime)
	defer cancel()
	step := doctor.Unreached(ctx, at)
	if step == nil {
		return err
	}
	return fmt.Errorf("%s: nobody has accepted a connection: %s\ntry: %s", text, step.Seen, step.Try)
}
