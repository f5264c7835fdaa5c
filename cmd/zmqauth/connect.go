package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/pebbe/zmq4"
	"github.com/spf13/cobra"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/proxy"
)

// connection is what connect dials with.
type connection struct {
	cert, serverKey    string // CURVE
	username           string // PLAIN
	service, principal string // GSSAPI
	socketType         string
	timeout            time.Duration
}

// socketTypes are the types that connect offers. Each speaks to some types of servers only.
var socketTypes = map[string]zmq4.Type{
	"dealer": zmq4.DEALER, "req": zmq4.REQ, "router": zmq4.ROUTER, "pair": zmq4.PAIR,
	"push": zmq4.PUSH, "pull": zmq4.PULL, "pub": zmq4.PUB, "sub": zmq4.SUB,
}

func newConnect() *cobra.Command {
	var c connection
	names := slices.Sorted(maps.Keys(socketTypes))
	cmd := &cobra.Command{
		Use:   "connect ENDPOINT [--cert FILE --server-key KEY | --username USER | --service SERVICE@HOST]",
		Short: "Try to get into a server, and say why not",
		Long: "connect tries to get into a server: with a CURVE certificate, with a PLAIN user name, whose password it asks for on the\n" +
			"terminal or reads from stdin, with a Kerberos ticket for a service, or without any of these with NULL. It sends no\n" +
			"messages. The exit code is 0 where the server has accepted.\n\n" +
			"A server refuses clients of a socket type that does not go with its own: --type is dealer for servers of type\n" +
			"ROUTER, REP and DEALER, push for PULL, sub for PUB and XPUB, pub for SUB and XSUB, pull for PUSH.",
		Example:           "  zmqauth connect tcp://127.0.0.1:5555 --cert keys/ann.key_secret --server-key keys/server.key",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: does(func(cmd *cobra.Command, args []string) error {
			kind, ok := socketTypes[c.socketType]
			if !ok {
				return usagef("--type %q: none of %s", c.socketType, strings.Join(names, ", "))
			}
			if err := errors.Join(checkEndpoint(args[0]), checkTimeout(c.timeout), checkEmpty(cmd)); err != nil {
				return err
			}
			role, mechanism, err := c.role(cmd.Context())
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), c.timeout)
			defer cancel()
			if err := dial(ctx, args[0], kind, role); err != nil {
				return err
			}
			_, err = fmt.Fprintf(os.Stdout, "accepted, with %s\n", mechanism)
			return err
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&c.cert, "cert", "", "secret certificate of this client (CURVE)")
	flags.StringVar(&c.serverKey, "server-key", "", "the server's public key in Z85, or a certificate that has it (CURVE)")
	flags.StringVar(&c.username, "username", "", "user name (PLAIN)")
	flags.StringVar(&c.service, "service", "", "the server's Kerberos service, host-based (GSSAPI)")
	flags.StringVar(&c.principal, "principal", "", "this client's principal, host-based; without it the default of the ticket cache (GSSAPI)")
	flags.StringVar(&c.socketType, "type", "dealer", "type of this client's socket: "+strings.Join(names, ", "))
	flags.DurationVar(&c.timeout, "timeout", dialTime, "how long to wait for an answer")
	_ = cmd.RegisterFlagCompletionFunc("type", cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// checkEmpty finds flags with an empty value, as a variable of a script may have: without them the
// client would be another.
func checkEmpty(cmd *cobra.Command) error {
	for _, flag := range []string{"cert", "server-key", "username", "service", "principal"} {
		if cmd.Flags().Changed(flag) && cmd.Flags().Lookup(flag).Value.String() == "" {
			return usagef("--%s is empty", flag)
		}
	}
	return nil
}

// checkEndpoint finds what nobody can connect to from another process.
func checkEndpoint(endpoint string) error {
	transport, address, ok := strings.Cut(endpoint, "://")
	switch {
	case !ok, address == "", transport == "tcp" && !strings.Contains(address, ":"):
		return usagef("%q: not tcp://HOST:PORT or ipc://PATH", endpoint)
	case transport == "inproc":
		return usagef("%s: inproc is for one process alone", endpoint)
	}
	return nil
}

func checkTimeout(timeout time.Duration) error {
	if timeout <= 0 {
		return usagef("--timeout %v: no time at all", timeout)
	}
	return nil
}

// role is what makes a socket the client that the flags describe.
func (c connection) role(ctx context.Context) (role func(*zmq4.Socket) error, mechanism string, err error) {
	curve, plain, gssapi := c.cert != "" || c.serverKey != "", c.username != "", c.service != "" || c.principal != ""
	switch {
	case curve && plain || curve && gssapi || plain && gssapi:
		return nil, "", usagef("flags of more than one mechanism")
	case curve && (c.cert == "" || c.serverKey == ""):
		return nil, "", usagef("--cert and --server-key go together")
	case gssapi && c.service == "":
		return nil, "", usagef("--principal goes with --service")
	case curve:
		cert, err := proxy.LoadSecret(c.cert)
		if err != nil {
			return nil, "", err
		}
		server, err := keyFrom(c.serverKey)
		return func(s *zmq4.Socket) error { return zmqauth.CurveClient(s, server, cert) }, "CURVE", err
	case plain:
		password, err := readSecret(ctx, "Password of "+printable(c.username)+": ")
		return func(s *zmq4.Socket) error { return zmqauth.PlainClient(s, c.username, password) }, "PLAIN", err
	case gssapi:
		return func(s *zmq4.Socket) error { return zmqauth.GSSAPIClient(s, c.principal, c.service) }, "GSSAPI", nil
	}
	return func(*zmq4.Socket) error { return nil }, "NULL", nil
}

// dial makes one attempt.
func dial(ctx context.Context, endpoint string, kind zmq4.Type, role func(*zmq4.Socket) error) (err error) {
	zctx, err := zmq4.NewContext()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, zctx.Term()) }()
	socket, err := zctx.NewSocket(kind)
	if err != nil {
		return err
	}
	defer socket.Close()
	if err := errors.Join(socket.SetLinger(0), socket.SetIpv6(strings.Contains(endpoint, "[")), role(socket)); err != nil {
		return err
	}
	return zmqauth.Connect(ctx, socket, endpoint)
}
