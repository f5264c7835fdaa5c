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

// misbehaviours are what callbacks do with clients that must never get in.
var misbehaviours = []string{
	"denied", "nobody", "later", "error", "panic", "goexit", "slow", "stubborn", "NUL", "metadata",
}

func (r *rules) addCallbackClients(t *testing.T) {
	users, keys := r.servers["ask"], r.servers["ask keys"]
	for i := range clientsPerKind {
		name := fmt.Sprint("good", i)
		p := users.plainClient(name, name, secretMark+name, always())
		p.userID, p.title = "user "+name, "reader"
		c := r.certificate(t, nil)
		r.kinds[c.Public] = "good"
		p = keys.curveClient(name, c, always())
		p.userID, p.title = "user good", "reader"
	}
	for _, kind := range misbehaviours {
		users.plainClient(kind, kind, secretMark, new(standing))
		c := r.certificate(t, nil)
		r.kinds[c.Public] = kind
		keys.curveClient(kind, c, new(standing))
	}
	users.plainClient("a stranger", strangersUser, secretMark, new(standing))
	keys.curveClient("a stranger", r.certificate(t, nil), new(standing))
	const name = "changing"
	c := r.certificate(t, nil)
	r.kinds[c.Public] = name
	for domain, p := range map[string]*client{
		"ask":            users.plainClient(name, name, secretMark, new(standing)),
		"ask keys":       keys.curveClient(name, c, new(standing)),
		"ask principals": r.carol[1],
	} {
		p.userID, p.title = "user "+name, "reader"
		r.turning[domain], r.turned[domain] = p, new(atomic.Bool)
	}
	ann := r.servers["ask principals"].clients["ask principals/ann"]
	ann.userID, ann.title = "user good", "reader"
}

func (r *rules) configureCallbacks() error {
	return errors.Join(
		r.auth.ConfigurePlainCallback("ask", r.answer),
		r.auth.ConfigureCurveCallback("ask keys", r.answerKey),
		r.auth.ConfigureGSSAPICallback("ask principals", r.answerPrincipal),
	)
}

func (r *rules) answerKey(
	ctx context.Context, domain string, key zmqauth.PublicKey,
) (*zmqauth.Identity, error) {
	return r.answer(ctx, domain, r.kinds[key], key.String())
}

func (r *rules) answerPrincipal(
	ctx context.Context, domain, principal string,
) (*zmqauth.Identity, error) {
	kind := misbehaviours[rand.IntN(len(misbehaviours))]
	switch principal {
	case testrealm.AnnFull:
		kind = "good"
	case testrealm.CarolFull:
		kind = "changing"
	}
	return r.answer(ctx, domain, kind, principal)
}

// answer is the callback for PLAIN and does the work of all callbacks. It behaves according to the
// kind of the client, which for PLAIN is the user name.
func (r *rules) answer(
	ctx context.Context, domain, kind, secret string,
) (*zmqauth.Identity, error) {
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

// kindOf returns the kind for the tally, which has one kind for all good clients and one for all
// strangers.
func kindOf(kind string) string {
	switch {
	case strings.HasPrefix(kind, "good"):
		return "good"
	case kind == "changing" || slices.Contains(misbehaviours, kind):
		return kind
	default:
		return "stranger"
	}
}

// callbacks changes the answers of callbacks for the changing clients, and configures callbacks
// again.
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
