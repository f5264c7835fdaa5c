package sshtunnel

import (
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// cryptography sets the algorithms. By default they are those without known weaknesses. ssh_config
// may name others.
func (r *resolver) cryptography() error {
	secure, insecure := ssh.SupportedAlgorithms(), ssh.InsecureAlgorithms()
	slices.SortStableFunc(secure.HostKeys, func(a, b string) int {
		return preference(a) - preference(b)
	})
	for _, kind := range []struct {
		keyword           string
		to                *[]string
		defaults, weakToo []string
	}{
		{"kexalgorithms", &r.algorithms.KeyExchanges, secure.KeyExchanges, insecure.KeyExchanges},
		{"ciphers", &r.algorithms.Ciphers, secure.Ciphers, insecure.Ciphers},
		{"macs", &r.algorithms.MACs, secure.MACs, insecure.MACs},
		{"hostkeyalgorithms", &r.algorithms.HostKeys, secure.HostKeys, insecure.HostKeys},
	} {
		*kind.to = kind.defaults
		if d, ok := r.found.first(kind.keyword); ok {
			*kind.to = chooseAlgorithms(d.words[0], kind.defaults,
				slices.Concat(kind.defaults, kind.weakToo))
			if len(*kind.to) == 0 {
				return d.errorf("%s: none of them is supported here", kind.keyword)
			}
		}
	}
	return nil
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

// chooseAlgorithms applies a list of ssh_config to the default algorithms. The list has names or
// patterns. They replace the defaults, follow them (+), precede them (^), or are removed from them
// (-). Unsupported ones are ignored.
func chooseAlgorithms(list string, defaults, all []string) []string {
	operation := list[:1]
	if strings.ContainsAny(operation, "+-^") {
		list = list[1:]
	}
	var named []string
	for _, pattern := range strings.Split(list, ",") {
		for _, algorithm := range all {
			if matchPattern(algorithm, pattern) && !slices.Contains(named, algorithm) {
				named = append(named, algorithm)
			}
		}
	}
	others := slices.DeleteFunc(slices.Clone(defaults), func(a string) bool {
		return slices.Contains(named, a)
	})
	switch operation {
	case "+":
		return slices.Concat(others, named)
	case "^":
		return slices.Concat(named, others)
	case "-":
		return others
	}
	return named
}
