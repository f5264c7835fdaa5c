package sshtunnel

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// resolveOne returns the target that cfg is about, and what ssh_config says about it.
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

// resolver fills in a target, one group of settings after another.
type resolver struct {
	*target
	cfg       Config
	found     settings
	ownConfig bool   // found is from the user's default file, which the Config does not name
	given     string // the host as it was given
	localUser string
	home      string
}

// steps returns the groups. Later groups need the results of earlier ones.
func (r *resolver) steps() []func() error {
	return []func() error{r.address, r.identities, r.login, r.hostKeys, r.cryptography, r.times}
}

// address sets host, port, user and network.
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
		return fmt.Errorf("sshtunnel: %s: no user is named, and the local one has no name; "+
			"set Config.User", r.cfg.Host)
	}
	if family, ok := r.found.first("addressfamily"); ok {
		networks := map[string]string{"any": "tcp", "inet": "tcp4", "inet6": "tcp6"}
		if r.network, ok = networks[strings.ToLower(family.words[0])]; !ok {
			return family.errorf("AddressFamily: %q is none of any, inet, inet6", family.words[0])
		}
	}
	return nil
}

// identities sets the keys to offer, and the agent that may have them.
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
			r.keys = append(r.keys, keyFile{path: filepath.Join(r.home, ".ssh", name), byDefault: true})
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
		socket = expandHome(r.cfg.Agent, r.home)
	}
	if socket != "none" {
		r.agent = socket
	}
	return nil
}

// path returns a file name of ssh_config with ~, tokens and variables replaced.
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
		'd': r.home, 'h': r.host, 'i': strconv.Itoa(os.Getuid()),
		'k': alias, 'L': short, 'l': hostname, 'n': r.given,
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
