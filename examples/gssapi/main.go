// Gssapi: a server that lets Kerberos principals in, and a client that proves its principal.
// README.md shows how to prepare the realm. Without flags the program runs both over loopback: the
// client's principal gets in first, and is refused after the server has stopped naming it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
)

const domain = "global"

// patience is how long a handshake or a message may take.
const patience = 15 * time.Second

// options are the flags and arguments of the command line.
type options struct {
	bind      string   // the server's endpoint; "": run both ends
	connect   string   // the endpoint of a server elsewhere; "": none
	service   string   // the server's principal, as service@host
	principal string   // the client's principal; "": the default of the credential cache
	allow     []string // the principals to let in; none: all of the realm
}

func main() {
	var o options
	flag.StringVar(&o.bind, "bind", "",
		"be a server at this endpoint, tcp://*:5555 for instance, for one message")
	flag.StringVar(&o.connect, "connect", "",
		"be a client of the server at this endpoint, tcp://server.example:5555 for instance")
	flag.StringVar(&o.service, "service", "zmq@localhost",
		"the server's principal, as service@host")
	flag.StringVar(&o.principal, "principal", "",
		"the client's principal, as service@host; none: the default of the credential cache")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(),
			"gssapi [flags] [principals to let in; none: all of the realm]")
		flag.PrintDefaults()
	}
	flag.Parse()
	if o.allow = flag.Args(); len(o.allow) == 0 {
		o.allow = []string{zmqauth.GSSAPIAllowAny}
	}
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "gssapi:", err)
		os.Exit(1)
	}
}

func run(o options) (err error) {
	zctx, err := zmq4.NewContext()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, zctx.Term()) }() // waits until all messages are sent
	if o.connect != "" {
		return send(zctx, o, o.connect)
	}
	s, err := listen(zctx, o)
	if err != nil {
		return err
	}
	defer s.close()
	if o.bind != "" {
		return s.receive(-1) // no time limit
	}
	return both(zctx, o, s)
}

// both sends to s twice: first while s lets the client in, then after s has stopped doing so.
func both(zctx *zmq4.Context, o options, s *server) error {
	if err := send(zctx, o, s.endpoint); err != nil {
		return err
	}
	if err := s.receive(patience); err != nil {
		return err
	}
	// From now on only another principal gets in.
	if err := s.auth.ConfigureGSSAPI(domain, "nobody@NOWHERE.EXAMPLE"); err != nil {
		return err
	}
	var refused *zmqauth.HandshakeError
	err := send(zctx, o, s.endpoint)
	if !errors.As(err, &refused) {
		return fmt.Errorf("the client is not refused: %w", err)
	}
	fmt.Println("refused:", err)
	return nil
}

// server is a socket that an Authenticator guards.
type server struct {
	auth     *zmqauth.Authenticator
	socket   *zmq4.Socket
	endpoint string
}

func listen(zctx *zmq4.Context, o options) (s *server, err error) {
	if o.bind == "" {
		o.bind = "tcp://127.0.0.1:*"
	}
	s = &server{}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{
		Level: slog.LevelDebug, // logs acceptances too
	}))
	if s.auth, err = zmqauth.New(zctx, &zmqauth.Config{Logger: log}); err != nil {
		return s, err
	}
	if s.socket, err = zctx.NewSocket(zmq4.PULL); err != nil {
		return s, err
	}
	err = errors.Join(
		s.auth.ConfigureGSSAPI(domain, o.allow...),
		// Start comes before Bind: without an Authenticator libzmq lets GSSAPI clients in.
		s.auth.Start(),
		zmqauth.GSSAPIServer(s.socket, domain, ""), // "": every service in the keytab
		s.socket.Bind(o.bind),
	)
	if err != nil {
		return s, err
	}
	s.endpoint, err = s.socket.GetLastEndpoint()
	return s, err
}

func (s *server) receive(timeout time.Duration) error {
	if err := s.socket.SetRcvtimeo(timeout); err != nil {
		return err
	}
	text, metadata, err := s.socket.RecvWithMetadata(0, "User-Id")
	if err != nil {
		return fmt.Errorf("no message has arrived: %w", err)
	}
	fmt.Printf("accepted: %q from %s\n", text, metadata["User-Id"])
	return nil
}

func (s *server) close() {
	// The socket closes first: without an Authenticator libzmq lets GSSAPI clients in.
	if s.socket != nil {
		_ = s.socket.Close()
	}
	if s.auth != nil {
		_ = s.auth.Close()
	}
}

// send is a client that sends one message.
func send(zctx *zmq4.Context, o options, endpoint string) error {
	socket, err := zctx.NewSocket(zmq4.PUSH)
	if err != nil {
		return err
	}
	defer func() { _ = socket.Close() }()
	err = errors.Join(
		socket.SetLinger(0),
		zmqauth.GSSAPIClient(socket, o.principal, o.service),
	)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := zmqauth.Connect(ctx, socket, endpoint); err != nil {
		return err
	}
	_, err = socket.Send("hello", 0)
	return errors.Join(err, socket.SetLinger(patience))
}
