package proxy

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/fleet"
	"github.com/zmqauth/zmqauth/internal/fleetfile"
)

// membership is that of the proxy in a fleet. nil is none.
type membership struct {
	file    *fleetfile.Member
	domains []string // that the fleet decides about
	conn    *nats.Conn
	member  *fleet.Member // nil: it has not joined
	ended   chan error
}

// rules are the policy without what the fleet decides about.
func (c *Config) rules() *zmqauth.Policy { return c.Policy.Except(c.File.FleetDomains()...) }

// join has an Authenticator follow the fleet of a policy, if it has one. It returns once the fleet's
// clients can be judged. The membership is to be closed also if there is an error.
func join(ctx context.Context, auth *zmqauth.Authenticator, c *Config, o Options) (
	*membership, error) {
	if c.member == nil {
		return nil, nil
	}
	m := &membership{file: c.member, domains: c.File.FleetDomains(), ended: make(chan error, 1)}
	log := o.Log.With("fleet", m.file.Fleet, "server", m.file.Name)
	log.Info(MessageFleet, "engines", m.file.Engines, "domains", m.domains)
	var err error
	if m.conn, err = m.file.Connect(log, true); err != nil {
		return m, err
	}
	store, err := m.file.Store(m.conn, 0)
	if err != nil {
		return m, err
	}
	m.member, err = fleet.Join(ctx, auth, store, fleet.Options{Fleet: m.file.Fleet,
		Server: m.file.Name, Signers: m.file.Signers, Domains: m.domains, Snapshot: m.file.Snapshot,
		MaxStale: m.file.MaxStale, Version: o.Version, Logger: log})
	if err != nil {
		return m, err
	}
	go func() { m.ended <- m.member.Wait() }()
	status := m.member.Status()
	log.Info(MessageJoined, "keys", status.Keys, "users", status.Users, "principals",
		status.Principals, "revision", status.Position.Revision)
	return m, nil
}

// Ended tells of the end of the membership.
func (m *membership) Ended() <-chan error {
	if m == nil {
		return nil
	}
	return m.ended
}

// Close ends the membership. Nobody new gets in to its domains then.
func (m *membership) Close() (err error) {
	if m == nil {
		return nil
	}
	if m.member != nil {
		err = m.member.Close()
	}
	if m.conn != nil {
		m.conn.Close()
	}
	return err
}

// check tells whether a policy that is read again has the same fleet.
func (m *membership) check(c *Config) error {
	var file *fleetfile.Member
	var domains []string
	if m != nil {
		file, domains = m.file, m.domains
	}
	switch {
	case !file.Same(c.member):
		return errors.New("the policy has another fleet, or its file has changed: restart the proxy")
	case !slices.Equal(domains, c.File.FleetDomains()):
		return fmt.Errorf("the fleet would decide about the domains %q instead of %q: restart the proxy",
			c.File.FleetDomains(), domains)
	}
	return nil
}
