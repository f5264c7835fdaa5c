package sshtunnel

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// defaultRSA is the smallest RSA key that ssh accepts, in bits.
const defaultRSA = 1024

// hostKeys sets the known_hosts files and the names to look for in them.
func (r *resolver) hostKeys() error {
	host := strings.ToLower(r.host)
	r.knownName = host
	if r.port != 22 {
		r.knownName, r.plainName = fmt.Sprintf("[%s]:%d", host, r.port), host
	}
	if alias, ok := r.found.first("hostkeyalias"); ok {
		r.knownName, r.plainName = strings.ToLower(alias.words[0]), ""
	}
	if r.cfg.KnownHosts != "" {
		path, err := r.ownPath("KnownHosts", r.cfg.KnownHosts)
		if err != nil {
			return err
		}
		r.knownHosts = []string{path}
	} else {
		ssh := filepath.Join(r.home, ".ssh")
		for _, files := range []struct {
			keyword  string
			defaults []string
		}{
			{"userknownhostsfile",
				[]string{filepath.Join(ssh, "known_hosts"), filepath.Join(ssh, "known_hosts2")}},
			{"globalknownhostsfile", []string{"/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"}},
		} {
			paths, err := r.paths(files.keyword, files.defaults)
			if err != nil {
				return err
			}
			r.knownHosts = append(r.knownHosts, paths...)
		}
	}
	if revoked, ok := r.found.first("revokedhostkeys"); ok && revoked.words[0] != "none" {
		path, err := r.path(revoked, revoked.words[0])
		if err != nil {
			return err
		}
		r.revokedKeys = path
	}
	r.hashNew = r.found.yes("hashknownhosts", false)
	r.minRSA = defaultRSA
	if size := r.found.word("requiredrsasize"); size != "" {
		r.minRSA, _ = strconv.Atoi(size) // it was checked
	}
	r.acceptNew = r.cfg.AcceptNewHostKeys
	if strict, ok := r.found.first("stricthostkeychecking"); ok {
		r.strictness(strict)
	}
	return nil
}

// strictness reads StrictHostKeyChecking. The user's default ssh_config never allows what the
// program has not asked for.
func (r *resolver) strictness(d directive) {
	switch word := strings.ToLower(d.words[0]); word {
	case "accept-new":
		if !r.found.own {
			r.acceptNew = true
		} else if !r.acceptNew {
			r.logger.Info("sshtunnel: accept-new does not count in the user's own file; "+
				"Config.AcceptNewHostKeys asks for it",
				"host", r.cfg.Host, "file", place(d.file, d.line))
		}
	case "no", "off", "false":
		r.logger.Warn("sshtunnel: host keys are checked all the same: "+
			"StrictHostKeyChecking "+word+" counts as yes",
			"host", r.cfg.Host, "file", place(d.file, d.line))
	}
}

// paths returns the files that a directive names, or none if its value is "none".
func (r *resolver) paths(keyword string, defaults []string) ([]string, error) {
	d, ok := r.found.first(keyword)
	if !ok {
		return defaults, nil
	}
	if len(d.words) == 1 && strings.EqualFold(d.words[0], "none") {
		return nil, nil
	}
	var paths []string
	for _, word := range d.words {
		path, err := r.path(d, word)
		if err != nil {
			return nil, err
		}
		paths = append(paths, path)
	}
	return paths, nil
}
