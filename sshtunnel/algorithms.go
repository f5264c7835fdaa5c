package sshtunnel

import (
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// algorithmLists sets the algorithms. By default they are those without known weaknesses: an RSA
// key signs with SHA-2 only. ssh_config may name others.
func (r *resolver) algorithmLists() error {
	secure := ssh.SupportedAlgorithms()
	slices.SortStableFunc(secure.HostKeys, func(a, b string) int {
		return preference(a) - preference(b)
	})
	for _, kind := range []struct {
		keyword       string
		to            *[]string
		defaults, all []string
	}{
		{"kexalgorithms", &r.algorithms.KeyExchanges, secure.KeyExchanges, supportedKeyExchanges()},
		{"ciphers", &r.algorithms.Ciphers, secure.Ciphers, supportedCiphers()},
		{"macs", &r.algorithms.MACs, secure.MACs, supportedMACs()},
		{"hostkeyalgorithms", &r.algorithms.HostKeys, secure.HostKeys, supportedHostKeys()},
		{"pubkeyacceptedalgorithms", &r.algorithms.PublicKeyAuths,
			withCertified(secure.PublicKeyAuths), supportedUserKeys()},
		{"casignaturealgorithms", &r.authoritySigns,
			withoutCertified(secure.HostKeys), withoutCertified(supportedHostKeys())},
	} {
		*kind.to = kind.defaults
		d, ok := r.found.first(kind.keyword)
		if !ok {
			continue
		}
		chosen, missing := chooseAlgorithms(d.words[0], kind.defaults, kind.all)
		if len(chosen) == 0 {
			return d.errorf("%s: none of them is supported here", d.keyword)
		}
		if len(missing) > 0 {
			r.logger.Warn("sshtunnel: algorithms that are not supported here are left out",
				"host", r.cfg.Host, "setting", d.where(), "algorithms", missing)
		}
		*kind.to = chosen
	}
	return nil
}

// withCertified adds the algorithms of certificates.
func withCertified(plain []string) []string {
	all := slices.Clone(plain)
	for _, algorithm := range plain {
		all = append(all, certified(algorithm))
	}
	return all
}

func withoutCertified(all []string) []string {
	return slices.DeleteFunc(slices.Clone(all), isCertificate)
}

// certified returns the name of the algorithm for a certificate whose key signs with the given one.
func certified(algorithm string) string {
	name, vendor, _ := strings.Cut(algorithm, "@")
	if vendor == "" {
		vendor = "openssh.com"
	}
	return name + "-cert-v01@" + vendor
}

// preference sorts host key algorithms in ssh's order. Of a new host, the first type of key that
// the server has is recorded.
func preference(algorithm string) int {
	for i, kind := range []string{"ed25519", "ecdsa", "rsa-sha2-512"} {
		if strings.Contains(algorithm, kind) {
			return i
		}
	}
	return 3
}

// splitAlgorithms splits a list of ssh_config into what is done with it and the names or patterns.
// They replace the defaults (0), follow them (+), precede them (^), or are removed from them (-).
func splitAlgorithms(list string) (operation byte, patterns []string) {
	if list != "" && strings.IndexByte("+-^", list[0]) >= 0 {
		operation, list = list[0], list[1:]
	}
	return operation, strings.Split(list, ",")
}

// chooseAlgorithms applies a list of ssh_config to the default algorithms. all are those that are
// supported here. missing are names of the list that are not supported.
func chooseAlgorithms(list string, defaults, all []string) (chosen, missing []string) {
	operation, patterns := splitAlgorithms(list)
	var named []string
	for _, pattern := range patterns {
		if pattern == "curve25519-sha256@libssh.org" { // the old name of the same
			pattern = ssh.KeyExchangeCurve25519
		}
		found := false
		for _, algorithm := range all {
			if !matchPattern(algorithm, pattern) {
				continue
			}
			found = true
			if !slices.Contains(named, algorithm) {
				named = append(named, algorithm)
			}
		}
		if !found && !strings.ContainsAny(pattern, "*?") {
			missing = append(missing, pattern)
		}
	}
	without := func(list, others []string) []string {
		return slices.DeleteFunc(slices.Clone(list), func(a string) bool {
			return slices.Contains(others, a)
		})
	}
	switch operation {
	case '+':
		return slices.Concat(defaults, without(named, defaults)), missing
	case '^':
		return slices.Concat(named, without(defaults, named)), missing
	case '-':
		return without(defaults, named), nil
	}
	return named, missing
}
