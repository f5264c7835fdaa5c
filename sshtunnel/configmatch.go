package sshtunnel

import (
	"errors"
	"fmt"
	"strings"
)

// criterion is one condition of a Match line.
type criterion struct {
	name    string // in lower case, without the !
	negated bool
	value   string // "": it takes none
}

// match reports whether the lines after a Match line apply. Like ssh, it evaluates all criteria, so
// that an error is found in any of them. But a program is only run if those before are true.
func (r *configReader) match(d directive) (bool, error) {
	criteria, err := parseMatch(d.text)
	if err != nil {
		return false, d.errorf("%s: %w", d.keyword, err)
	}
	result := true
	for _, c := range criteria {
		holds := true
		switch c.name {
		case "all":
		case "final", "canonical":
			r.wantFinal = r.wantFinal || c.name == "final"
			holds = r.final
		case "exec":
			command, err := r.matchCommand(c.value)
			if err == nil && result {
				holds, err = r.run(r.ctx, command)
			}
			if err != nil {
				return false, d.errorf("%s exec: %w", d.keyword, err)
			}
		default:
			subject, err := r.subject(c.name)
			if err != nil {
				return false, d.errorf("%s: %w", d.keyword, err)
			}
			holds = matchCriterion(c, subject)
		}
		result = result && holds != c.negated
	}
	return result, nil
}

// matchCriterion compares names of hosts without regard to case, and names of users with it.
func matchCriterion(c criterion, subject string) bool {
	value := c.value
	if c.name == "host" || c.name == "originalhost" {
		value, subject = strings.ToLower(value), strings.ToLower(subject)
	}
	return matchList(subject, strings.Split(value, ","))
}

// parseMatch parses what stands behind Match.
func parseMatch(text string) (criteria []criterion, err error) {
	word, rest, ok := cutWord(text)
	for ; ok && word != "" && word[0] != '#'; word, rest, ok = cutWord(rest) {
		name, negated := strings.CutPrefix(word, "!")
		c := criterion{name: strings.ToLower(name), negated: negated}
		switch c.name {
		case "all":
			word, _, ok = cutWord(rest)
			if len(criteria) > 1 || ok && word != "" && word[0] != '#' {
				return nil, errors.New("all stands alone, or behind canonical or final")
			}
			return append(criteria, c), nil
		case "canonical", "final":
		case "exec", "host", "originalhost", "user", "localuser":
			if c.value, rest, ok = cutWord(rest); !ok || c.value == "" || c.value[0] == '#' {
				return nil, fmt.Errorf("nothing behind %q", c.name)
			}
		default:
			return nil, fmt.Errorf("%q is not supported; "+
				"describe the host in a file of its own and name it in Config.ConfigFile", c.name)
		}
		criteria = append(criteria, c)
	}
	if len(criteria) == 0 {
		return nil, errors.New("there is no condition")
	}
	return criteria, nil
}

// subject returns the value that a criterion is compared with.
func (r *configReader) subject(name string) (string, error) {
	switch name {
	case "originalhost":
		return r.given, nil
	case "host":
		return r.hostName()
	case "user":
		return r.remoteUser(), nil
	default:
		return r.localUser, nil
	}
}

// remoteUser returns the user to log in as, as far as it is known.
func (r *configReader) remoteUser() string {
	switch {
	case r.user != "":
		return r.user
	case r.found.word("user") != "":
		return r.found.word("user")
	}
	return r.localUser
}

// hostName returns the host with HostName applied. In the second pass it is what will be dialled.
func (r *configReader) hostName() (string, error) {
	d, ok := r.found.first("hostname")
	if !ok || r.final {
		return r.name, nil
	}
	name, err := expand(d.words[0], tokens{'h': r.given})
	if err != nil {
		return "", d.errorf("%s: %w", d.keyword, err)
	}
	return name, nil
}

// matchCommand expands the command of Match exec.
func (r *configReader) matchCommand(text string) (string, error) {
	host, err := r.hostName()
	if err != nil {
		return "", err
	}
	port := defaultPort
	if d, ok := r.found.first("port"); ok {
		if port, err = parsePort(d.words[0]); err != nil {
			return "", err
		}
	}
	alias := r.found.word("hostkeyalias")
	if alias == "" {
		alias = host
	}
	return expandCommand(text, allTokens(r.home, r.localUser, tokenValues{
		given: r.given, host: host, port: port, user: r.remoteUser(), alias: alias,
	}))
}
