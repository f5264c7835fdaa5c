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

// measureStreams compares package stream with stunnel, and package sshtunnel with ssh -L.
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

// streamRules returns rules for turns of that much work or more. The turns are long, so there are
// few of them.
func streamRules(least int) rules {
	return rules{repeats: 15, least: least, turn: 10 * time.Millisecond}
}

// streamPatience is how long an operation on a stream may take.
const streamPatience = 30 * time.Second

// ends are functions that end what was started. The last one is called first.
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

// directory makes a directory that is removed in the end.
func (e *ends) directory() (string, error) {
	path, err := os.MkdirTemp("", "zmqauth-bench")
	if err == nil {
		e.add(func() error { return os.RemoveAll(path) })
	}
	return path, err
}

// serve starts a server on a port that the kernel chooses.
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

// backend is the server at the end of all paths. The first byte of a connection selects what it
// does with the connection.
type backend struct {
	address string
	taken   chan net.Conn
}

const (
	echo = 'e' // sends back what follows
	take = 't' // hands the connection over on the channel taken
)

func (e *ends) backend() (b *backend, err error) {
	b = &backend{taken: make(chan net.Conn)}
	b.address, err = e.serve(&stream.Server{Authenticator: stream.AllowAny, Handler: b.handle})
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
func (e *ends) connect(b *backend, p path) (local, remote net.Conn, err error) {
	if local, err = net.Dial(p.network, p.address); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", p.title, err)
	}
	e.add(local.Close)
	if _, err := local.Write([]byte{take}); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", p.title, err)
	}
	select {
	case remote = <-b.taken:
		return local, remote, nil
	case <-time.After(streamPatience):
		return nil, nil, fmt.Errorf("%s: nothing arrives at the backend", p.title)
	}
}

// carrier is a connection that carries blocks from one end to the other. This process has both
// ends, so it needs no confirmation that all blocks have arrived. OpenSSH lets TCP delay small
// messages, so a confirmation would take longer than the blocks.
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
	// leastBlocks is the least work of a turn of a carrier. It is more than the buffers on the way
	// can take.
	leastBlocks = 256
	// lastBlocks follow the blocks of a turn and are not measured, because TCP may delay the last.
	lastBlocks = 16
)

// carry copies size bytes. It hides ReadFrom and WriteTo, so that all connections get blocks of the
// same size.
func carry(to io.Writer, from io.Reader, size int64) error {
	limited, buffer := io.LimitReader(from, size), make([]byte, blockSize)
	n, err := io.CopyBuffer(struct{ io.Writer }{to}, limited, buffer)
	if err == nil && n < size {
		return io.ErrUnexpectedEOF
	}
	return err
}

// anything is an endless source of bytes whose values do not matter.
type anything struct{}

func (anything) Read(p []byte) (int, error) { return len(p), nil }

// throughput measures bulk data on paths in both directions. It compares the first path with the
// others and adds the figures to t.
func throughput(t table, b *backend, paths []path) (_ table, err error) {
	var e ends
	defer func() { err = errors.Join(err, e.close()) }()
	t.ratio = "zmqauth's rate, times that of another"
	var up, down []entrant
	for _, p := range paths {
		local, remote, err := e.connect(b, p)
		if err != nil {
			return t, err
		}
		up = append(up, entrant{p.title, (&carrier{p.title, local, remote}).do})
		down = append(down, entrant{p.title, (&carrier{p.title, remote, local}).do})
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
			t.add(figure{direction.what, l.name, ratios(l, lanes[0], elapsed), bound{}})
		}
	}
	return t, nil
}
