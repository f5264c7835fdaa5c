package admin

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

const (
	// maxRefusals is how many kinds of refusals are kept: the latest.
	maxRefusals = 100
	// maxShown is how many bytes of a text that a client has sent are kept.
	maxShown = 256
)

// Refusals keeps the refusals of late, with what the log says of them. Its zero value is ready.
// Give the Logger of zmqauth.Config its Handler. Refusals that are alike are kept once, and
// counted.
type Refusals struct {
	mu   sync.Mutex
	kept []Refusal // the latest last
}

// Refusal is refusals that are alike, in JSON. All its texts but Reason are as the client has sent
// them: whoever shows them must treat them as text.
type Refusal struct {
	First     time.Time `json:"first"`
	Last      time.Time `json:"last"`
	Count     uint64    `json:"count"`
	Status    int64     `json:"status"`
	Reason    string    `json:"reason"`
	Domain    string    `json:"domain"`
	Mechanism string    `json:"mechanism"`
	Address   string    `json:"address"`
	About     string    `json:"about,omitempty"` // who: "user eve", "key …"
	Error     string    `json:"error,omitempty"` // of a callback
}

func (r Refusal) like(other Refusal) bool {
	return r.Reason == other.Reason && r.Domain == other.Domain && r.Mechanism == other.Mechanism &&
		r.Address == other.Address && r.About == other.About
}

// Handler passes records on to another handler, and keeps what they say of refusals, whatever the
// other handler's level is.
func (r *Refusals) Handler(next slog.Handler) slog.Handler { return &tap{next, r} }

// Recent returns the refusals that are kept, the latest first.
func (r *Refusals) Recent() []Refusal {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]Refusal, 0, len(r.kept)) // in JSON it is a list, though it may be empty
	for _, one := range slices.Backward(r.kept) {
		all = append(all, one)
	}
	return all
}

func (r *Refusals) add(one Refusal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := slices.IndexFunc(r.kept, one.like); i >= 0 {
		one.First, one.Count = r.kept[i].First, r.kept[i].Count+1
		r.kept = append(slices.Delete(r.kept, i, i+1), one)
		return
	}
	if len(r.kept) >= maxRefusals {
		r.kept = slices.Delete(r.kept, 0, 1)
	}
	r.kept = append(r.kept, one)
}

// tap is a slog.Handler that lets a Refusals see what passes.
type tap struct {
	next     slog.Handler
	refusals *Refusals
}

// Enabled implements slog.Handler. Refusals are seen, though the log may not want them.
func (t *tap) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo || t.next.Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (t *tap) Handle(ctx context.Context, record slog.Record) error {
	if one, ok := refusalOf(record); ok {
		t.refusals.add(one)
	}
	if !t.next.Enabled(ctx, record.Level) {
		return nil
	}
	return t.next.Handle(ctx, record)
}

// WithAttrs implements slog.Handler.
func (t *tap) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &tap{t.next.WithAttrs(attrs), t.refusals}
}

// WithGroup implements slog.Handler.
func (t *tap) WithGroup(name string) slog.Handler {
	return &tap{t.next.WithGroup(name), t.refusals}
}

// refusalOf reads a record of the Authenticator about a refusal: one that has a reason, a status,
// an address and a domain.
func refusalOf(record slog.Record) (r Refusal, ok bool) {
	if record.Level < slog.LevelInfo {
		return r, false
	}
	r = Refusal{First: record.Time.UTC(), Last: record.Time.UTC(), Count: 1}
	seen := 0
	record.Attrs(func(a slog.Attr) bool {
		text := map[string]*string{"reason": &r.Reason, "domain": &r.Domain, "address": &r.Address,
			"mechanism": &r.Mechanism, "error": &r.Error}[a.Key]
		switch {
		case a.Key == "status" && a.Value.Kind() == slog.KindInt64:
			r.Status = a.Value.Int64()
			seen++
		case text != nil:
			*text = shorten(a.Value.String())
			seen++
		case a.Value.Kind() == slog.KindString && a.Key != "stack":
			r.About = a.Key + " " + shorten(a.Value.String())
		}
		return true
	})
	return r, seen >= 5 && r.Reason != "" && r.Status >= 300
}

// shorten is a copy of the beginning of a text, in valid UTF-8.
func shorten(text string) string {
	if len(text) > maxShown {
		end := maxShown
		for !utf8.RuneStart(text[end]) && end > maxShown-utf8.UTFMax {
			end--
		}
		text = text[:end] + "…"
	}
	return strings.ToValidUTF8(strings.Clone(text), "\ufffd")
}
