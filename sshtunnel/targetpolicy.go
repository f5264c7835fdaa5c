package sshtunnel

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// The methods of authentication (RFC 4252, RFC 4256) that there are here.
const (
	methodKey         = "publickey"
	methodInteractive = "keyboard-interactive"
	methodPassword    = "password"
)

// login sets the methods of authentication, in order, and who answers their questions.
func (r *resolver) login() error {
	r.password, r.passphrase, r.prompt = r.cfg.Password, r.cfg.Passphrase, r.cfg.Prompt
	if r.passphrase == nil && r.password != nil {
		r.passphrase = func(string) (string, error) { return r.password() }
	}
	order := []string{methodKey, methodInteractive, methodPassword}
	if r.prompt == nil { // then both are answered with the password, and one that says so comes first
		order = []string{methodKey, methodPassword, methodInteractive}
	}
	if preferred, ok := r.found.first("preferredauthentications"); ok {
		all := order
		order = nil
		for _, method := range strings.Split(preferred.words[0], ",") {
			if slices.Contains(all, method) && !slices.Contains(order, method) {
				order = append(order, method)
			}
		}
	}
	for method, keyword := range map[string]string{
		methodKey: "pubkeyauthentication", methodInteractive: "kbdinteractiveauthentication", methodPassword: "passwordauthentication",
	} {
		if d, ok := r.found.first(keyword); ok && slices.Contains([]string{"unbound", "host-bound"}, d.words[0]) {
			continue // kinds of yes that PubkeyAuthentication knows
		}
		wanted, err := r.found.yes(keyword, true)
		if err != nil {
			return err
		}
		if !wanted {
			order = slices.DeleteFunc(order, func(m string) bool { return m == method })
		}
	}
	r.methods = order
	return nil
}

// hostKeys sets what the server's key is compared to.
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
		r.knownHosts = []string{expandHome(r.cfg.KnownHosts, r.home)}
	} else {
		ssh := filepath.Join(r.home, ".ssh")
		for _, files := range []struct {
			keyword string
			usual   []string
		}{
			{"userknownhostsfile", []string{filepath.Join(ssh, "known_hosts"), filepath.Join(ssh, "known_hosts2")}},
			{"globalknownhostsfile", []string{"/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"}},
		} {
			paths, err := r.paths(files.keyword, files.usual)
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
	var err error
	if r.hashNew, err = r.found.yes("hashknownhosts", false); err != nil {
		return err
	}
	r.acceptNew = r.cfg.AcceptNewHostKeys
	if strict, ok := r.found.first("stricthostkeychecking"); ok {
		return r.strictness(strict)
	}
	return nil
}

// strictness never makes a user's ssh_config open what the program has not asked for.
func (r *resolver) strictness(d directive) error {
	switch word := strings.ToLower(d.words[0]); word {
	case "yes", "true", "ask":
	case "accept-new":
		if !r.ownConfig {
			r.acceptNew = true
		} else if !r.acceptNew {
			r.logger.Info("sshtunnel: accept-new does not count in the user's own file; Config.AcceptNewHostKeys asks for it",
				"host", r.cfg.Host, "file", place(d.file, d.line))
		}
	case "no", "off", "false":
		r.logger.Warn("sshtunnel: host keys are checked all the same: StrictHostKeyChecking "+word+" counts as yes",
			"host", r.cfg.Host, "file", place(d.file, d.line))
	default:
		return d.errorf("StrictHostKeyChecking: %q is none of yes, ask, accept-new, no, off", d.words[0])
	}
	return nil
}

// paths are the files that a directive names, none where that is "none".
func (r *resolver) paths(keyword string, usual []string) ([]string, error) {
	d, ok := r.found.first(keyword)
	if !ok {
		return usual, nil
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

// cryptography sets the algorithms: those without known weaknesses, where ssh_config does not name
// others.
func (r *resolver) cryptography() error {
	secure, insecure := ssh.SupportedAlgorithms(), ssh.InsecureAlgorithms()
	slices.SortStableFunc(secure.HostKeys, func(a, b string) int { return preference(a) - preference(b) })
	for _, kind := range []struct {
		keyword        string
		to             *[]string
		usual, weakToo []string
	}{
		{"kexalgorithms", &r.algorithms.KeyExchanges, secure.KeyExchanges, insecure.KeyExchanges},
		{"ciphers", &r.algorithms.Ciphers, secure.Ciphers, insecure.Ciphers},
		{"macs", &r.algorithms.MACs, secure.MACs, insecure.MACs},
		{"hostkeyalgorithms", &r.algorithms.HostKeys, secure.HostKeys, insecure.HostKeys},
	} {
		*kind.to = kind.usual
		if d, ok := r.found.first(kind.keyword); ok {
			*kind.to = chooseAlgorithms(d.words[0], kind.usual, slices.Concat(kind.usual, kind.weakToo))
			if len(*kind.to) == 0 {
				return d.errorf("%s: none of them is supported here", kind.keyword)
			}
		}
	}
	return nil
}

// preference has host keys in ssh's order: of a new host it is the first kind that the server has
// which is recorded.
func preference(algorithm string) int {
	for i, kind := range []string{"ed25519", "ecdsa", "rsa-sha2-512"} {
		if strings.Contains(algorithm, kind) {
			return i
		}
	}
	return 3
}

// chooseAlgorithms reads a list as ssh_config has it: names or patterns, which replace the usual
// ones, or follow them (+), precede them (^), or are taken away (-). What is not supported is left
// out.
func chooseAlgorithms(list string, usual, all []string) []string {
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
	others := slices.DeleteFunc(slices.Clone(usual), func(a string) bool { return slices.Contains(named, a) })
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

func (r *resolver) times() error {
	r.connectTimeout, r.keepAlive, r.aliveCount = defaultConnectTimeout, defaultKeepAlive, defaultAliveCount
	for _, setting := range []struct {
		keyword string
		use     func(int)
	}{
		{"connecttimeout", func(n int) {
			if n > 0 {
				r.connectTimeout = time.Duration(n) * time.Second
			}
		}},
		{"serveraliveinterval", func(n int) {
			r.keepAlive = time.Duration(n) * time.Second
			if n == 0 {
				r.keepAlive = -1
			}
		}},
		{"serveralivecountmax", func(n int) { r.aliveCount = min(max(n, 1), 1000) }},
	} {
		if d, ok := r.found.first(setting.keyword); ok && !strings.EqualFold(d.words[0], "none") {
			seconds, err := readSeconds(d.words[0])
			if err != nil {
				return d.errorf("%s: %w", setting.keyword, err)
			}
			setting.use(seconds)
		}
	}
	if r.cfg.ConnectTimeout > 0 {
		r.connectTimeout = r.cfg.ConnectTimeout
	}
	if r.cfg.KeepAlive != 0 {
		r.keepAlive = r.cfg.KeepAlive
	}
	r.keepAlive = min(r.keepAlive, 24*time.Hour)
	return nil
}

// readSeconds reads a number, or a time as sshd_config(5) has it: 90, 90s, 1m30s, 2h.
func readSeconds(text string) (int, error) {
	if number, err := strconv.ParseUint(text, 10, 31); err == nil {
		return int(number), nil
	}
	units := map[byte]uint64{'s': 1, 'm': 60, 'h': 3600, 'd': 86400, 'w': 604800}
	total, digits := uint64(0), ""
	for i := range len(text) {
		if c := text[i]; c >= '0' && c <= '9' {
			digits += text[i : i+1]
			continue
		}
		unit, ok := units[text[i]|0x20]
		number, err := strconv.ParseUint(digits, 10, 31)
		if !ok || err != nil {
			return 0, fmt.Errorf("%q is not a time", text)
		}
		total, digits = total+number*unit, ""
	}
	if digits != "" || text == "" || total > 1<<31-1 {
		return 0, fmt.Errorf("%q is not a time", text)
	}
	return int(total), nil
}
