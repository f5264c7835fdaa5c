package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"

	"github.com/zmqauth/zmqauth/internal/privatedir"
)

// Client uses a control socket. Make one with [NewClient]. Its methods may be called by any
// goroutine.
type Client struct {
	path    string
	http    http.Client
	patient http.Client // for what takes its time
}

const (
	// answerTime is how long a control socket may take to begin its answer.
	answerTime = 15 * time.Second
	// maxFailure is how many bytes of an error are read.
	maxFailure = 4 << 10
)

// NewClient makes a Client of the socket at path. It connects for each call, and asks only a
// process of root, of this user, or of the user to whom the socket's directory belongs.
func NewClient(path string) *Client {
	c := &Client{path: path}
	c.http.Transport, c.patient.Transport = c.transport(answerTime), c.transport(0)
	return c
}

// transport reaches the socket. The answer begins within wait; 0: whenever it does.
func (c *Client) transport(wait time.Duration) http.RoundTripper {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", c.path)
		if err != nil {
			return nil, err
		}
		if err := privatedir.CheckServer(conn.(*net.UnixConn), c.path); err != nil {
			_ = conn.Close()
			return nil, err
		}
		return conn, nil
	}
	return &http.Transport{DialContext: dial, DisableKeepAlives: true, ResponseHeaderTimeout: wait}
}

// Sessions calls each with the sessions that a selector chooses, the oldest first. It ends with the
// error that each returns.
func (c *Client) Sessions(ctx context.Context, s Selector, each func(Session) error) error {
	answer, err := c.get(ctx, "/v1/sessions", s)
	if err != nil {
		return err
	}
	defer answer.Close()
	decoder := json.NewDecoder(answer)
	for range 3 { // {"sessions":[
		if _, err := decoder.Token(); err != nil {
			return c.broken(err)
		}
	}
	for decoder.More() {
		var session Session
		if err := decoder.Decode(&session); err != nil {
			return c.broken(err)
		}
		if err := each(session); err != nil {
			return err
		}
	}
	for range 2 { // ]}
		if _, err := decoder.Token(); err != nil {
			return c.broken(err)
		}
	}
	return nil
}

// Watch calls each with the events of the sessions that a selector chooses, beginning with
// EventWatching. It returns when ctx or the socket ends, with the error, or with the error that
// each returns.
func (c *Client) Watch(ctx context.Context, s Selector, each func(Event) error) error {
	answer, err := c.get(ctx, "/v1/sessions/watch", s)
	if err != nil {
		return err
	}
	defer answer.Close()
	for decoder := json.NewDecoder(answer); ; {
		var event Event
		if err := decoder.Decode(&event); err != nil {
			return c.broken(err)
		}
		if err := each(event); err != nil {
			return err
		}
	}
}

// Kick ends the sessions that a selector chooses, and returns how many that were. The empty
// selector is an error: see KickAll.
func (c *Client) Kick(ctx context.Context, s Selector) (int, error) {
	chosen := make(map[string]any)
	for _, f := range s.fields() {
		chosen[f[0]] = f[1]
	}
	return c.kick(ctx, chosen)
}

// KickAll ends all sessions, and returns how many that were.
func (c *Client) KickAll(ctx context.Context) (int, error) {
	return c.kick(ctx, map[string]any{"all": true})
}

func (c *Client) kick(ctx context.Context, chosen map[string]any) (int, error) {
	body, err := json.Marshal(chosen)
	if err != nil {
		return 0, err
	}
	answer, err := c.do(ctx, http.MethodPost, "/v1/kick", body)
	if err != nil {
		return 0, err
	}
	defer answer.Close()
	var done kicked
	if err := json.NewDecoder(answer).Decode(&done); err != nil {
		return 0, c.broken(err)
	}
	return done.Kicked, nil
}

func (c *Client) get(ctx context.Context, path string, s Selector) (io.ReadCloser, error) {
	query := make(url.Values)
	for _, f := range s.fields() {
		query.Set(f[0], f[1])
	}
	return c.do(ctx, http.MethodGet, path+"?"+query.Encode(), nil)
}

// do sends a request and returns the body of a good answer.
func (c *Client) do(ctx context.Context, method, path string, body []byte) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://control"+path,
		bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	client := &c.http
	if path == reloadPath {
		client = &c.patient
	}
	answer, err := client.Do(request)
	if err != nil {
		return nil, c.broken(err)
	}
	if answer.StatusCode == http.StatusOK {
		return answer.Body, nil
	}
	defer answer.Body.Close()
	var failed failure
	text, _ := io.ReadAll(io.LimitReader(answer.Body, maxFailure))
	if json.Unmarshal(text, &failed) != nil || failed.Error == "" {
		failed.Error = "it answers " + answer.Status
	}
	return nil, c.broken(errors.New(failed.Error))
}

// broken adds the socket to an error, and takes the URL out, which has no meaning.
func (c *Client) broken(err error) error {
	if failed, ok := errors.AsType[*url.Error](err); ok {
		err = failed.Err
	}
	if failed, ok := errors.AsType[*net.OpError](err); ok && failed.Op == "dial" {
		err = failed.Err
	}
	if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ECONNREFUSED) {
		err = fmt.Errorf("%w: nobody serves it (zmqauth proxy --control does)", err)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = fmt.Errorf("its program has ended, or has cut the answer off (%w)", err)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("no answer in time, its program stands still or is overloaded (%w)", err)
	}
	return fmt.Errorf("control socket %s: %w", c.path, err)
}
