package natsstore

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
)

// TestDial: an attempt that nobody answers, because the network was away when it began, keeps none
// back that begins later. All but one end with it, and a refusal is told at once.
func TestDial(t *testing.T) {
	var begun atomic.Int32
	ended := make(chan struct{})
	here, there := net.Pipe()
	late, latePeer := net.Pipe()
	conn, err := dialer{func(ctx context.Context, _, _ string) (net.Conn, error) {
		switch begun.Add(1) {
		case 1: // lost
			<-ctx.Done()
			defer close(ended)
			return nil, ctx.Err()
		case 2: // answered after all
			<-ctx.Done()
			return late, nil
		}
		return here, nil
	}}.Dial("tcp", "engine.example.org:4222")
	must.OK(t, err)
	if conn != here || begun.Load() != 3 {
		t.Errorf("%v after %d attempts", conn, begun.Load())
	}
	<-ended
	if _, err := latePeer.Read(make([]byte, 1)); err == nil {
		t.Error("a connection that nobody uses says something")
	}
	must.OK(t, there.Close())
	begun.Store(0)
	_, err = dialer{func(context.Context, string, string) (net.Conn, error) {
		begun.Add(1)
		return nil, syscall.ECONNREFUSED
	}}.Dial("tcp", "engine.example.org:4222")
	if !errors.Is(err, syscall.ECONNREFUSED) || begun.Load() != 1 {
		t.Errorf("%v after %d attempts", err, begun.Load())
	}
	_, err = dialer{func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}.Dial("tcp", "engine.example.org:4222")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nobody answers: %v", err)
	}
}
