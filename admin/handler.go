package admin

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"
)

// serve answers one request. It answers nobody but those who may use the socket.
func (c *Control) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	who := clientOf(r.Context())
	if who == nil || !who.trusted {
		w.Header().Set("Connection", "close")
		c.fail(w, http.StatusForbidden, errors.New("this control socket is for root, for the user who "+
			"runs the proxy, and for the group that was given to it"))
		return
	}
	route, known := map[string]struct {
		method string
		answer func(http.ResponseWriter, *http.Request) error
	}{
		"/v1/sessions":       {http.MethodGet, c.list},
		"/v1/sessions/watch": {http.MethodGet, c.watch},
		"/v1/kick":           {http.MethodPost, c.kick},
		"/v1/status":         {http.MethodGet, c.status},
		reloadPath:           {http.MethodPost, c.reload},
		"/v1/log-level":      {http.MethodPost, c.setLevel},
		pendingPath:          {http.MethodGet, c.pending},
		openPath:             {http.MethodPost, c.openDesk},
		donePath:             {http.MethodPost, c.takePending},
		denyPath:             {http.MethodPost, c.denyPending},
	}[r.URL.Path]
	switch {
	case !known:
		c.fail(w, http.StatusNotFound, errors.New("there are /v1/sessions, /v1/sessions/watch, "+
			"/v1/kick, /v1/status, /v1/reload, /v1/log-level and /v1/pending"))
		return
	case r.Method != route.method:
		w.Header().Set("Allow", route.method)
		c.fail(w, http.StatusMethodNotAllowed, errors.New("the method is "+route.method))
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if err := route.answer(w, r); err != nil {
		c.fail(w, statusOf(err), err)
	}
}

// statusOf is the HTTP status of an error about a request.
func statusOf(err error) int {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return http.StatusRequestEntityTooLarge
	}
	switch {
	case errors.Is(err, errManyWatchers):
		return http.StatusServiceUnavailable
	case errors.Is(err, errNotThere):
		return http.StatusNotImplemented
	}
	if _, ok := errors.AsType[*ReloadError](err); ok {
		return http.StatusConflict
	}
	return http.StatusBadRequest
}

// fail answers with an error.
func (c *Control) fail(w http.ResponseWriter, status int, err error) {
	w.WriteHeader(status)
	_ = newEncoder(patient{w, c.cfg.patience}).Encode(failure{err.Error()})
}

// failure is an error in JSON.
type failure struct {
	Error string `json:"error"`
}

func newEncoder(w io.Writer) *json.Encoder {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder
}

// patient gives each write its time.
type patient struct {
	http.ResponseWriter
	patience time.Duration
}

func (p patient) Write(text []byte) (int, error) {
	deadline := time.Now().Add(p.patience)
	if err := http.NewResponseController(p.ResponseWriter).SetWriteDeadline(deadline); err != nil {
		return 0, err
	}
	return p.ResponseWriter.Write(text)
}

// Unwrap is for http.ResponseController.
func (p patient) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// list answers with the sessions that match the query. It returns the error of a request that it
// has not answered.
func (c *Control) list(w http.ResponseWriter, r *http.Request) error {
	selector, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	match, err := c.matcher(selector)
	if err != nil {
		return err
	}
	select {
	case c.lists <- struct{}{}:
		defer func() { <-c.lists }()
	case <-r.Context().Done():
		return nil // who has asked is gone
	}
	out := bufio.NewWriterSize(patient{w, c.cfg.patience}, 32<<10)
	encoder := newEncoder(out)
	before := `{"sessions":[` + "\n"
	for _, s := range c.cfg.Auth.Sessions() {
		if !match(s) {
			continue
		}
		_, _ = out.WriteString(before)
		before = ","
		if err := encoder.Encode(c.show(s)); err != nil {
			panic(http.ErrAbortHandler) // the answer has begun, and is not to look whole
		}
	}
	if before != "," {
		_, _ = out.WriteString(before)
	}
	_, _ = out.WriteString("]}\n")
	if err := out.Flush(); err != nil {
		panic(http.ErrAbortHandler)
	}
	return nil
}

// watch tells of sessions that open and end, until either side ends the connection. It cuts off who
// takes nothing for too long.
func (c *Control) watch(w http.ResponseWriter, r *http.Request) error {
	selector, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	match, err := c.matcher(selector)
	if err != nil {
		return err
	}
	watcher, err := c.cfg.Feed.watch(match)
	if err != nil {
		return err
	}
	defer c.cfg.Feed.leave(watcher)
	control := http.NewResponseController(w)
	if err := control.SetReadDeadline(time.Time{}); err != nil { // of the request, which is over
		return err
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	encoder := newEncoder(patient{w, c.cfg.patience})
	err = encoder.Encode(Event{Event: EventWatching})
	for err == nil && control.Flush() == nil {
		select {
		case <-r.Context().Done():
			return nil
		case <-watcher.wake:
			err = c.tell(encoder, watcher)
		}
	}
	panic(http.ErrAbortHandler) // the watcher is gone, or too slow
}

// tell writes what has come for a watcher.
func (c *Control) tell(encoder *json.Encoder, w *watcher) error {
	changes, lost := w.take()
	for _, change := range changes {
		shown := c.show(change.session)
		event := Event{Event: EventClose, Session: &shown}
		if change.open {
			event.Event = EventOpen
		}
		if err := encoder.Encode(event); err != nil {
			return err
		}
	}
	if lost > 0 {
		return encoder.Encode(Event{Event: EventLost, Count: lost})
	}
	return nil
}

// kick ends the sessions that the body chooses.
func (c *Control) kick(w http.ResponseWriter, r *http.Request) error {
	if r.URL.RawQuery != "" {
		return errors.New("kick takes no query: its body is a JSON object")
	}
	selector, err := parseKick(r.Body)
	if err != nil {
		return err
	}
	match, err := c.matcher(selector)
	if err != nil {
		return err
	}
	count := c.cfg.Auth.Disconnect(match)
	chosen := selector.String()
	if chosen == "" {
		chosen = "all"
	}
	who := clientOf(r.Context())
	c.cfg.Log.Info("zmqauth: sessions were ended through the control socket", "sessions", count,
		"chosen", chosen, "uid", who.UID, "pid", who.PID)
	return newEncoder(patient{w, c.cfg.patience}).Encode(kicked{count})
}

// kicked is the answer to a kick.
type kicked struct {
	Kicked int `json:"kicked"` // sessions
}
