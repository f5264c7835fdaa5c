package sshtunnel

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// hostSpec is a parsed host specification, such as user@host:port.
type hostSpec struct {
	user string // "": not given
	host string
	port int // 0: not given
}

// parseHostSpec parses host, host:port, user@host:port and [IPv6]:port, with or without the prefix
// ssh://. The user of a URI is percent-encoded. An IPv6 address without brackets has no port.
func parseHostSpec(text string) (hostSpec, error) {
	rest, isURI := strings.CutPrefix(text, "ssh://")
	if isURI {
		rest = strings.TrimSuffix(rest, "/")
	}
	var spec hostSpec
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		spec.user, rest = rest[:at], rest[at+1:]
		if isURI {
			var err error
			if spec.user, err = uriUser(spec.user); err != nil {
				return hostSpec{}, fmt.Errorf("sshtunnel: host %q: the user: %w", text, err)
			}
		}
		if spec.user == "" {
			return hostSpec{}, fmt.Errorf("sshtunnel: host %q: no user before the @", text)
		}
	}
	spec.host = rest
	switch {
	case strings.HasPrefix(rest, "["):
		inside, after, ok := strings.Cut(rest[1:], "]")
		if !ok || net.ParseIP(zoneless(inside)) == nil {
			return hostSpec{}, fmt.Errorf("sshtunnel: host %q: not an IPv6 address in brackets", text)
		}
		spec.host = inside
		if after == "" {
			return spec, nil
		}
		port, ok := strings.CutPrefix(after, ":")
		if !ok {
			return hostSpec{}, fmt.Errorf("sshtunnel: host %q: "+
				"something other than a port behind the brackets", text)
		}
		return spec.withPort(port, text)
	case strings.Count(rest, ":") == 1:
		host, port, _ := strings.Cut(rest, ":")
		spec.host = host
		return spec.withPort(port, text)
	case strings.Contains(rest, ":") && net.ParseIP(zoneless(rest)) == nil:
		return hostSpec{}, fmt.Errorf("sshtunnel: host %q: neither host:port nor an IPv6 address", text)
	}
	return spec.checked(text)
}

// uriUser returns the user of a URI. Parameters behind a semicolon, such as a fingerprint, are left
// out, as by ssh.
func uriUser(text string) (string, error) {
	text, _, _ = strings.Cut(text, ";")
	return url.PathUnescape(text)
}

func (s hostSpec) withPort(port, text string) (hostSpec, error) {
	number, err := parsePort(port)
	if err != nil {
		return hostSpec{}, fmt.Errorf("sshtunnel: host %q: %w", text, err)
	}
	s.port = number
	return s.checked(text)
}

func (s hostSpec) checked(text string) (hostSpec, error) {
	if s.host == "" {
		return hostSpec{}, fmt.Errorf("sshtunnel: host %q: there is no host in it", text)
	}
	if strings.ContainsFunc(text+s.user, unicode.IsControl) { // it would get into the log
		return hostSpec{}, fmt.Errorf("sshtunnel: host %q: a control character", text)
	}
	if err := checkHost(s.host); err != nil {
		return hostSpec{}, fmt.Errorf("sshtunnel: host %q: %w", text, err)
	}
	if err := checkUser(s.user); err != nil {
		return hostSpec{}, fmt.Errorf("sshtunnel: host %q: the user: %w", text, err)
	}
	return s, nil
}

// checkHost refuses the names of hosts that ssh refuses. They could be an option or a part of a
// command where ssh_config uses them, or several hosts where a list is read.
func checkHost(name string) error {
	if strings.HasPrefix(name, "-") {
		return errors.New("it begins with a dash")
	}
	return without(name, func(c rune) bool {
		return strings.ContainsRune("'`\"$\\;&<>|(){},", c) || unicode.IsSpace(c) || unicode.IsControl(c)
	})
}

// checkUser refuses the names of users that ssh refuses. ssh does not look at those that ssh_config
// has itself.
func checkUser(name string) error {
	if strings.HasPrefix(name, "-") {
		return errors.New("it begins with a dash")
	}
	if strings.HasSuffix(name, `\`) {
		return errors.New("it ends with a backslash")
	}
	before := rune(0)
	return without(name, func(c rune) bool {
		option := c == '-' && unicode.IsSpace(before)
		before = c
		return option || strings.ContainsRune("'`\";&<>|(){}", c) || unicode.IsControl(c)
	})
}

// without returns an error for the first refused character of a name.
func without(name string, refused func(rune) bool) error {
	if i := strings.IndexFunc(name, refused); i >= 0 {
		c, _ := utf8.DecodeRuneInString(name[i:])
		return fmt.Errorf("%q cannot be in a name, as for ssh", c)
	}
	return nil
}

// expanded returns a host of ProxyJump with the tokens replaced. A value cannot become more than
// the host or the user that its token stands for: it adds no user, no port and no other host.
func (s hostSpec) expanded(known tokens) (hostSpec, error) {
	user, err := expand(s.user, known)
	if err != nil {
		return hostSpec{}, err
	}
	host, err := expand(s.host, known)
	if err != nil {
		return hostSpec{}, err
	}
	if again, err := parseHostSpec(host); err != nil {
		return hostSpec{}, inner{err}
	} else if again != (hostSpec{host: host}) {
		return hostSpec{}, fmt.Errorf("%q is more than a host", host)
	}
	if err := checkUser(user); err != nil {
		return hostSpec{}, fmt.Errorf("user %q: %w", user, err)
	}
	return hostSpec{user: user, host: host, port: s.port}, nil
}

// parsePort parses a decimal port number.
func parsePort(text string) (int, error) {
	number, err := strconv.ParseUint(text, 10, 16)
	if err != nil || number == 0 {
		return 0, fmt.Errorf("%q is not a port", text)
	}
	return int(number), nil
}

// zoneless returns an IPv6 address without its zone.
func zoneless(address string) string {
	address, _, _ = strings.Cut(address, "%")
	return address
}
