package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/bench/loadgen"
)

// serveCommand is the command that runs this program as a contestant: bench serve HANDLER DOMAIN
// DIRECTORY LOOKUP THREADS, with the fields of a setup.
const serveCommand = "serve"

// A handler starts a ZAP handler in this process. It returns its context and a function to stop it.
type handler func(w setup) (ctx *zmq4.Context, stop func() error, err error)

var handlers = map[string]handler{
	"none":    startNone,
	"C loop":  startReference,
	"zmqauth": startZmqauth,
	"zmq4":    startZmq4,
}

// self returns the peer that runs a handler of this program. Its libzmq has libsodium's own memory,
// as that of all other peers.
func self(name string) peer { return selfWith(name, noFastcurve) }

// selfWith returns the peer that runs a handler of this program with another environment, too.
func selfWith(name string, environment ...string) peer {
	return func(w setup) (*contestant, error) {
		command, err := selfCommand(w, name, environment...)
		if err != nil {
			return nil, err
		}
		return startCommand(name, command)
	}
}

// selfCommand returns the command that runs a handler of this program.
func selfCommand(w setup, name string, environment ...string) (*exec.Cmd, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	domain := w.domain
	if name == "none" {
		domain = "" // in any other domain libzmq refuses everybody without a handler
	}
	command := exec.Command(program, serveCommand, name, domain, w.directory,
		w.lookup.String(), strconv.Itoa(w.ioThreads))
	command.Env = append(os.Environ(), environment...)
	return command, nil
}

// serve runs this process as a contestant, with the arguments of serveCommand.
func serve(args []string) (err error) {
	if len(args) != 5 {
		return fmt.Errorf("%s: %d arguments", serveCommand, len(args))
	}
	name := args[0]
	w := setup{domain: args[1], directory: args[2]}
	if w.lookup, err = time.ParseDuration(args[3]); err != nil {
		return err
	}
	if w.ioThreads, err = strconv.Atoi(args[4]); err != nil {
		return err
	}
	start := handlers[name]
	if start == nil {
		return fmt.Errorf("no handler %q", name)
	}
	ctx, stop, err := start(w)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	return loadgen.Serve(ctx, w.domain, os.Stdin, os.Stdout)
}

func startNone(setup) (*zmq4.Context, func() error, error) {
	ctx, err := zmq4.NewContext()
	return ctx, func() error { return ctx.Term() }, err
}

// startReference starts the loop in C that accepts everybody.
func startReference(setup) (*zmq4.Context, func() error, error) {
	ctx, err := zmq4.NewContext()
	if err != nil {
		return nil, nil, err
	}
	reference, err := loadgen.StartReference(ctx)
	return ctx, func() error { return errors.Join(reference.Stop(), ctx.Term()) }, err
}

// maxSockets allows a thousand clients with a connection each, while those of the run before are
// still there.
const maxSockets = 4096

func startZmqauth(w setup) (*zmq4.Context, func() error, error) {
	passwords, err := w.readPasswords()
	if err != nil {
		return nil, nil, err
	}
	ctx, err := zmq4.NewContext()
	if err != nil {
		return nil, nil, err
	}
	if err := ctx.SetMaxSockets(maxSockets); err != nil {
		return nil, nil, err
	}
	if w.ioThreads > 0 {
		if err := ctx.SetIoThreads(w.ioThreads); err != nil {
			return nil, nil, err
		}
	}
	a, err := zmqauth.New(ctx, &zmqauth.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, nil, err
	}
	if w.lookup > 0 {
		err = a.ConfigureCurveCallback(w.domain, slowLookup(w.lookup))
	} else {
		err = a.ConfigureCurve(w.domain, filepath.Join(w.directory, clientsName))
	}
	err = errors.Join(err, a.ConfigurePlain(w.domain, passwords), a.Start())
	return ctx, func() error { return errors.Join(a.Close(), ctx.Term()) }, err
}

// startZmq4 starts zmq4's Auth functions. They have no callbacks and keep their state in package
// variables.
func startZmq4(w setup) (*zmq4.Context, func() error, error) {
	passwords, err := w.readPasswords()
	if err != nil {
		return nil, nil, err
	}
	for user, password := range passwords {
		zmq4.AuthPlainAdd(w.domain, user, password)
	}
	certificates, err := zmqauth.LoadCertificates(filepath.Join(w.directory, clientsName))
	if err != nil {
		return nil, nil, err
	}
	for key := range certificates {
		zmq4.AuthCurveAdd(w.domain, key.String())
	}
	if err := zmq4.AuthStart(); err != nil {
		return nil, nil, err
	}
	ctx, err := defaultContext()
	return ctx, func() error { zmq4.AuthStop(); return nil }, err
}

// defaultContext returns zmq4's default context, which only a socket can tell.
func defaultContext() (*zmq4.Context, error) {
	socket, err := zmq4.NewSocket(zmq4.PAIR)
	if err != nil {
		return nil, err
	}
	defer func() { _ = socket.Close() }()
	return socket.Context()
}
