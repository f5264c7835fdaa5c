package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pebbe/zmq4"
	"github.com/spf13/cobra"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/proxy"
)

// connection is the flags of connect.
type connection struct {
	cert, serverKey    string // CURVE
	username           string // PLAIN
	service, principal string // GSSAPI
	socketType         string
	timeout            time.Duration

	// What role has read.
	secret   *zmqauth.Certificate
	server   zmqauth.PublicKey
	password string
}

// socketTypes are the types of sockets that connect can use. Each fits only some types of servers.
var socketTypes = map[string]zmq4.Type{
	"dealer": zmq4.DEALER, "req": zmq4.REQ, "router": zmq4.ROUTER, "pair": zmq4.PAIR,
	"push": zmq4.PUSH, "pull": zmq4.PULL, "pub": zmq4.PUB, "sub": zmq4.SUB,
}

func newConnect() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use: "connect ENDPOINT [--cert FILE --server-key KEY | --username USER | " +
			"--service SERVICE@HOST]",
		Short: "Try to connect to a server, and say why it refuses",
		Long: "connect tries to get into a server: with a CURVE certificate, with a PLAIN user name,\n" +
			"with a Kerberos ticket for a service, or with NULL if no flag names a mechanism. It asks\n" +
			"for a password on the terminal, or reads it from stdin. It sends no messages. The exit\n" +
			"code is 0 if the server has accepted.\n\n" +
			"A server refuses clients whose socket type does not fit its own. --type is dealer for\n" +
			"servers of type ROUTER, REP and DEALER, push for PULL, sub for PUB and XPUB, pub for SUB\n" +
			"and XSUB, pull for PUSH.",
		Example: "  zmqauth connect tcp://127.0.0.1:5555 " +
			"--cert keys/ann.key_secret --server-key keys/server.key",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: action(func(cmd *cobra.Command, args []string) error {
			kind, err := c.check(cmd)
			if err := errors.Join(checkEndpoint(args[0]), err); err != nil {
				return err
			}
			role, mechanism, err := c.role(cmd.Context())
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), c.timeout)
			defer cancel()
			err = explained(cmd.Context(), args[0], dial(ctx, args[0], kind, role))
			return printConnection(newOutput(cmd), args[0], mechanism, err)
		}),
	}
	c.addFlags(cmd)
	addJSON(cmd)
	return cmd
}

// addFlags gives a command the flags that describe a client.
func (c *connection) addFlags(cmd *cobra.Command) {
	names := slices.Sorted(maps.Keys(socketTypes))
	flags := cmd.Flags()
	flags.StringVar(&c.cert, "cert", "", "secret certificate of this client (CURVE)")
	flags.StringVar(&c.serverKey, "server-key", "",
		"the server's public key "+keyForms+", or a certificate that has it (CURVE)")
	flags.StringVar(&c.username, "username", "", "user name (PLAIN)")
	flags.StringVar(&c.service, "service", "", "the server's Kerberos service, host-based (GSSAPI)")
	flags.StringVar(&c.principal, "principal", "",
		"this client's principal, host-based; by default that of the ticket cache (GSSAPI)")
	flags.StringVar(&c.socketType, "type", "dealer",
		"type of this client's socket: "+strings.Join(names, ", "))
	flags.DurationVar(&c.timeout, "timeout", dialTime, "how long to wait for the server")
	completeFlag(cmd, "type", names...)
}

// check refuses flags that make no sense, whatever the endpoint.
func (c *connection) check(cmd *cobra.Command) (zmq4.Type, error) {
	kind, ok := socketTypes[c.socketType]
	if !ok {
		names := slices.Sorted(maps.Keys(socketTypes))
		return 0, usagef("--type %q: none of %s", c.socketType, strings.Join(names, ", "))
	}
	return kind, errors.Join(checkTimeout(c.timeout), checkEmpty(cmd))
}

// printConnection shows the outcome of an attempt to connect, and returns its error.
func printConnection(out output, endpoint, mechanism string, err error) error {
	if out.json {
		result := struct {
			Endpoint  string `json:"endpoint"`
			Mechanism string `json:"mechanism"`
			Accepted  bool   `json:"accepted"`
			Status    int    `json:"status,omitempty"` // of the server's refusal
			Error     string `json:"error,omitempty"`
		}{endpoint, mechanism, err == nil, 0, ""}
		if refused, ok := errors.AsType[*zmqauth.HandshakeError](err); ok {
			result.Status = refused.Status
		}
		if err != nil {
			result.Error = strings.TrimPrefix(err.Error(), prefix)
		}
		return errors.Join(out.printJSON(result), err)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out.w, "accepted, with %s\n", mechanism)
	return err
}

// checkEmpty refuses flags with an empty value. An unset variable of a script would otherwise
// change the mechanism.
func checkEmpty(cmd *cobra.Command) error {
	for _, flag := range []string{"cert", "server-key", "username", "service", "principal"} {
		if cmd.Flags().Changed(flag) && cmd.Flags().Lookup(flag).Value.String() == "" {
			return usagef("--%s is empty", flag)
		}
	}
	return nil
}

// clientRole gives a socket the security role of a client.
type clientRole func(*zmq4.Socket) error

// role returns the role that the flags describe, and the name of its mechanism.
func (c *connection) role(ctx context.Context) (role clientRole, mechanism string, err error) {
	curve := c.cert != "" || c.serverKey != ""
	plain := c.username != ""
	gssapi := c.service != "" || c.principal != ""
	switch {
	case curve && plain || curve && gssapi || plain && gssapi:
		return nil, "", usagef("flags of more than one mechanism")
	case curve && (c.cert == "" || c.serverKey == ""):
		return nil, "", usagef("--cert and --server-key go together")
	case gssapi && c.service == "":
		return nil, "", usagef("--principal goes with --service")
	case curve:
		if c.secret, err = proxy.LoadSecret(c.cert); err != nil {
			return nil, "", err
		}
		c.server, err = publicKeyFrom("server-key", c.serverKey)
		role = func(s *zmq4.Socket) error { return zmqauth.CurveClient(s, c.server, c.secret) }
		return role, "CURVE", err
	case plain:
		c.password, err = readSecret(ctx, "Password of "+printable(c.username)+": ")
		role = func(s *zmq4.Socket) error { return zmqauth.PlainClient(s, c.username, c.password) }
		return role, "PLAIN", err
	case gssapi:
		role = func(s *zmq4.Socket) error {
			return zmqauth.GSSAPIClient(s, c.principal, c.service)
		}
		return role, "GSSAPI", nil
	}
	return func(*zmq4.Socket) error { return nil }, "NULL", nil
}
