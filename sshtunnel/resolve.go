package sshtunnel

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// resolve returns the servers to connect through, first to last: the jump hosts, and then the
// server that Config is about.
func resolve(ctx context.Context, cfg Config) ([]*target, error) {
	return resolveVia(ctx, cfg, true, 0)
}

// resolveVia is resolve, with the jump hosts that ssh_config has for cfg's host or without them.
// depth is the number of hosts already found.
func resolveVia(ctx context.Context, cfg Config, viaConfig bool, depth int) ([]*target, error) {
	t, found, err := resolveOne(ctx, cfg)
	if err != nil {
		return nil, err
	}
	var jumps []Config
	switch {
	case cfg.Jumps != nil:
		for _, jump := range cfg.Jumps {
			jumps = append(jumps, jump.inherit(cfg))
		}
	case viaConfig:
		if jumps, err = configuredJumps(cfg, t, found); err != nil {
			return nil, err
		}
	}
	if depth+len(jumps) > maxJumps {
		return nil, fmt.Errorf("sshtunnel: %s: more than %d hosts to go through; "+
			"does ProxyJump lead back here?", t, maxJumps)
	}
	var chain []*target
	for i, jump := range jumps {
		// Like ssh, this reaches the first jump host as if it were the target, and each other one through
		// the one before it.
		before, err := resolveVia(ctx, jump, i == 0, depth+len(jumps))
		if err != nil {
			return nil, err
		}
		chain = append(chain, before...)
	}
	return append(chain, t), nil
}

// inherit fills in what a jump host inherits from the Config that it belongs to.
func (c Config) inherit(from Config) Config {
	for _, field := range []struct {
		to   *string
		from string
	}{{&c.ConfigFile, from.ConfigFile}, {&c.KnownHosts, from.KnownHosts}, {&c.Agent, from.Agent}} {
		if *field.to == "" {
			*field.to = field.from
		}
	}
	if c.KeyFile == "" {
		c.jumpKey = from.KeyFile
		if c.jumpKey == "" {
			c.jumpKey = from.jumpKey
		}
	}
	if c.Passphrase == nil {
		c.Passphrase = from.Passphrase // a passphrase is not sent to any host
	}
	c.AcceptNewHostKeys = c.AcceptNewHostKeys || from.AcceptNewHostKeys
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = from.ConnectTimeout
	}
	if c.Logger == nil {
		c.Logger = from.Logger
	}
	return c
}

// configuredJumps returns the jump hosts of ssh_config. They get no password, because the password
// of Config is for another host. If ssh_config has a ProxyCommand instead, t gets it.
func configuredJumps(cfg Config, t *target, found *configuration) ([]Config, error) {
	known := tokens{'h': t.host, 'n': t.given, 'p': strconv.Itoa(t.port), 'r': t.user}
	if d, ok := found.first("proxycommand"); ok && !strings.EqualFold(d.text, "none") {
		command, err := expandCommand(d.text, known)
		if err == nil && command == "-" {
			err = errors.New("the standard input of this process is no connection to a server")
		}
		if err != nil {
			return nil, d.errorf("%s: %w", d.keyword, err)
		}
		t.command = command
		return nil, nil
	}
	proxy, ok := found.first("proxyjump")
	if !ok || strings.EqualFold(proxy.words[0], "none") {
		return nil, nil
	}
	var jumps []Config
	for _, text := range strings.Split(proxy.words[0], ",") { // before a token can bring in a comma
		spec, err := parseHostSpec(text)
		if err == nil {
			spec, err = spec.expanded(known)
		}
		if err != nil {
			return nil, proxy.errorf("%s: %w", proxy.keyword, inner{err})
		}
		jump := Config{Host: spec.host, User: spec.user, Port: spec.port}
		jumps = append(jumps, jump.inherit(cfg))
	}
	return jumps, nil
}
