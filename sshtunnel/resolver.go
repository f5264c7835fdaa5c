package sshtunnel

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

// resolveOne returns the target that cfg is about, and what ssh_config says about it.
func resolveOne(ctx context.Context, cfg Config) (*target, *configuration, error) {
	spec, err := parseHostSpec(cfg.Host)
	if err != nil {
		return nil, nil, err
	}
	if cfg.User != "" {
		if err := checkUser(cfg.User); err != nil {
			return nil, nil, fmt.Errorf("sshtunnel: Config.User %q: %w", cfg.User, err)
		}
		spec.user = cfg.User
	}
	if cfg.Port != 0 {
		spec.port = cfg.Port
	}
	found, err := readConfig(ctx, cfg.ConfigFile, spec.host, spec.user)
	if err != nil {
		return nil, nil, err
	}
	t := &target{
		host: found.host, user: spec.user, port: spec.port, network: "tcp", given: spec.host,
		logger: cfg.Logger,
	}
	if t.logger == nil {
		t.logger = slog.Default()
	}
	r := &resolver{target: t, cfg: cfg, found: found}
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

// resolver fills in a target, one group of settings after another.
type resolver struct {
	*target
	cfg       Config
	found     *configuration
	localUser string
	home      string
}

// steps returns the groups. Later groups need the results of earlier ones.
func (r *resolver) steps() []func() error {
	return []func() error{
		r.unserved, r.address, r.algorithmLists, r.identities, r.login, r.hostKeys, r.times,
	}
}

// unserved returns an error if a setting that this package does not follow changes where one
// connects or whom one trusts. It logs the other ones. Those of the system's file are the same for
// all programs and users, so they are no warning.
func (r *resolver) unserved() error {
	for _, d := range r.found.unserved(refused) {
		return d.errorf("%s is not supported, and without it the connection would be another one; "+
			"describe the host in a file of its own and name it in Config.ConfigFile", d.keyword)
	}
	for _, d := range r.found.unserved(lax) {
		r.logger.Warn("sshtunnel: host keys are checked in known_hosts all the same",
			"host", r.cfg.Host, "setting", d.where())
	}
	var own, system []string
	for _, d := range r.found.unserved(unserved) {
		if d.system {
			system = append(system, d.where())
		} else {
			own = append(own, d.where())
		}
	}
	const without = "sshtunnel: settings of ssh_config that have no effect here"
	if len(own) > 0 {
		r.logger.Warn(without, "host", r.cfg.Host, "settings", own)
	}
	if len(system) > 0 {
		r.logger.Debug(without, "host", r.cfg.Host, "settings", system)
	}
	return nil
}

// address sets port, user, network and the local address.
func (r *resolver) address() (err error) {
	if port, ok := r.found.first("port"); ok && r.port == 0 {
		if r.port, err = parsePort(port.words[0]); err != nil {
			return port.errorf("Port: %w", err)
		}
	}
	if r.port == 0 {
		r.port = defaultPort
	}
	if r.user == "" {
		r.user = r.found.word("user")
	}
	if r.user == "" {
		r.user = r.localUser
	}
	if r.user == "" {
		return fmt.Errorf("sshtunnel: %s: no user is named, and the local one has no name; "+
			"set Config.User", r.cfg.Host)
	}
	switch strings.ToLower(r.found.word("addressfamily")) {
	case "inet":
		r.network = "tcp4"
	case "inet6":
		r.network = "tcp6"
	}
	r.bind = r.found.word("bindaddress")
	return nil
}

// identities sets the keys to offer, and the agent that may have them.
func (r *resolver) identities() error {
	r.onlyKeys = r.found.yes("identitiesonly", false)
	switch files := r.found.settings["identityfile"]; {
	case r.cfg.KeyFile != "":
		path, err := r.ownPath("KeyFile", r.cfg.KeyFile)
		if err != nil {
			return err
		}
		if _, _, err := readKeyOrPublic(path); err != nil {
			return err
		}
		r.keys, r.onlyKeys = []keyFile{{path: path, named: true}}, true
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
			path, err := r.ownPath("KeyFile", r.cfg.jumpKey)
			if err != nil {
				return err
			}
			r.keys = append(r.keys, keyFile{path: path})
		}
		for _, name := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
			r.keys = append(r.keys, keyFile{path: filepath.Join(r.home, ".ssh", name), byDefault: true})
		}
	}
	for _, file := range r.found.settings["certificatefile"] {
		path, err := r.path(file, file.words[0])
		if err != nil {
			return err
		}
		r.certificates = append(r.certificates, path)
	}
	return r.agentSocket()
}

// agentSocket sets the socket of the agent.
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
		path, err := r.ownPath("Agent", r.cfg.Agent)
		if err != nil {
			return err
		}
		socket = path
	}
	if socket != "none" {
		r.agent = socket
	}
	return nil
}

// ownPath returns a file name of Config with ~ replaced.
func (r *resolver) ownPath(field, name string) (string, error) {
	path, err := expandHome(name, r.home)
	if err != nil {
		return "", fmt.Errorf("sshtunnel: Config.%s: %w", field, err)
	}
	return path, nil
}

// path returns a file name of ssh_config with ~, tokens and variables replaced.
func (r *resolver) path(d directive, word string) (string, error) {
	text, err := expandHome(word, r.home)
	if err == nil {
		text, err = expand(text, r.tokens())
	}
	if err == nil {
		text, err = expandVariables(text)
	}
	if err != nil {
		return "", d.errorf("%s: %w", d.keyword, err)
	}
	return text, nil
}

func (r *resolver) tokens() tokens {
	alias := strings.ToLower(r.found.word("hostkeyalias"))
	if alias == "" {
		alias = r.given
	}
	return allTokens(r.home, r.localUser, tokenValues{
		given: r.given, host: r.host, port: r.port, user: r.user, alias: alias,
	})
}
