package proxy

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/admin"
	"github.com/zmqauth/zmqauth/internal/links"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/reminder"
)

// TestFailsClosed: when the Authenticator ends, the process ends too and says why.
func TestFailsClosed(t *testing.T) {
	zctx, err := zmq4.NewContext()
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, zctx.Term()) })
	auth, err := zmqauth.New(zctx, &zmqauth.Config{Logger: slog.New(slog.DiscardHandler)})
	must.OK(t, err)
	must.OK(t, auth.Start())
	quiet := slog.New(slog.DiscardHandler)
	p := &proxy{log: quiet, auth: auth, frontends: newFrontendSet(auth, quiet, 0, nil),
		links: links.NewSet(links.Options{Log: quiet}),
		wrong: reminder.NewAlarm(), progress: admin.NewProgress()}
	served := make(chan error)
	go func() { served <- p.serve(context.Background(), nil) }()
	must.OK(t, auth.Close())
	if err := <-served; err == nil || !strings.Contains(err.Error(), "the authenticator has ended") {
		t.Errorf("%v", err)
	}
}
