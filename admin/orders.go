package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"
)

// reloadPath is where a reload is ordered. It answers when frontends that end have ended.
const reloadPath = "/v1/reload"

// errNotThere says that the program cannot do what it is asked for.
var errNotThere = errors.New("this program cannot do that")

// ReloadError says that a program could not put all of its configuration in force.
type ReloadError struct{ Text string }

func (e *ReloadError) Error() string { return "reload: " + e.Text }

// status answers with the Status of the program.
func (c *Control) status(w http.ResponseWriter, r *http.Request) error {
	if r.URL.RawQuery != "" {
		return errors.New("status takes no query")
	}
	return newEncoder(patient{w, c.cfg.patience}).Encode(c.cfg.Program.status(c.cfg.Auth))
}

// reload has the program reload its configuration, and answers when it has.
func (c *Control) reload(w http.ResponseWriter, r *http.Request) error {
	if err := c.readBody(r, new(struct{})); err != nil {
		return err
	}
	if c.cfg.Program.Reload == nil {
		return errNotThere
	}
	// The request is over. Without this its deadline would end the reload.
	if err := http.NewResponseController(w).SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	c.tellOrder(r, "zmqauth: a reload was ordered through the control socket")
	if err := c.cfg.Program.Reload(r.Context()); err != nil {
		return &ReloadError{err.Error()}
	}
	return newEncoder(patient{w, c.cfg.patience}).Encode(struct{}{})
}

// level is a request for another level of the log, and the answer.
type level struct {
	Level string `json:"level"` // DEBUG, INFO, WARN, ERROR, or one between, as INFO+2
	Was   string `json:"was,omitempty"`
}

// ParseLevel reads the name of a level of the log: debug, info, warn or error, in capitals or not.
func ParseLevel(name string) (l slog.Level, err error) {
	if err := l.UnmarshalText([]byte(name)); err != nil {
		return l, fmt.Errorf("the level %.40q is none of debug, info, warn and error", name)
	}
	return l, nil
}

// setLevel changes the level of the log.
func (c *Control) setLevel(w http.ResponseWriter, r *http.Request) error {
	var wanted level
	if err := c.readBody(r, &wanted); err != nil {
		return err
	}
	to, err := ParseLevel(wanted.Level)
	if err != nil {
		return err
	}
	if c.cfg.Program.Level == nil {
		return errNotThere
	}
	was := c.cfg.Program.Level.Level()
	c.cfg.Program.Level.Set(min(was, to, slog.LevelInfo)) // so that this is in the log
	c.tellOrder(r, "zmqauth: another level of the log", "level", to.String(), "was", was.String())
	c.cfg.Program.Level.Set(to)
	return newEncoder(patient{w, c.cfg.patience}).Encode(level{to.String(), was.String()})
}

// tellOrder logs what somebody has ordered.
func (c *Control) tellOrder(r *http.Request, what string, more ...any) {
	who := clientOf(r.Context())
	c.cfg.Log.Info(what, append(more, "uid", who.UID, "pid", who.PID)...)
}

// readBody reads a request that is one JSON object, or empty.
func (c *Control) readBody(r *http.Request, into any) error {
	if r.URL.RawQuery != "" {
		return errors.New("this takes no query: its body is a JSON object")
	}
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is something behind the JSON object")
	}
	return nil
}

// Status asks what the program does.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	err = c.order(ctx, http.MethodGet, "/v1/status", nil, &s)
	return s, err
}

// Reload has the program reload its configuration, and waits until it has. The error has what is
// wrong with it.
func (c *Client) Reload(ctx context.Context) error {
	return c.order(ctx, http.MethodPost, reloadPath, struct{}{}, new(struct{}))
}

// SetLevel changes the level of the program's log, until its end. It returns the level before.
func (c *Client) SetLevel(ctx context.Context, l slog.Level) (was slog.Level, err error) {
	var done level
	err = c.order(ctx, http.MethodPost, "/v1/log-level", level{Level: l.String()}, &done)
	if err != nil {
		return was, err
	}
	return ParseLevel(done.Was)
}

// order sends a value and reads the answer.
func (c *Client) order(ctx context.Context, method, path string, send, into any) error {
	var body []byte
	if send != nil {
		var err error
		if body, err = json.Marshal(send); err != nil {
			return err
		}
	}
	answer, err := c.do(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer answer.Close()
	if err := json.NewDecoder(answer).Decode(into); err != nil {
		return c.broken(err)
	}
	return nil
}
