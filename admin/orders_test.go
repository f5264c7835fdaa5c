package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
)

// TestOrders: status, reload and log-level do what they say, and the log says who has ordered it.
func TestOrders(t *testing.T) {
	var log logbuffer.Buffer
	level, reloads := new(slog.LevelVar), new(Reloads)
	wrong := errors.New("z.zpl:3: it is wrong")
	c := newControlled(t, Config{
		Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: level})),
		Program: Program{Name: "test", Version: "v9", Level: level, Reloads: reloads,
			Reload: func(context.Context) error { return wrong }}})
	client := NewClient(c.path)
	s, err := client.Status(t.Context())
	must.OK(t, err)
	if s.Program != "test" || s.Version != "v9" || !s.Ready || s.Level != "INFO" ||
		s.Reloads == nil || len(s.Queues) != 4 || s.Now.Before(s.Started) {
		t.Errorf("%+v", s)
	}
	if err := client.Reload(t.Context()); err == nil ||
		!strings.HasSuffix(err.Error(), "reload: z.zpl:3: it is wrong") {
		t.Errorf("%v", err)
	}
	wrong = nil
	must.OK(t, client.Reload(t.Context()))
	was, err := client.SetLevel(t.Context(), slog.LevelError)
	if err != nil || was != slog.LevelInfo || level.Level() != slog.LevelError {
		t.Errorf("%v, %v, %v", was, err, level.Level())
	}
	must.OK(t, c.auth.Stop())
	if s, err = client.Status(t.Context()); err != nil || s.Ready || s.Why == "" {
		t.Errorf("%+v, %v", s, err)
	}
	for _, want := range []string{"a reload was ordered through the control socket\" uid=",
		"another level of the log\" level=ERROR was=INFO uid="} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %q in %s", want, log.String())
		}
	}
}

// TestOrdersOfNothing: a program that cannot do something says so. Bad orders change nothing.
func TestOrdersOfNothing(t *testing.T) {
	c := newControlled(t, Config{})
	client := NewClient(c.path)
	if err := client.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "cannot do") {
		t.Errorf("%v", err)
	}
	if _, err := client.SetLevel(t.Context(), slog.LevelWarn); err == nil {
		t.Error("a level is set where there is none")
	}
	level := new(slog.LevelVar)
	c = newControlled(t, Config{Program: Program{Level: level,
		Reload: func(context.Context) error { t.Error("it reloads"); return nil }}})
	post := func(path, body string) string {
		return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: c\r\nContent-Length: %d\r\n\r\n%s", path,
			len(body), body)
	}
	const rest = " HTTP/1.1\r\nHost: c\r\n\r\n"
	for request, want := range map[string]int{
		"GET /v1/reload" + rest:                         http.StatusMethodNotAllowed,
		"POST /v1/status" + rest:                        http.StatusMethodNotAllowed,
		"GET /v1/status?x=1" + rest:                     http.StatusBadRequest,
		post("/v1/reload", `{"x":1}`):                   http.StatusBadRequest,
		post("/v1/reload", `[]`):                        http.StatusBadRequest,
		post("/v1/reload?x", ``):                        http.StatusBadRequest,
		post("/v1/log-level", ``):                       http.StatusBadRequest,
		post("/v1/log-level", `{"level":"loud"}`):       http.StatusBadRequest,
		post("/v1/log-level", `{"level":"WARN"}{}`):     http.StatusBadRequest,
		post("/v1/log-level", strings.Repeat(" ", 9e3)): http.StatusRequestEntityTooLarge,
	} {
		if status, body := c.answer(t, request); status != want ||
			!strings.HasPrefix(body, `{"error":"`) {
			t.Errorf("%.60q: %d %.200s", request, status, body)
		}
	}
	if level.Level() != slog.LevelInfo {
		t.Errorf("the level is %v", level.Level())
	}
}

// TestReloadTakesItsTime: a reload may take longer than a request.
func TestReloadTakesItsTime(t *testing.T) {
	begun := make(chan context.Context)
	end := make(chan error)
	c := newControlled(t, Config{Program: Program{Reload: func(ctx context.Context) error {
		begun <- ctx
		return <-end
	}}})
	answered := make(chan error, 1)
	go func() { answered <- NewClient(c.path).Reload(t.Context()) }()
	ctx := <-begun
	select {
	case err := <-answered:
		t.Errorf("it answers before the end: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	must.OK(t, ctx.Err())
	end <- nil
	must.OK(t, <-answered)
}
