package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/proxy"
)

// trial is a policy in force in an Authenticator to which no client can connect.
type trial struct {
	config    *proxy.Config
	ctx       *zmq4.Context
	auth      *zmqauth.Authenticator
	decisions chan zmqauth.Decision
	problems  problemLog
}

// newTrial puts a policy in force. It returns the errors of proxy.Load and of Apply.
func newTrial(config string) (t *trial, err error) {
	loaded, err := proxy.Load(config)
	if err != nil {
		return nil, err
	}
	t = &trial{
		config:    loaded,
		decisions: make(chan zmqauth.Decision, 1),
		problems:  problemLog{decided: make(chan bool, 1)},
	}
	if t.ctx, err = zmq4.NewContext(); err != nil {
		return nil, err
	}
	t.auth, err = zmqauth.New(t.ctx, &zmqauth.Config{
		Logger:     slog.New(&t.problems),
		OnDecision: func(d zmqauth.Decision) { t.decisions <- d },
	})
	if err == nil {
		err = t.auth.Apply(loaded.Policy)
	}
	if err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

func (t *trial) close() {
	if t.auth != nil {
		_ = t.auth.Close()
	}
	_ = t.ctx.Term()
}

// decide returns the decision about the request that libzmq would send for a client.
func (t *trial) decide(ctx context.Context, domain, address, mechanism string,
	credentials []string) zmqauth.Decision {
	frames := append([]string{"1.0", "1", domain, address, "", mechanism}, credentials...)
	var request [][]byte
	for _, frame := range frames {
		request = append(request, []byte(frame))
	}
	t.auth.HandleZAPMessage(ctx, request)
	<-t.problems.decided
	return <-t.decisions
}

// broken returns the faults that the Authenticator has logged about files that the policy names.
func (t *trial) broken() error {
	// The Authenticator logs in order: once it has logged this decision, all earlier lines are in the
	// log.
	t.decide(context.Background(), "", "", "", nil)
	return t.problems.take()
}

// problemLog is a slog.Handler that keeps the errors of warnings.
type problemLog struct {
	decided chan bool // gets a value for each decision that is logged

	mu   sync.Mutex
	errs []error
}

// Enabled implements slog.Handler.
func (*problemLog) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler.
func (l *problemLog) Handle(_ context.Context, record slog.Record) error {
	err := errors.New(record.Message)
	isDecision := false
	record.Attrs(func(attr slog.Attr) bool {
		isDecision = isDecision || attr.Key == "reason"
		if cause, ok := attr.Value.Any().(error); ok && attr.Key == "error" {
			err = cause
		}
		return true
	})
	if isDecision {
		l.decided <- true
	}
	if isDecision || record.Level < slog.LevelWarn {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errs = append(l.errs, err)
	return nil
}

// WithAttrs implements slog.Handler. The Authenticator uses neither attributes nor groups of a
// logger.
func (l *problemLog) WithAttrs([]slog.Attr) slog.Handler { return l }

// WithGroup implements slog.Handler.
func (l *problemLog) WithGroup(string) slog.Handler { return l }

// take removes and joins the errors.
func (l *problemLog) take() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	errs := l.errs
	l.errs = nil
	return errors.Join(errs...)
}
