package zaptest_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
	"github.com/zmqauth/zmqauth/zaptest"
)

// TestZmqauth runs the suite on zmqauth with several configurations. No check fails, and every
// check applies to at least one of them.
func TestZmqauth(t *testing.T) {
	full := testHandler()
	full.RefusedPrincipal = "bob@EXAMPLE.ORG"
	full.Metadata = map[string]string{"Role": "operator"}
	directory := files(t, &full)
	plain := full
	plain.Metadata = nil
	everyone := zaptest.Handler{
		Null:           true,
		EveryDomain:    true,
		EveryKey:       true,
		Key:            full.Key,
		Address:        "2001:db8::1",
		RefusedAddress: "2001:db8::66",
	}
	applied := make(map[string]bool)
	for _, test := range []struct {
		name      string
		h         zaptest.Handler
		configure func(*zmqauth.Authenticator) error
	}{
		{"nothing", zaptest.Handler{Null: true}, func(*zmqauth.Authenticator) error { return nil }},
		{"in memory", plain, func(a *zmqauth.Authenticator) error {
			return errors.Join(
				a.ConfigurePlain("global", map[string]string{full.User: full.Password}),
				a.Deny(full.RefusedAddress),
				a.ConfigureCurveKeys("global", zmqauth.PublicKey(full.Key)),
				a.ConfigureGSSAPI("global", full.Principal),
			)
		}},
		{"in files", plain, func(a *zmqauth.Authenticator) error {
			return errors.Join(
				a.ConfigurePlainFile("global", filepath.Join(directory, "passwords")),
				a.Allow("192.0.2.0/26"),
				a.ConfigureCurve("global", filepath.Join(directory, "clients")),
				a.ConfigureGSSAPI("global", full.Principal),
			)
		}},
		{"by callbacks", full, func(a *zmqauth.Authenticator) error {
			return errors.Join(
				a.DenyDomain("global", full.RefusedAddress),
				configureCallbacks(a, full),
			)
		}},
		{"everyone", everyone, func(a *zmqauth.Authenticator) error {
			return errors.Join(
				a.ConfigureCurve(zmqauth.AnyDomain, zmqauth.CurveAllowAny),
				a.Deny(everyone.RefusedAddress),
			)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := startZmqauth(t, test.configure)
			for _, r := range zaptest.Check(a.Context(), test.h) {
				t.Log(r)
				applied[r.Name] = applied[r.Name] || r.Passed()
				if r.Failed() {
					t.Error(r)
				}
			}
		})
	}
	for _, r := range zaptest.Requirements() {
		if !applied[r.Name] {
			t.Errorf("%s applies to no configuration", r.Name)
		}
	}
}

func startZmqauth(
	t *testing.T, configure func(*zmqauth.Authenticator) error,
) *zmqauth.Authenticator {
	t.Helper()
	testpeer.NothingLeft(t)
	quiet := &zmqauth.Config{Logger: slog.New(slog.DiscardHandler)}
	a, err := zmqauth.New(testzmq.NewContext(t), quiet)
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, a.Close()) })
	must.OK(t, errors.Join(configure(a), a.Start()))
	return a
}

// configureCallbacks sets up callbacks that let in the clients of h.
func configureCallbacks(a *zmqauth.Authenticator, h zaptest.Handler) error {
	answer := func(yes bool) (*zmqauth.Identity, error) {
		if !yes {
			return nil, zmqauth.ErrDenied
		}
		return &zmqauth.Identity{Metadata: h.Metadata}, nil
	}
	plain := func(_ context.Context, _, user, password string) (*zmqauth.Identity, error) {
		return answer(user == h.User && password == h.Password)
	}
	curve := func(_ context.Context, _ string, key zmqauth.PublicKey) (*zmqauth.Identity, error) {
		return answer(key == zmqauth.PublicKey(h.Key))
	}
	gssapi := func(_ context.Context, _, principal string) (*zmqauth.Identity, error) {
		return answer(principal == h.Principal)
	}
	return errors.Join(
		a.ConfigurePlainCallback("global", plain),
		a.ConfigureCurveCallback("global", curve),
		a.ConfigureGSSAPICallback("global", gssapi),
	)
}
