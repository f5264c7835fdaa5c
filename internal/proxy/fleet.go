package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/enrol"
	"github.com/zmqauth/zmqauth/fleet"
	"github.com/zmqauth/zmqauth/fleet/natsstore"
	"github.com/zmqauth/zmqauth/internal/fleetfile"
)

// membership is that of the proxy in a fleet. nil is none.
type membership struct {
	file    *fleetfile.Member
	domains []string // that the fleet decides about
	log     *slog.Logger
	conn    *nats.Conn
	store   *natsstore.Store
	audit   *fleet.Auditor
	desk    *enrol.Desk   // where unknown keys wait, of all domains
	member  *fleet.Member // nil: it has not joined
	ended   chan error
}

// rules are the policy without what the fleet decides about.
func (c *Config) rules() *zmqauth.Policy { return c.Policy.Except(c.File.FleetDomains()...) }

// connect prepares to follow the fleet of a policy, if it has one. It does not matter whether an
// engine answers.
func connect(c *Config, log *slog.Logger, e *enrolment) (m *membership, err error) {
	if c.member == nil {
		return nil, nil
	}
	m = &membership{file: c.member, domains: c.File.FleetDomains(), ended: make(chan error, 1),
		log: log.With("fleet", c.member.Fleet, "server", c.member.Name), desk: e.desk}
	m.log.Info(MessageFleet, "engines", m.file.Engines, "domains", m.domains)
	e.noticed = m.noticed
	if m.conn, err = m.file.Connect(m.log, true); err != nil {
		return nil, err
	}
	if m.store, err = m.file.Store(m.conn, 0); err == nil {
		m.audit, err = fleet.NewAuditor(m.store, fleet.AuditOptions{Server: m.file.Name,
			Spool: m.spool(), Logger: m.log})
	}
	if err != nil {
		m.conn.Close()
		return nil, err
	}
	return m, nil
}

// spool is the file for events that no engine has yet, beside the snapshot.
func (m *membership) spool() string {
	if m.file.Snapshot == "" {
		return ""
	}
	return strings.TrimSuffix(m.file.Snapshot, filepath.Ext(m.file.Snapshot)) + ".audit"
}

// Decision is told of each decision.
func (m *membership) Decision(d zmqauth.Decision) {
	if slices.Contains(m.domains, d.Domain) {
		m.audit.Decision(d)
	}
}

// unknownKey notes a key that nobody knows, and tells whether its client is to try again.
func (m *membership) unknownKey(domain string, key zmqauth.PublicKey, address string) bool {
	return !m.member.IsRevoked(domain, key) && m.desk.UnknownKey(domain, key, address)
}

// noticed is told of each key that begins to wait.
func (m *membership) noticed(r enrol.Request) {
	if slices.Contains(m.domains, r.Domain) {
		m.audit.Add(fleet.Event{Kind: fleet.EventPending, Domain: r.Domain, Mechanism: "CURVE",
			Key: r.Key.String(), Address: r.Address})
	}
}

// pending are the keys that wait to be let in to the fleet's domains.
func (m *membership) pending() (all []fleet.Pending) {
	for _, r := range m.desk.Pending() {
		if slices.Contains(m.domains, r.Domain) {
			all = append(all, fleet.Pending{Domain: r.Domain, Key: r.Key, Address: r.Address,
				Attempts: r.Tries, First: r.First, Last: r.Last})
		}
	}
	return all
}

// observe adds what the fleet wants to know to the settings of an Authenticator.
func (m *membership) observe(c *zmqauth.Config) {
	if m == nil {
		return
	}
	decided, changed, unknown := c.OnDecision, c.OnSession, c.UnknownKey
	c.OnDecision = func(d zmqauth.Decision) {
		if decided != nil {
			decided(d)
		}
		m.Decision(d)
	}
	c.OnSession = func(s zmqauth.Session, open bool) {
		if changed != nil {
			changed(s, open)
		}
		m.audit.Session(s, open)
	}
	c.UnknownKey = func(domain string, key zmqauth.PublicKey, address string) bool {
		if slices.Contains(m.domains, domain) {
			return m.unknownKey(domain, key, address)
		}
		return unknown != nil && unknown(domain, key, address)
	}
}

// join has an Authenticator follow the fleet. It returns once the fleet's clients can be judged.
func (m *membership) join(ctx context.Context, auth *zmqauth.Authenticator, version string) error {
	if m == nil {
		return nil
	}
	var err error
	m.member, err = fleet.Join(ctx, auth, m.store, fleet.Options{Fleet: m.file.Fleet,
		Server: m.file.Name, Signers: m.file.Signers, Domains: m.domains, Snapshot: m.file.Snapshot,
		MaxStale: m.file.MaxStale, Version: version, Logger: m.log, Audit: m.audit,
		Pending: m.pending})
	if err != nil {
		return err
	}
	go func() { m.ended <- m.member.Wait() }()
	status := m.member.Status()
	m.log.Info(MessageJoined, "keys", status.Keys, "users", status.Users, "principals",
		status.Principals, "revision", status.Position.Revision)
	return nil
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
	err = errors.Join(err, m.audit.Close())
	m.conn.Close()
	return err
}

// warning is what a status line says about the age of the fleet's news: nothing while they are
// fresh.
func (m *membership) warning() string {
	if m == nil || m.member.Health() == nil {
		return ""
	}
	if m.member.Status().Suspended {
		return "; the fleet's news are too old, nobody new gets in"
	}
	return "; the fleet's news are old"
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
