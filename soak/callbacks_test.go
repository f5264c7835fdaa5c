package soak

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/testrealm"
)

// What callbacks do to those who are never let in.
var mischief = []string{"denied", "nobody", "later", "error", "panic", "goexit", "slow", "stubborn", "NUL", "metadata"}

func (r *rules) addCallbackClients(t *testing.T) {
	users, keys := r.houses["ask"], r.houses["ask keys"]
	for i := range crowd {
		name := fmt.Sprint("good", i)
		p := users.user(name, name, secretMark+name, always())
		p.userID, p.title = "user "+name, "reader"
		c := r.certificate(t, nil)
		r.kinds[c.Public] = "good"
		p = keys.holder(name, c, always())
		p.userID, p.title = "user good", "reader"
	}
	for _, kind := range mischief {
		users.user(kind, kind, secretMark, new(standing))
		c := r.certificate(t, nil)
		r.kinds[c.Public] = kind
		keys.holder(kind, c, new(standing))
	}
	users.user("a stranger", strangersUser, secretMark, new(standing))
	keys.holder("a stranger", r.certificate(t, nil), new(standing))
	const name = "changing"
	c := r.certificate(t, nil)
	r.kinds[c.Public] = name
	for domain, p := range map[string]*person{"ask": users.user(name, name, secretMark, new(standing)), "ask keys": keys.holder(name, c, new(standing)),
		"ask principals": r.carol[1]} {
		p.userID, p.title = "user "+name, "reader"
		r.turning[domain], r.turned[domain] = p, new(atomic.Bool)
	}
	ann := r.houses["ask principals"].people["ask principals/ann"]
	ann.userID, ann.title = "user good", "reader"
}

func (r *rules) configureCallbacks() error {
	return errors.Join(
		r.auth.ConfigurePlainCallback("ask", func(ctx context.Context, domain, username, password string) (*zmqauth.Identity, error) {
			return r.answer(ctx, domain, username, password)
		}),
		r.auth.ConfigureCurveCallback("ask keys", func(ctx context.Context, domain string, key zmqauth.PublicKey) (*zmqauth.Identity, error) {
			return r.answer(ctx, domain, r.kinds[key], key.String())
		}),
		r.auth.ConfigureGSSAPICallback("ask principals", func(ctx context.Context, domain, principal string) (*zmqauth.Identity, error) {
			switch principal {
			case testrealm.AnnFull:
				return r.answer(ctx, domain, "good", principal)
			case testrealm.CarolFull:
				return r.answer(ctx, domain, "changing", principal)
			}
			return r.answer(ctx, domain, mischief[rand.IntN(len(mischief))], principal)
		}))
}

// answer is what all callbacks do, by the kind of who asks.
func (r *rules) answer(ctx context.Context, domain, kind, secret string) (*zmqauth.Identity, error) {
	r.tally.count("callbacks", kindOf(kind))
	who := &zmqauth.Identity{UserID: "user " + kind, Metadata: map[string]string{"Role": "reader"}}
	switch kind {
	case "denied":
		return who, zmqauth.ErrDenied
	case "nobody":
		return nil, nil
	case "later":
		return who, zmqauth.ErrTemporary
	case "error":
		return who, fmt.Errorf("no database for %s", secret)
	case "panic":
		panic("no " + secret)
	case "goexit":
		runtime.Goexit()
	case "slow":
		<-ctx.Done()
	case "stubborn":
		time.Sleep(callbackTimeout * 3 / 2)
	case "NUL":
		who.UserID = "root\x00"
	case "metadata":
		who.Metadata = map[string]string{"User-Id": "root"}
	case "changing":
		if !r.turned[domain].Load() {
			return who, zmqauth.ErrDenied
		}
	default:
		if !strings.HasPrefix(kind, "good") {
			return nil, zmqauth.ErrDenied
		}
		time.Sleep(rand.N(5 * time.Millisecond))
	}
	return who, nil
}

// kindOf counts the good ones as one, and so the strangers.
func kindOf(kind string) string {
	switch {
	case strings.HasPrefix(kind, "good"):
		return "good"
	case kind == "changing" || slices.Contains(mischief, kind):
		return kind
	default:
		return "stranger"
	}
}

// callbacks has callbacks change their minds, and sets them anew.
func (r *rules) callbacks(ctx context.Context) {
	for every(ctx, 40*time.Millisecond) {
		for domain, p := range r.turning {
			in := rand.IntN(2) == 0
			r.must(p.standing.change(in, func() error { r.turned[domain].Store(in); return nil }))
			r.tally.count("changes", "callbacks' minds")
		}
		if rand.IntN(5) == 0 {
			r.must(r.configureCallbacks())
			r.tally.count("changes", "callbacks")
		}
	}
}
