package admin

import (
	"embed"
	"errors"
	"net/http"
	"time"
)

//go:embed page
var pageFiles embed.FS

// securityHeaders are those of every answer. The page takes scripts and styles from this server
// alone, and no text becomes markup: trusted types without a policy.
var securityHeaders = map[string]string{
	"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; " +
		"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " +
		"require-trusted-types-for 'script'; trusted-types 'none'",
	"X-Content-Type-Options":       "nosniff",
	"X-Frame-Options":              "DENY",
	"Referrer-Policy":              "no-referrer",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Cache-Control":                "no-store",
}

// serve answers one request. It changes nothing.
func (h *HTTP) serve(w http.ResponseWriter, r *http.Request) {
	for name, value := range securityHeaders {
		w.Header().Set(name, value)
	}
	w = patient{w, h.cfg.patience}
	sees, err := h.sightOf(r)
	if err != nil {
		w.Header().Set("Connection", "close")
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	metrics := h.numbers
	if sees == seesAll {
		metrics = h.metrics
	}
	route, known := map[string]struct {
		wants  sight
		answer http.HandlerFunc
	}{
		"/":         {seesNumbers, file("index.html", "text/html; charset=utf-8")},
		"/page.css": {seesNumbers, file("page.css", "text/css; charset=utf-8")},
		"/page.js":  {seesNumbers, file("page.js", "text/javascript; charset=utf-8")},
		"/metrics":  {seesNumbers, metrics.ServeHTTP},
		"/healthz":  {seesHealth, h.healthy},
		"/readyz":   {seesHealth, h.ready},
		"/events":   {seesAll, h.events},
	}[r.URL.Path]
	switch {
	case !known && sees == seesHealth, known && sees < route.wants:
		h.refuse(w)
	case !known:
		http.Error(w, "there are /, /metrics, /healthz and /readyz", http.StatusNotFound)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "the methods are GET and HEAD", http.StatusMethodNotAllowed)
	case isForeign(r):
		http.Error(w, "this is not for other sites", http.StatusForbidden)
	default:
		route.answer(w, r)
	}
}

// isForeign tells whether a page of another site has sent a request, as far as the browser says so.
// A link to the page is not foreign.
func isForeign(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	if site == "" || site == "same-origin" || site == "none" {
		return false
	}
	return r.URL.Path != "/" || r.Header.Get("Sec-Fetch-Mode") != "navigate"
}

// refuse says who may see what was asked for.
func (h *HTTP) refuse(w http.ResponseWriter) {
	status, text := http.StatusForbidden, "this is for processes of root and of the user who runs "+
		"the program; --http-token-file, or a Unix socket with a group, lets others in"
	if h.kind == atElsewhere {
		text = "this wants a certificate of the client, or the token"
	} else if h.cfg.TokenFile != "" {
		text = "this is for processes of root and of the user who runs the program, and for who has " +
			"the token"
	}
	if h.cfg.TokenFile != "" {
		status = http.StatusUnauthorized
		w.Header().Set("WWW-Authenticate", `Basic realm="zmqauth: any name, and the token"`)
	}
	http.Error(w, text, status)
}

// file serves a file of the page.
func file(name, kind string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		text, err := pageFiles.ReadFile("page/" + name)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", kind)
		_, _ = w.Write(text)
	}
}

func (h *HTTP) healthy(w http.ResponseWriter, _ *http.Request) {
	var err error
	if !h.cfg.Auth.IsAlive() {
		err = errNotServing
	}
	answer(w, "", err)
}

func (h *HTTP) ready(w http.ResponseWriter, _ *http.Request) {
	warning, err := h.cfg.Program.ready(h.cfg.Auth)
	answer(w, warning, err)
}

// answer says yes, and a warning, or no, and the reason if everybody may see it.
func answer(w http.ResponseWriter, warning string, err error) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	text := "ok"
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		text, warning = "no", ""
		if why, ok := errors.AsType[reason](err); ok {
			warning = why.Error()
		}
	}
	if warning != "" {
		text += ": " + warning
	}
	_, _ = w.Write([]byte(text + "\n"))
}

// events sends what the page shows, as server-sent events, until either side ends it.
func (h *HTTP) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	if r.Method == http.MethodHead {
		return
	}
	reader, err := h.hub.join()
	if err != nil {
		w.Header().Set("Retry-After", "10")
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer h.hub.leave(reader)
	control := http.NewResponseController(w)
	if err := control.SetReadDeadline(time.Time{}); err != nil { // of the request, which is over
		return
	}
	for {
		text, ok := reader.next(r.Context())
		if !ok {
			return
		}
		if _, err := w.Write(text); err != nil {
			panic(http.ErrAbortHandler) // the reader is gone, or too slow
		}
		if err := control.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
			panic(http.ErrAbortHandler)
		}
	}
}
