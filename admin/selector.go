package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/acl"
)

// Selector chooses sessions. A session has to match each field that is set. The zero value chooses
// all.
type Selector struct {
	ID       uint64            // of one session
	User     string            // the user id
	Key      zmqauth.PublicKey // of CURVE
	Address  string            // an entry of an allow list: 10.1.2.3, 10.0.0.0/8, ipc, uid:1000, …
	Domain   string
	Frontend string // the name of one of a proxy
}

// errNobody is the fault of a request to end sessions without saying which.
var errNobody = errors.New("it does not say whose sessions are to end: user, key, address, id, " +
	"domain or frontend, or all")

// Set sets a field by its name: id, user, key (in Z85), address, domain or frontend. It is an error
// if the value is empty, and so would choose everybody, or if the field is set already.
func (s *Selector) Set(name, value string) (err error) {
	text := map[string]*string{"user": &s.User, "address": &s.Address, "domain": &s.Domain,
		"frontend": &s.Frontend}[name]
	isSet := text != nil && *text != "" || name == "id" && s.ID != 0 ||
		name == "key" && s.Key != (zmqauth.PublicKey{})
	switch {
	case isSet:
		return fmt.Errorf("%s is there twice", name)
	case name == "id":
		s.ID, err = strconv.ParseUint(value, 10, 64)
		if err != nil || s.ID == 0 {
			return fmt.Errorf("id %.40q: not the number of a session, from 1 on", value)
		}
	case name == "key":
		s.Key, err = zmqauth.ParsePublicKey(value)
		if err != nil || s.Key == (zmqauth.PublicKey{}) {
			return errors.New("key: not the 40 characters of a public key in Z85")
		}
	case text == nil:
		return fmt.Errorf("unknown name %.40q: id, user, key, address, domain, frontend", name)
	case value == "":
		return fmt.Errorf("%s is empty", name)
	case name == "address" && acl.CheckEntry(value) != nil:
		return fmt.Errorf("address %.60q: not an IP address, a network (address/bits), ipc, uid:N, "+
			"gid:N or pid:N", value)
	default:
		*text = value
	}
	return nil
}

// fields are the fields that are set, as Set takes them.
func (s Selector) fields() (fields [][2]string) {
	if s.ID != 0 {
		fields = append(fields, [2]string{"id", strconv.FormatUint(s.ID, 10)})
	}
	if s.Key != (zmqauth.PublicKey{}) {
		fields = append(fields, [2]string{"key", s.Key.String()})
	}
	for _, f := range [][2]string{{"user", s.User}, {"address", s.Address}, {"domain", s.Domain},
		{"frontend", s.Frontend}} {
		if f[1] != "" {
			fields = append(fields, f)
		}
	}
	return fields
}

// String is the selector for a log.
func (s Selector) String() string {
	var words []string
	for _, f := range s.fields() {
		words = append(words, f[0]+"="+strconv.Quote(f[1]))
	}
	return strings.Join(words, " ")
}

// matcher returns the function that tells whether a session matches.
func (c *Control) matcher(s Selector) (func(zmqauth.Session) bool, error) {
	var addresses acl.List
	if s.Address != "" {
		if err := addresses.Add(acl.Allow, []string{s.Address}); err != nil {
			return nil, err
		}
	}
	return func(session zmqauth.Session) bool {
		return (s.ID == 0 || s.ID == session.ID) &&
			(s.User == "" || s.User == session.UserID) &&
			(s.Key == zmqauth.PublicKey{} || s.Key == session.Key) &&
			(s.Address == "" || addresses.Names(peerOf(session))) &&
			(s.Domain == "" || s.Domain == session.Domain) &&
			(s.Frontend == "" || c.cfg.Frontends != nil &&
				slices.Contains(c.cfg.Frontends(session), s.Frontend))
	}, nil
}

// parseQuery reads a selector from the query of a URL.
func parseQuery(query string) (s Selector, err error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return s, errors.New("the query cannot be read")
	}
	for name, all := range values {
		for _, value := range all {
			if err := s.Set(name, value); err != nil {
				return s, err
			}
		}
	}
	return s, nil
}

// parseKick reads whom to end: {"user": "ann", "id": 5}, or {"all": true} for everybody. It takes
// nothing in doubt: a name twice, an empty value or a second object is an error.
func parseKick(r io.Reader) (s Selector, err error) {
	decoder := json.NewDecoder(r)
	decoder.UseNumber()
	if err := expect(decoder, json.Delim('{')); err != nil {
		return s, err
	}
	all := false
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return s, badJSON(err)
		}
		value, err := decoder.Token()
		if err != nil {
			return s, badJSON(err)
		}
		if all, err = s.take(fmt.Sprint(name), value, all); err != nil {
			return s, err
		}
	}
	if err := expect(decoder, json.Delim('}')); err != nil {
		return s, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return s, orBad(err, "something follows the object")
	}
	switch {
	case all && s != Selector{}:
		return s, errors.New("all is for everybody: it stands alone")
	case !all && s == Selector{}:
		return s, errNobody
	}
	return s, nil
}

// take sets what a name and a value of the object say.
func (s *Selector) take(name string, value any, all bool) (bool, error) {
	switch value := value.(type) {
	case bool:
		if name != "all" || !value || all {
			return false, fmt.Errorf("%.40q: only all is true, and once", name)
		}
		return true, nil
	case string:
		return all, s.Set(name, value)
	case json.Number:
		return all, s.Set(name, value.String())
	}
	return false, fmt.Errorf("%.40q: neither a text nor a number", name)
}

// expect reads a delimiter.
func expect(decoder *json.Decoder, want json.Delim) error {
	token, err := decoder.Token()
	if err == nil && token == want {
		return nil
	}
	return orBad(err, "not a JSON object")
}

// orBad is the error of the decoder, or else another.
func orBad(err error, otherwise string) error {
	if err == nil {
		return errors.New(otherwise)
	}
	return badJSON(err)
}

// badJSON keeps the errors of the connection, and says of all others what is wrong.
func badJSON(err error) error { return fmt.Errorf("not JSON: %w", err) }
