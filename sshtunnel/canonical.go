package sshtunnel

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// lookup looks a host up. network is ip, ip4 or ip6. canonical is the name that the host's aliases
// lead to, without a final dot; it is only wanted if alias is true. found is false if there is no
// such host.
type lookup func(
	ctx context.Context, network, host string, alias bool,
) (canonical string, found bool)

func lookupHost(ctx context.Context, network, host string, alias bool) (string, bool) {
	if _, err := net.DefaultResolver.LookupIP(ctx, network, host); err != nil {
		return "", false
	}
	if !alias {
		return "", true
	}
	canonical, err := net.DefaultResolver.LookupCNAME(ctx, host)
	if err != nil {
		return "", true
	}
	return strings.TrimSuffix(canonical, "."), true
}

// canonical returns the name to dial for a host: an address in its usual form, or the name in lower
// case, with one of CanonicalDomains behind it if CanonicalizeHostname asks for that. It follows an
// alias if CanonicalizePermittedCNAMEs allows that.
func (r *configReader) canonical(host string) (string, error) {
	if address, err := netip.ParseAddr(host); err == nil {
		return address.String(), nil
	}
	if strings.ContainsAny(host, "%:") || strings.Trim(host, "0123456789.") == "" {
		return host, nil // an address that cannot be read; dialling it will say so
	}
	host = strings.ToLower(host)
	wanted := strings.ToLower(r.found.word("canonicalizehostname"))
	enabled := r.found.yes("canonicalizehostname", false)
	if r.found.proxied() && wanted != "always" {
		return host, nil
	}
	if enabled {
		name, alias, err := r.qualify(host)
		if err != nil || name != "" {
			return r.follow(name, alias), err
		}
	}
	if len(r.permitted()) == 0 {
		return host, nil
	}
	alias, found := r.lookup(r.ctx, r.network(), host, true)
	if !found && !r.found.proxied() {
		return "", fmt.Errorf("sshtunnel: there is no host %q", host)
	}
	if !enabled {
		return host, nil
	}
	return r.follow(host, alias), nil
}

// qualify looks for the host in CanonicalDomains. It returns "" if the host is in none of them and
// the system may look for it by its own rules.
func (r *configReader) qualify(host string) (name, alias string, err error) {
	names := []string{host}
	if !strings.HasSuffix(host, ".") {
		most := 1
		if dots := r.found.word("canonicalizemaxdots"); dots != "" {
			most, _ = strconv.Atoi(dots) // it was checked
		}
		if strings.Count(host, ".") > most {
			return "", "", nil
		}
		names = nil
		if d, ok := r.found.first("canonicaldomains"); ok && !strings.EqualFold(d.words[0], "none") {
			for _, domain := range d.words {
				names = append(names, host+"."+strings.Trim(domain, ".")+".")
			}
		}
	}
	for _, name := range names {
		if alias, found := r.lookup(r.ctx, r.network(), name, len(r.permitted()) > 0); found {
			return strings.TrimSuffix(name, "."), alias, nil
		}
	}
	if err := r.ctx.Err(); err != nil {
		return "", "", fmt.Errorf("sshtunnel: looking for the host %q: %w", host, context.Cause(r.ctx))
	}
	if !r.found.yes("canonicalizefallbacklocal", true) {
		d, _ := r.found.first("canonicalizefallbacklocal")
		return "", "", d.errorf("%s: the host %q is in none of CanonicalDomains", d.keyword, host)
	}
	return "", "", nil
}

// follow returns the name that a host is an alias of, if a rule allows that.
func (r *configReader) follow(host, alias string) string {
	if alias == "" || alias == host {
		return host
	}
	for _, rule := range r.permitted() {
		from, to, ok := strings.Cut(strings.ToLower(rule), ":")
		if !ok { // "*" is any alias of any host
			to = from
		}
		if matchList(strings.ToLower(host), strings.Split(from, ",")) &&
			matchList(strings.ToLower(alias), strings.Split(to, ",")) {
			return alias
		}
	}
	return host
}

// permitted returns the rules of CanonicalizePermittedCNAMEs.
func (r *configReader) permitted() []string {
	d, ok := r.found.first("canonicalizepermittedcnames")
	if !ok || strings.EqualFold(d.words[0], "none") {
		return nil
	}
	return d.words
}

// network returns the network of package net for AddressFamily.
func (r *configReader) network() string {
	switch strings.ToLower(r.found.word("addressfamily")) {
	case "inet":
		return "ip4"
	case "inet6":
		return "ip6"
	}
	return "ip"
}
