package main

import (
	"errors"
	"log/slog"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/bench/loadgen"
)

// ours is zmqauth.
type ours struct {
	ctx           *zmq4.Context
	authenticator *zmqauth.Authenticator
}

func newZmqauth(w world) (contestant, error) {
	ctx, err := zmq4.NewContext()
	if err != nil {
		return nil, err
	}
	a, err := zmqauth.New(ctx, &zmqauth.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, errors.Join(err, ctx.Term())
	}
	o := &ours{ctx, a}
	err = errors.Join(a.ConfigurePlain(w.domain, map[string]string{w.user: w.password}),
		a.ConfigureCurveKeys(w.domain, w.keys...), a.Start())
	if err != nil {
		return nil, errors.Join(err, o.close())
	}
	return o, nil
}

func (*ours) name() string                                    { return "zmqauth" }
func (o *ours) run(load loadgen.Load) (loadgen.Result, error) { return loadgen.Run(o.ctx, load) }
func (o *ours) close() error                                  { return errors.Join(o.authenticator.Close(), o.ctx.Term()) }
