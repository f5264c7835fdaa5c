package soak

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/testrealm"
)

// every waits for about pause. It returns false when ctx has ended.
func every(ctx context.Context, pause time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(pause/2 + rand.N(pause)):
		return ctx.Err() == nil
	}
}

// must reports the error of a call that must succeed.
func (w *world) must(err error) {
	if err != nil {
		w.fault("%v", err)
	}
}

// restarts stops the service, resets the addresses while nobody gets in, and starts it again.
func (r *rules) restarts(ctx context.Context) {
	for every(ctx, 500*time.Millisecond) {
		r.restart()
	}
}

func (r *rules) restart() {
	r.addressMu.Lock()
	defer r.addressMu.Unlock()
	for _, p := range slices.Concat(r.denied, r.allowed) {
		p.standing.begin()
	}
	r.must(r.service.change(false, r.auth.Stop))
	r.tally.count("changes", "stops")
	if r.auth.IsAlive() {
		r.fault("alive after Stop")
	}
	time.Sleep(rand.N(60 * time.Millisecond)) // nobody may get in now
	r.auth.ResetAddresses()
	r.must(r.baseAddresses())
	for _, p := range r.denied {
		p.standing.settle(true)
	}
	for _, p := range r.allowed {
		p.standing.settle(false)
	}
	r.must(r.service.change(true, r.auth.Start))
	r.tally.count("changes", "starts")
}

// addresses denies an address in one domain and allows one in another, again and again.
func (r *rules) addresses(ctx context.Context) {
	for every(ctx, 50*time.Millisecond) {
		i := rand.IntN(clientsPerKind)
		r.addressMu.Lock()
		out, in := r.denied[i], r.allowed[i]
		r.must(out.standing.change(false, func() error { return r.auth.DenyDomain("open", out.source) }))
		r.must(in.standing.change(true, func() error { return r.auth.AllowDomain("guests", in.source) }))
		r.addressMu.Unlock()
		r.tally.add("changes", "addresses", 2)
	}
}

// choose draws one of two passwords or none for each changing user. It returns the passwords of all
// users, and the functions that begin and settle the changes of their standings.
func choose(
	users map[string]string, changing []*changingUser,
) (all map[string]string, begin, settle func()) {
	all = maps.Clone(users)
	drawn := make([]int, len(changing))
	for i, u := range changing {
		drawn[i] = rand.IntN(3)
		if drawn[i] < len(u.passwords) {
			all[u.name] = u.passwords[drawn[i]]
		}
	}
	each := func(do func(p *client, in bool)) func() {
		return func() {
			for i, u := range changing {
				for j, p := range u.clients {
					do(p, drawn[i] == j)
				}
			}
		}
	}
	begin = each(func(p *client, _ bool) { p.standing.begin() })
	settle = each(func(p *client, in bool) { p.standing.settle(in) })
	return all, begin, settle
}

// tables changes the passwords of a domain that has them in memory.
func (r *rules) tables(ctx context.Context) {
	for every(ctx, 100*time.Millisecond) {
		all, begin, settle := choose(r.tableUsers, r.table)
		begin()
		r.must(r.auth.ConfigurePlain("table", all))
		settle()
		r.tally.count("changes", "passwords")
	}
}

// keys changes the keys of a domain that has them in memory.
func (r *rules) keys(ctx context.Context) {
	for every(ctx, 30*time.Millisecond) {
		set, in := slices.Clone(r.keySet), make(map[*client]bool)
		for _, p := range r.changingKeys {
			if in[p] = rand.IntN(2) == 0; in[p] {
				set = append(set, r.keyOf[p].Public)
			}
			p.standing.begin()
		}
		r.must(r.auth.ConfigureCurveKeys("keys", set...))
		for _, p := range r.changingKeys {
			p.standing.settle(in[p])
		}
		r.tally.count("changes", "keys")
	}
}

// principals changes the principals that may get in. The pauses are long, because it takes a while
// to see that a GSSAPI client is refused.
func (r *rules) principals(ctx context.Context) {
	without := [][]string{{testrealm.AnnFull}, {"ann/*@" + testrealm.Name}}
	with := [][]string{
		{testrealm.AnnFull, testrealm.CarolFull},
		{"ann/client@" + testrealm.Name, "*@" + testrealm.Name},
	}
	carol := r.carol[0].standing
	for every(ctx, 3*time.Second) {
		in := !carol.look().in
		lists := map[bool][][]string{true: with, false: without}[in]
		list := lists[rand.IntN(len(lists))]
		r.must(carol.change(in, func() error {
			return r.auth.ConfigureGSSAPI("principals", list...)
		}))
		r.tally.count("changes", "principals")
	}
}

// mistakes makes calls that must fail and change nothing.
func (r *rules) mistakes(ctx context.Context) {
	for every(ctx, 100*time.Millisecond) {
		r.makeMistakes()
	}
}

func (r *rules) makeMistakes() {
	r.addressMu.Lock() // makes sure that the domain guests has an allow list
	defer r.addressMu.Unlock()
	passwords := func(password string) error {
		return r.auth.ConfigurePlain("table", map[string]string{strangersUser: password})
	}
	for name, err := range map[string]error{
		"a mistyped address":          r.auth.Deny("127.1.0.O"),
		"a network too long":          r.auth.AllowDomain("guests", unlistedAddress, "127.0.0.0/33"),
		"two kinds of lists":          r.auth.DenyDomain("guests", allowedAddress),
		"an empty password":           passwords(""),
		"a broken hash":               passwords("$2y$10$"),
		"no password file":            r.auth.ConfigurePlainFile("file", r.passwords+" none"),
		"no directory":                r.auth.ConfigureCurve("directory", r.dir+" none"),
		"a zero key":                  r.auth.ConfigureCurveKeys("keys", zmqauth.PublicKey{}),
		"no realm":                    r.auth.ConfigureGSSAPI("principals", "bob"),
		"an empty domain":             r.auth.ConfigureCurve("", zmqauth.CurveAllowAny),
		"no callback":                 r.auth.ConfigurePlainCallback("ask", nil),
		"a second one in the context": r.second(),
	} {
		if err == nil {
			r.fault("%s: no error", name)
		}
		r.tally.count("changes", "that were mistakes")
	}
}

// second starts a second Authenticator in the same context, which must fail.
func (r *rules) second() error {
	other, err := zmqauth.New(r.zctx, nil)
	if err != nil {
		return err
	}
	err = other.Start()
	r.must(other.Close())
	return err
}
