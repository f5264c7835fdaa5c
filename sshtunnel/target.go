package sshtunnel

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// target is one SSH server on the way, with all that Config, Host and ssh_config say about it.
type target struct {
	host    string // what is dialled
	port    int
	user    string
	network string // tcp, tcp4, tcp6

	keys           []keyFile
	certificates   []string // of users, beside those named after their key
	onlyKeys       bool     // no others of the agent
	agent          string   // its socket; "": none
	methods        []string // of authentication, in order
	password       func() (string, error)
	passphrase     func(keyFile string) (string, error)
	prompt         ssh.KeyboardInteractiveChallenge
	knownName      string   // as known_hosts has it
	plainName      string   // the host alone, where knownName has a port too; else ""
	knownHosts     []string // the first one is where new keys go
	revokedKeys    string   // a file of them; "": none
	acceptNew      bool
	hashNew        bool
	algorithms     ssh.Algorithms
	connectTimeout time.Duration
	keepAlive      time.Duration // negative: none
	aliveCount     int
	logger         *slog.Logger
}

// keyFile is a private key to be offered.
type keyFile struct {
	path  string
	named bool // by the Config: that it cannot be used is an error
	usual bool // one of those that are tried where nothing is said
}

func (t *target) address() string { return net.JoinHostPort(t.host, strconv.Itoa(t.port)) }

// String is user@host:port.
func (t *target) String() string { return t.user + "@" + t.address() }

// resolve returns the servers to go through, first to last: the jump hosts, and the one that Config
// is about.
func resolve(cfg Config) ([]*target, error) {
	return resolveVia(cfg, true, 0)
}

// resolveVia does, with the jump hosts that ssh_config has for cfg's host or without.
func resolveVia(cfg Config, viaConfig bool, depth int) ([]*target, error) {
	t, found, err := resolveOne(cfg)
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
		return nil, fmt.Errorf("sshtunnel: %s: more than %d hosts to go through; does ProxyJump lead back here?", t, maxJumps)
	}
	var chain []*target
	for i, jump := range jumps {
		// ssh reaches the first one as if it were called for it alone, and the others through the one
		// before.
		before, err := resolveVia(jump, i == 0, depth+len(jumps))
		if err != nil {
			return nil, err
		}
		chain = append(chain, before...)
	}
	return append(chain, t), nil
}

// inherit fills in what a jump host has from the Config that it is part of.
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
		c.Passphrase = from.Passphrase // which does not leave this process
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

// configuredJumps are the jump hosts of ssh_config. They get no password: that is for the host it
// was meant for.
func configuredJumps(cfg Config, t *target, found settings) ([]Config, error) {
	if command, ok := found.first("proxycommand"); ok && !strings.EqualFold(command.words[0], "none") {
		return nil, command.errorf("ProxyCommand would run a program, which this package never does; use ProxyJump or Config.Jumps")
	}
	proxy, ok := found.first("proxyjump")
	if !ok || strings.EqualFold(proxy.words[0], "none") {
		return nil, nil
	}
	list, err := expand(proxy.words[0], map[byte]string{'h': t.host, 'n': t.givenName(cfg), 'p': strconv.Itoa(t.port), 'r': t.user})
	if err != nil {
		return nil, proxy.errorf("ProxyJump: %w", err)
	}
	var jumps []Config
	for _, host := range strings.Split(list, ",") {
		if _, err := parseHostSpec(host); err != nil {
			return nil, proxy.errorf("ProxyJump: %w", err)
		}
		jumps = append(jumps, Config{Host: host}.inherit(cfg))
	}
	return jumps, nil
}

// givenName is the host as it was given, without user and port.
func (*target) givenName(cfg Config) string {
	spec, _ := parseHostSpec(cfg.Host) // has been read before
	return spec.host
}

func resolveOne(cfg Config) (*target, settings, error) {
	spec, err := parseHostSpec(cfg.Host)
	if err != nil {
		return nil, nil, err
	}
	if cfg.User != "" {
		spec.user = cfg.User
	}
	if cfg.Port != 0 {
		spec.port = cfg.Port
	}
	found, own, err := readConfig(cfg.ConfigFile, spec.host, spec.user)
	if err != nil {
		return nil, nil, err
	}
	t := &target{host: spec.host, user: spec.user, port: spec.port, network: "tcp", logger: cfg.Logger}
	if t.logger == nil {
		t.logger = slog.Default()
	}
	r := &resolver{target: t, cfg: cfg, found: found, ownConfig: own, given: spec.host}
	if r.localUser, r.home = localUser(); r.home == "" {
		r.home = "/"
	}
	for _, step := range r.steps() {
		if err := step(); err != nil {
			return nil, nil, err
		}
	}
	return t, found, nil
}

// resolver fills in a target, one group of settings after the other.
type resolver struct {
	*target
	cfg       Config
	found     settings
	ownConfig bool   // found is from the user's own file, not from one that the Config names
	given     string // the host as it was given
	localUser string
	home      string
}

// steps are the groups, in the order in which they build on each other.
func (r *resolver) steps() []func() error {
	return []func() error{r.address, r.identities, r.login, r.hostKeys, r.cryptography, r.times}
}

func (r *resolver) address() (err error) {
	if name, ok := r.found.first("hostname"); ok {
		if r.host, err = expand(name.words[0], map[byte]string{'h': r.given}); err != nil {
			return name.errorf("HostName: %w", err)
		}
	}
	if port, ok := r.found.first("port"); ok && r.port == 0 {
		if r.port, err = parsePort(port.words[0]); err != nil {
			return port.errorf("Port: %w", err)
		}
	}
	if r.port == 0 {
		r.port = 22
	}
	if user, ok := r.found.first("user"); ok && r.user == "" {
		r.user = user.words[0]
	}
	if r.user == "" {
		r.user = r.localUser
	}
	if r.user == "" {
		return fmt.Errorf("sshtunnel: %s: no user is named, and the local one has no name; set Config.User", r.cfg.Host)
	}
	if family, ok := r.found.first("addressfamily"); ok {
		networks := map[string]string{"any": "tcp", "inet": "tcp4", "inet6": "tcp6"}
		if r.network, ok = networks[strings.ToLower(family.words[0])]; !ok {
			return family.errorf("AddressFamily: %q is none of any, inet, inet6", family.words[0])
		}
	}
	return nil
}

// identities are the keys to offer, and the agent that may have them.
func (r *resolver) identities() error {
	only, err := r.found.yes("identitiesonly", false)
	if err != nil {
		return err
	}
	r.onlyKeys = only
	switch files := r.found["identityfile"]; {
	case r.cfg.KeyFile != "":
		key := keyFile{path: expandHome(r.cfg.KeyFile, r.home), named: true}
		if _, err := readKeyFile(key.path); err != nil {
			return err
		}
		r.keys, r.onlyKeys = []keyFile{key}, true
	case files != nil:
		for _, file := range files {
			path, err := r.path(file, file.words[0])
			if err != nil {
				return err
			}
			if path != "none" {
				r.keys = append(r.keys, keyFile{path: path})
			}
		}
	default:
		if r.cfg.jumpKey != "" {
			r.keys = append(r.keys, keyFile{path: expandHome(r.cfg.jumpKey, r.home)})
		}
		for _, name := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
			r.keys = append(r.keys, keyFile{path: filepath.Join(r.home, ".ssh", name), usual: true})
		}
	}
	for _, file := range r.found["certificatefile"] {
		path, err := r.path(file, file.words[0])
		if err != nil {
			return err
		}
		r.certificates = append(r.certificates, path)
	}
	return r.agentSocket()
}

func (r *resolver) agentSocket() error {
	socket := os.Getenv("SSH_AUTH_SOCK")
	if configured, ok := r.found.first("identityagent"); ok && r.cfg.Agent == "" {
		switch word := configured.words[0]; {
		case word == "SSH_AUTH_SOCK":
		case strings.HasPrefix(word, "$") && !strings.HasPrefix(word, "${"):
			socket = os.Getenv(word[1:])
		default:
			path, err := r.path(configured, word)
			if err != nil {
				return err
			}
			socket = path
		}
	}
	if r.cfg.Agent != "" {
		socket = expandHome(r.cfg.Agent, r.home)
	}
	if socket != "none" {
		r.agent = socket
	}
	return nil
}

// path is a file name of ssh_config with everything in it replaced.
func (r *resolver) path(d directive, word string) (string, error) {
	hostname, err := os.Hostname()
	if err != nil {
		hostname = "localhost"
	}
	short, _, _ := strings.Cut(hostname, ".")
	alias := r.given
	if set, ok := r.found.first("hostkeyalias"); ok {
		alias = set.words[0]
	}
	text, err := expand(expandHome(word, r.home), map[byte]string{
		'd': r.home, 'h': r.host, 'i': strconv.Itoa(os.Getuid()), 'k': alias, 'L': short, 'l': hostname, 'n': r.given,
		'p': strconv.Itoa(r.port), 'r': r.user, 'u': r.localUser,
	})
	if err == nil {
		text, err = expandVariables(text)
	}
	if err != nil {
		return "", d.errorf("%w", err)
	}
	return text, nil
}

func (s settings) first(keyword string) (directive, bool) {
	if found := s[keyword]; len(found) > 0 {
		return found[0], true
	}
	return directive{}, false
}

// yes reads a directive that is yes or no.
func (s settings) yes(keyword string, otherwise bool) (bool, error) {
	d, ok := s.first(keyword)
	if !ok {
		return otherwise, nil
	}
	switch strings.ToLower(d.words[0]) {
	case "yes", "true":
		return true, nil
	case "no", "false":
		return false, nil
	}
	return false, d.errorf("%s: %q is neither yes nor no", keyword, d.words[0])
}
