package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/bench/loadgen"
)

// The contestants in Go are this program once more: bench serve HANDLER DOMAIN DIRECTORY LOOKUP, as
// a world has them.
const serveCommand = "serve"

// A handler is started in a process, and returns its context and what ends it.
type handler func(w world) (ctx *zmq4.Context, stop func() error, err error)

var handlers = map[string]handler{
	"none":    startNone,
	"C loop":  startReference,
	"zmqauth": startZmqauth,
	"zmq4":    startZmq4,
}

// self makes a contestant of a handler here.
func self(name string) peer {
	return func(w world) (*contestant, error) {
		program, err := os.Executable()
		if err != nil {
			return nil, err
		}
		domain := w.domain
		if name == "none" {
			domain = "" // a domain that nobody handles keeps everybody out
		}
		return start(name, program, serveCommand, name, domain, w.directory, w.lookup.String())
	}
}

// serve is the process.
func serve(name, domain, directory, lookup string) (err error) {
	w := world{domain: domain, directory: directory}
	if w.lookup, err = time.ParseDuration(lookup); err != nil {
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

func startNone(world) (*zmq4.Context, func() error, error) {
	ctx, err := zmq4.NewContext()
	return ctx, func() error { return ctx.Term() }, err
}

// startReference is the limit: the loop in C, which accepts everybody.
func startReference(world) (*zmq4.Context, func() error, error) {
	ctx, err := zmq4.NewContext()
	if err != nil {
		return nil, nil, err
	}
	reference, err := loadgen.StartReference(ctx)
	return ctx, func() error { return errors.Join(reference.Stop(), ctx.Term()) }, err
}

// maxSockets has room for a thousand clients with a connection each, and for those of the run
// before.
const maxSockets = 4096

func startZmqauth(w world) (*zmq4.Context, func() error, error) {
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

// startZmq4 has no callbacks, and keeps its state in package variables.
func startZmq4(w world) (*zmq4.Context, func() error, error) {
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

// defaultContext is zmq4's own, which only its sockets tell.
func defaultContext() (*zmq4.Context, error) {
	socket, err := zmq4.NewSocket(zmq4.PAIR)
	if err != nil {
		return nil, err
	}
	defer func() { _ = socket.Close() }()
	return socket.Context()
}
