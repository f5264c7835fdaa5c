// Package policyfile reads policies. A policy is a file in ZPL (RFC 4). It says which clients each
// domain admits, which frontends the proxy has before which services, and which links of TLS and
// SSH it runs. The package only reads: it puts nothing in force.
package policyfile

import (
	"path/filepath"
	"slices"
	"time"

	"github.com/zmqauth/zmqauth/internal/acl"
)

// Policy is the content of a policy file. It is immutable. The zero value is the policy of an empty
// file.
type Policy struct {
	File      string     // the path, as the caller gave it
	Domains   []Domain   // in the file's order
	Frontends []Frontend // in the file's order

	// Fleet is the file of the fleet that decides about FleetDomains; nil: there is none.
	// FleetPending and FleetWindow are what Pending and EnrolWindow are of a Domain.
	Fleet        *Entry
	FleetPending bool
	FleetWindow  time.Duration

	// StaleLimit is how long what cannot be read any more stays in force. 0: the file does not say.
	StaleLimit time.Duration

	// The links, each kind in the file's order.
	TLSServes   []TLSServe
	TLSConnects []TLSConnect
	Tunnels     []Tunnel

	Services []Service // in the file's order
	Programs []Program // the same

	dir string // absolute; relative paths start here
}

// Domain is one domain entry of a policy.
type Domain struct {
	Name      string
	Line      int
	Kind      acl.Kind // of the addresses
	Addresses []Entry
	Plain     *Entry  // the password file, nil: none
	Curve     *Entry  // the directory of certificates, or AnyKey; nil: none
	GSSAPI    []Entry // the principals

	Grace time.Duration // how long relays let clients in again without the service; 0: they do not

	// Pending has clients with unknown keys wait until somebody has looked at them (package enrol),
	// for that long from when it comes into force; 0: for ever.
	Pending     bool
	EnrolWindow time.Duration
}

// Entry is a value, or one item of a list, with its line.
type Entry struct {
	Text string
	Line int
}

// AnyDomain is the name of the entry for all domains that have no entry of their own.
const AnyDomain = "*"

// AnyKey takes the place of a directory of certificates. It admits every key.
const AnyKey = "*"

// AnyPrincipal, among the principals, is every principal.
const AnyPrincipal = "*"

// MaxDomain is the length of the longest domain name in bytes. The limit is libzmq's.
const MaxDomain = 255

// The names of the entries in a policy.
const (
	EntryDomain     = "domain"
	EntryFrontend   = "frontend"
	EntryStaleLimit = "stale-limit"
	EntryFleet      = "fleet"

	EntryAllow  = "allow"
	EntryDeny   = "deny"
	EntryPlain  = "plain"
	EntryCurve  = "curve"
	EntryGSSAPI = "gssapi"

	EntryUnknown     = "unknown"
	EntryEnrolWindow = "enrol-window"
)

// The values of EntryUnknown.
const (
	UnknownRefused = "refused"
	UnknownPending = "pending"
)

// Resolve returns the absolute path that a path in the policy means.
func (p *Policy) Resolve(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(p.dir, path)
}

// Domain returns the entry of exactly that name, or nil if there is none.
func (p *Policy) Domain(name string) *Domain {
	at := slices.IndexFunc(p.Domains, func(d Domain) bool { return d.Name == name })
	if at < 0 {
		return nil
	}
	return &p.Domains[at]
}

// FleetDomains are the domains that the fleet decides about: those of the frontends that have no
// section of their own. They are sorted.
func (p *Policy) FleetDomains() (names []string) {
	if p.Fleet == nil {
		return nil
	}
	for _, f := range p.Frontends {
		if f.Domain != "" && p.Domain(f.Domain) == nil {
			names = append(names, f.Domain)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Texts returns the values of entries.
func Texts(entries []Entry) []string {
	out := make([]string, len(entries))
	for i, entry := range entries {
		out[i] = entry.Text
	}
	return out
}
