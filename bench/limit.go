package main

import (
	"errors"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/bench/loadgen"
)

// limit is the loop in C, which accepts everybody.
type limit struct {
	ctx       *zmq4.Context
	reference *loadgen.Reference
}

func newLimit(world) (contestant, error) {
	ctx, err := zmq4.NewContext()
	if err != nil {
		return nil, err
	}
	reference, err := loadgen.StartReference(ctx)
	if err != nil {
		return nil, errors.Join(err, ctx.Term())
	}
	return &limit{ctx, reference}, nil
}

func (*limit) name() string                                    { return "C loop" }
func (l *limit) run(load loadgen.Load) (loadgen.Result, error) { return loadgen.Run(l.ctx, load) }
func (l *limit) close() error                                  { return errors.Join(l.reference.Stop(), l.ctx.Term()) }
