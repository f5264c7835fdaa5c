package sshtunnel

import (
	"slices"
	"strings"
)

// The supported methods of authentication (RFC 4252, RFC 4256).
const (
	methodKey         = "publickey"
	methodInteractive = "keyboard-interactive"
	methodPassword    = "password"
)

// login sets the methods of authentication, in order, and the callbacks that answer their
// questions.
func (r *resolver) login() error {
	r.password, r.passphrase, r.prompt = r.cfg.Password, r.cfg.Passphrase, r.cfg.Prompt
	if r.passphrase == nil && r.password != nil {
		r.passphrase = func(string) (string, error) { return r.password() }
	}
	order := []string{methodKey, methodInteractive, methodPassword}
	if r.prompt == nil { // the password answers both methods; try the one made for it first
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
		methodKey: "pubkeyauthentication", methodInteractive: "kbdinteractiveauthentication",
		methodPassword: "passwordauthentication",
	} {
		if !r.found.yes(keyword, true) { // "unbound" and "host-bound" mean yes, too
			order = slices.DeleteFunc(order, func(m string) bool { return m == method })
		}
	}
	r.methods = order
	return nil
}
