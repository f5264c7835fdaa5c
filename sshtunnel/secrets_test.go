package sshtunnel

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/must"
)

// TestOneQuestionAtATime: while a question is open, it is not asked again.
func TestOneQuestionAtATime(t *testing.T) {
	s := newSecrets(testLogger(t))
	var count atomic.Int32
	release := make(chan struct{})
	question := func() ([]string, error) {
		count.Add(1)
		<-release
		return []string{"answer"}, nil
	}
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		if _, err := s.ask(ctx, "purpose", question); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want the context's", err)
		}
		cancel()
	}
	close(release)
	got, err := s.ask(patient(t), "purpose", question)
	if err != nil || got[0] != "answer" || count.Load() != 1 {
		t.Errorf("%q, %v, asked %d times", got, err, count.Load())
	}
}

// TestHopsOfOneName: an answer for one host is not sent to another of the same name, such as
// localhost.
func TestHopsOfOneName(t *testing.T) {
	jumps := []Config{{Host: "ann@localhost:22"}}
	targets, err := resolve(t.Context(),
		Config{Host: "ann@localhost:22", ConfigFile: "none", Jumps: jumps})
	must.OK(t, err)
	if len(targets) != 2 || targets[0].String() != targets[1].String() {
		t.Fatalf("targets %v", targets)
	}
	asked := 0
	said := newSecrets(slog.New(slog.DiscardHandler))
	for _, target := range append(targets, targets...) {
		_, err := said.ask(t.Context(), loginPurpose(target)+methodPassword, func() ([]string, error) {
			asked++
			return []string{"secret"}, nil
		})
		must.OK(t, err)
	}
	if asked != 2 {
		t.Errorf("asked %d times, want once for each host", asked)
	}
}
