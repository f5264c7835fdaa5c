package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/bench/loadgen"
)

// A contestant is a ZAP handler under measurement. The load generator runs in the handler's process, so that one in
// another language brings the generator along, and reports what it measured.
type contestant interface {
	name() string
	run(load loadgen.Load) (loadgen.Result, error)
	close() error
}

// contestants make what is measured beside the limit. Each guards a world of its own.
var contestants = []func(world) (contestant, error){newZmqauth}

// world is whom a handler has to let in.
type world struct {
	domain, address string
	user, password  string
	keys            []zmqauth.PublicKey
}

const keysInWorld = 1000

func newWorld() world {
	return world{
		domain: "global", address: "192.0.2.1", user: "alice", password: "correct horse battery",
		keys: randomKeys(keysInWorld),
	}
}

func randomKeys(count int) []zmqauth.PublicKey {
	keys := make([]zmqauth.PublicKey, count)
	for i := range keys {
		_, _ = rand.Read(keys[i][:]) // never fails
	}
	return keys
}

// load is a client of the world's that must be let in.
func (w *world) load(mechanism string) loadgen.Load {
	load := loadgen.Load{Mechanism: mechanism, Domain: w.domain, Address: w.address}
	switch mechanism {
	case "PLAIN":
		load.Credentials = [][]byte{[]byte(w.user), []byte(w.password)}
	case "CURVE":
		load.Credentials = [][]byte{w.keys[len(w.keys)/2][:]}
	}
	return load
}

// measure is how long a contestant takes for a load, every request of which it has to accept.
func measure(c contestant, load loadgen.Load) (time.Duration, error) {
	result, err := c.run(load)
	if err != nil {
		return 0, fmt.Errorf("%s, %s: %w", c.name(), load.Mechanism, err)
	}
	if result.ByStatus[200] != load.Requests {
		return 0, fmt.Errorf("%s, %s: replies by status %v, all should be 200", c.name(), load.Mechanism, result.ByStatus)
	}
	return result.Elapsed, nil
}

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

// limit is the loop in C, which accepts everybody.
type limit struct {
	ctx       *zmq4.Context
	reference *loadgen.Reference
}

func newLimit() (contestant, error) {
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
