package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"time"

	"github.com/zmqauth/zmqauth/stream"
)

// measureStreams compares what carries streams: package stream with stunnel, and package sshtunnel
// with ssh -L.
func measureStreams() ([]table, error) {
	var all []table
	for _, measure := range []func() ([]table, error){measureTLS, measureSSH} {
		tables, err := measure()
		if errors.Is(err, errMissing) {
			fmt.Fprintln(os.Stderr, "bench: left out:", err)
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, tables...)
	}
	return all, nil
}

// streamRules have turns of that much work or more. They are long, so that there are not many.
func streamRules(least int) rules {
	return rules{repeats: 15, least: least, turn: 10 * time.Millisecond}
}

// streamPatience is how long what is asked of a stream may take.
const streamPatience = 30 * time.Second

// ends is what has to be ended, the last first.
type ends []func() error

func (e *ends) add(end func() error) { *e = append(*e, end) }

func (e *ends) close() error {
	var errs []error
	for _, end := range slices.Backward(*e) {
		errs = append(errs, end())
	}
	*e = nil
	return errors.Join(errs...)
}

// directory is a new one, which is removed in the end.
func (e *ends) directory() (string, error) {
	path, err := os.MkdirTemp("", "zmqauth-bench")
	if err == nil {
		e.add(func() error { return os.RemoveAll(path) })
	}
	return path, err
}

// serve serves on a port of the kernel's choice until the end.
func (e *ends) serve(s *stream.Server) (address string, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	s.Logger = slog.New(slog.DiscardHandler)
	served := make(chan error, 1)
	go func() { served <- s.Serve(listener) }()
	e.add(func() error {
		err := errors.Join(s.Close(), s.Shutdown(context.Background()))
		if reason := <-served; reason != stream.ErrServerClosed {
			err = errors.Join(err, reason)
		}
		return err
	})
	return listener.Addr().String(), nil
}

// backend is where all paths lead to. The first byte of a connection says what is to become of it.
type backend struct {
	address string
	taken   chan net.Conn
}

const (
	echo = 'e' // what follows comes back
	take = 't' // the connection's other end is handed over
)

func (e *ends) backend() (b *backend, err error) {
	b = &backend{taken: make(chan net.Conn)}
	b.address, err = e.serve(&stream.Server{Handler: b.handle})
	return b, err
}

func (b *backend) handle(ctx context.Context, conn net.Conn, _ any) {
	first := make([]byte, 1)
	if _, err := io.ReadFull(conn, first); err != nil {
		return
	}
	switch first[0] {
	case echo:
		_, _ = io.Copy(struct{ io.Writer }{conn}, struct{ io.Reader }{conn})
	case take:
		select {
		case b.taken <- conn:
			<-ctx.Done()
		case <-ctx.Done():
		}
	}
}

// path is a way to the backend, for plain connections.
type path struct{ title, network, address string }

// connect returns both ends of a connection on a path.
func (e *ends) connect(b *backend, p path) (near, far net.Conn, err error) {
	if near, err = net.Dial(p.network, p.address); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", p.title, err)
	}
	e.add(near.Close)
	if _, err := near.Write([]byte{take}); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", p.title, err)
	}
	select {
	case far = <-b.taken:
		return near, far, nil
	case <-time.After(streamPatience):
		return nil, nil, fmt.Errorf("%s: nothing arrives at the backend", p.title)
	}
}

// carrier is a connection that carries blocks from one end to the other. This process has both, so
// that nothing needs to be sent back when all has arrived: OpenSSH leaves TCP to delay what is
// small, which would take longer than the blocks.
type carrier struct {
	title    string
	from, to net.Conn
}

func (c *carrier) do(blocks int) (cost, error) {
	begun := time.Now()
	for _, conn := range []net.Conn{c.from, c.to} {
		_ = conn.SetDeadline(begun.Add(streamPatience))
	}
	sent := make(chan error, 1)
	go func() { sent <- carry(c.from, anything{}, int64(blocks+lastBlocks)*blockSize) }()
	err := carry(io.Discard, c.to, int64(blocks)*blockSize)
	elapsed := time.Since(begun)
	if err := errors.Join(err, carry(io.Discard, c.to, lastBlocks*blockSize), <-sent); err != nil {
		return cost{}, fmt.Errorf("%s: %w", c.title, err)
	}
	return cost{elapsed: elapsed}, nil
}

const (
	blockSize = 64 << 10
	// leastBlocks make a turn of a carrier. It takes more than what fits into the buffers on the way.
	leastBlocks = 256
	// lastBlocks follow them, and do not count: TCP may delay the very last one.
	lastBlocks = 16
)

// carry copies so many bytes, by buffers of the same size whatever the ends could do by themselves.
func carry(to io.Writer, from io.Reader, size int64) error {
	n, err := io.CopyBuffer(struct{ io.Writer }{to}, io.LimitReader(from, size), make([]byte, blockSize))
	if err == nil && n < size {
		return io.ErrUnexpectedEOF
	}
	return err
}

// anything reads as bytes that do not matter, without end.
type anything struct{}

func (anything) Read(p []byte) (int, error) { return len(p), nil }

// throughput has paths carry bulk data in both directions. It fills in the figures of the first.
func throughput(t table, b *backend, paths []path) (_ table, err error) {
	var e ends
	defer func() { err = errors.Join(err, e.close()) }()
	t.ratio = "zmqauth's rate, times that of another"
	var up, down []entrant
	for _, p := range paths {
		near, far, err := e.connect(b, p)
		if err != nil {
			return t, err
		}
		up = append(up, entrant{p.title, (&carrier{p.title, near, far}).do})
		down = append(down, entrant{p.title, (&carrier{p.title, far, near}).do})
	}
	for _, direction := range []struct {
		what     string
		entrants []entrant
	}{{"to the backend", up}, {"from the backend", down}} {
		lanes, err := race(streamRules(leastBlocks), direction.entrants)
		if err != nil {
			return t, err
		}
		for _, l := range lanes[1:] {
			t.figures = append(t.figures, figure{direction.what, l.name, ratios(l, lanes[0], elapsed), bound{}})
		}
	}
	return t, nil
}
